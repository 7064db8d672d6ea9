/**
 * Directories for what lives no longer than one execution: copies that are proven, spools of a source. Each is named after its execution, so that what a death left behind is found:
 * by the same execution when it goes on, and by the next start of the controller when it never does.
 */
import { join } from 'node:path';
import type { Host } from '../../host/host.ts';

const prefixOf = (platform: string) => `holdfast-scratch-${platform}-`;

export const scratchPath = (root: string, platform: string, executionId: string): string =>
  join(root, `${prefixOf(platform)}${executionId}`);

/** Proofs have a directory of their own in here each, and remove those of processes that have ended. */
export const proofScratchPath = (root: string, platform: string): string => join(root, `holdfast-proofs-${platform}`);

/** Gives the work an empty directory, and takes it away afterwards, also after a failure. */
export async function withScratch<T>(host: Host, path: string, work: (directory: string) => Promise<T>): Promise<T> {
  await host.files.remove(path);
  await host.files.makeDirectory(path, { mode: 0o711 });
  try {
    return await work(path);
  } finally {
    await host.files.remove(path);
  }
}

/** Removes the directories of executions that are over. Resolves to their paths. */
export async function sweepScratch(
  host: Host,
  root: string,
  platform: string,
  isOver: (executionId: string) => Promise<boolean>,
): Promise<readonly string[]> {
  if (!(await host.files.exists(root))) return [];
  const removed: string[] = [];
  const prefix = prefixOf(platform);
  for (const name of await host.files.list(root)) {
    if (!name.startsWith(prefix) || !(await isOver(name.slice(prefix.length)))) continue;
    await host.files.remove(join(root, name));
    removed.push(join(root, name));
  }
  return removed;
}
