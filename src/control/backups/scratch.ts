/**
 * Directories for what lives no longer than one execution: copies that are proven, spools of a source. Each is named after its execution, so that what a death left behind is found:
 * by the same execution when it goes on, and by the next start of the controller when it never does.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Host } from '../../host/host.ts';

/** Short, for sockets lie in it, and the path of a socket has 107 characters at the most. */
export const scratchOf = (root: string, platform: string): string =>
  join(root, `hf-${createHash('sha256').update(platform).digest('hex').slice(0, 8)}`);

export const scratchPath = (root: string, platform: string, executionId: string): string => join(scratchOf(root, platform), executionId);

/** For a failover, which works on several components at once: one directory each, with a short name. */
export const scratchNameFor = (executionId: string, component: string): string =>
  `${executionId.replace(/^failover-/, 'f-')}.${createHash('sha256').update(component).digest('hex').slice(0, 4)}`;

const ofExecution = (name: string): string | undefined =>
  /^(?:backup|restore)-[0-9a-z]+$/.test(name) ? name : /^f-([0-9a-z]+)\.[0-9a-f]{4}$/.exec(name)?.[1]?.replace(/^/, 'failover-');

/** Gives the work an empty directory, and takes it away afterwards, also after a failure. */
export async function withScratch<T>(host: Host, path: string, work: (directory: string) => Promise<T>): Promise<T> {
  await host.files.remove(path);
  // A server inside may run as another user: it must get through to its own part, and see no other.
  await host.files.makeDirectory(path, { mode: 0o711 });
  try {
    return await work(path);
  } finally {
    await host.files.remove(path);
  }
}

/** Removes the directories of backups and restores that are over; proofs remove their own. Resolves to their paths. */
export async function sweepScratch(
  host: Host,
  root: string,
  platform: string,
  isOver: (executionId: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const directory = scratchOf(root, platform);
  if (!(await host.files.exists(directory))) return [];
  const removed: string[] = [];
  for (const name of await host.files.list(directory)) {
    const execution = ofExecution(name);
    if (execution === undefined || !(await isOver(execution))) continue;
    await host.files.remove(join(directory, name));
    removed.push(join(directory, name));
  }
  return removed;
}
