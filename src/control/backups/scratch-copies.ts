/**
 * Restored copies in scratch: what `restore --into scratch` has made, and somebody may have forgotten.
 *
 * Invariant: only a directory that Holdfast has named itself (`holdfast-restored-` and the execution that made it, right below the scratch directory) is ever listed or removed, never one
 * that a person named; and none in which a program works, which it does as long as a server was started in it.
 */
import { join } from 'node:path';
import type { JsonObject } from '../../base/json.ts';
import type { Host } from '../../host/host.ts';
import { restoreMarkerPath } from './restore-place.ts';

const namePattern = /^holdfast-restored-(restore-[0-9a-z]+)$/;

export const scratchCopyPath = (root: string, execution: string): string => join(root, `holdfast-restored-${execution}`);

export interface ScratchCopy extends JsonObject {
  readonly execution: string;
  readonly path: string;
  /** Absent: it was never whole. */
  readonly component?: string;
  readonly backupId?: string;
  /** What it holds, in words. */
  readonly reached?: string;
  /** When it was made. */
  readonly atMs: number;
  /** A program works in it. */
  readonly inUse: boolean;
}

export async function listScratchCopies(host: Host, root: string): Promise<readonly ScratchCopy[]> {
  const { files, fileStreams } = host;
  if (!(await files.exists(root))) return [];
  const found: ScratchCopy[] = [];
  const working = await workingDirectories(host);
  for (const name of await files.list(root)) {
    const execution = namePattern.exec(name)?.[1];
    if (execution === undefined) continue;
    const path = join(root, name);
    const facts = await fileStreams.stat(path);
    // A link leads to what somebody else has named.
    if (facts?.kind !== 'directory') continue;
    const markerPath = restoreMarkerPath(path);
    const marker = (await files.exists(markerPath)) ? (JSON.parse(await files.readText(markerPath)) as JsonObject) : undefined;
    const words = (key: string) => (typeof marker?.[key] === 'string' ? { [key]: marker[key] } : {});
    const atMs = (await fileStreams.stat(markerPath))?.modifiedMs ?? facts.modifiedMs;
    const inUse = working.some((directory) => directory === path || directory.startsWith(`${path}/`));
    found.push({ execution, path, ...words('component'), ...words('backupId'), ...words('reached'), atMs, inUse });
  }
  return found.toSorted((left, right) => left.atMs - right.atMs);
}

/** Where the programs of this machine work, as far as it tells. */
async function workingDirectories({ files, fileStreams }: Host): Promise<readonly string[]> {
  const found: string[] = [];
  if (!(await files.exists('/proc'))) return found;
  for (const name of await files.list('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      found.push(await fileStreams.readLink(`/proc/${name}/cwd`));
    } catch {
      // It has ended meanwhile, or is somebody else's, and then we could not remove where it works either.
    }
  }
  return found;
}

/** The copy first, then its marker: dying in between leaves a marker of nothing, which nobody reads. */
export async function removeScratchCopy({ files }: Host, { path }: ScratchCopy): Promise<void> {
  await files.remove(path);
  await files.remove(restoreMarkerPath(path));
}
