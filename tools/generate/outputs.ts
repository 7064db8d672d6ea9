/** Generated files as text, and how they compare to what is on the disk. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Output {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The paths of those that are missing on the disk or differ there. */
export function findStale(root: string, outputs: readonly Output[]): string[] {
  return outputs.filter(({ path, text }) => readIfThere(join(root, path)) !== text).map(({ path }) => path);
}

/** Writes only what differs, so that nothing is rebuilt for a file that stayed the same. Returns what was written. */
export function writeStale(root: string, outputs: readonly Output[]): string[] {
  const stale = new Set(findStale(root, outputs));
  for (const { path, text } of outputs) {
    if (!stale.has(path)) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return [...stale];
}
