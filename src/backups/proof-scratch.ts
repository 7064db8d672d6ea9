/**
 * Directories for restored copies. Each proof has one of its own below the scratch directory, with the name of the process that made it; it is removed whatever happens.
 *
 * A process that dies leaves its directory; the next proof on the machine removes those whose process is known to have ended.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Host } from '../host/host.ts';

const prefix = 'proof-';
const ownerFile = 'owner';

/** A server inside may run as another user: it must get through to its own part, and see no other. */
const directoryMode = 0o711;

export interface Scratch {
  /** An empty directory of that name, made now. */
  makeDirectory(name: string): Promise<string>;
  /** Undefined when nothing is left; else why something is. */
  remove(): Promise<string | undefined>;
}

export async function removeAbandoned(host: Host, scratchDirectory: string): Promise<readonly string[]> {
  const { files, processes } = host;
  if (processes.isGone === undefined || !(await files.exists(scratchDirectory))) return [];
  const removed: string[] = [];
  for (const name of await files.list(scratchDirectory)) {
    const directory = `${scratchDirectory}/${name}`;
    if (!name.startsWith(prefix) || !(await files.exists(`${directory}/${ownerFile}`))) continue;
    if (!processes.isGone(await files.readText(`${directory}/${ownerFile}`))) continue;
    await files.remove(directory);
    removed.push(directory);
  }
  return removed;
}

export async function makeScratch(host: Host, scratchDirectory: string, proofId: string): Promise<Scratch> {
  const { files, processes } = host;
  const own = `${scratchDirectory}/${proofId}`;
  await files.makeDirectory(own, { mode: directoryMode });
  if (processes.self !== undefined) await files.writeAtomically(`${own}/${ownerFile}`, processes.self, { mode: 0o600 });
  return {
    async makeDirectory(name) {
      const directory = `${own}/${name}`;
      await files.makeDirectory(directory, { mode: directoryMode });
      return directory;
    },
    async remove() {
      try {
        await files.remove(own);
        return undefined;
      } catch (error) {
        const { message } = asHoldfastError(error, own);
        host.log.error('proof.left-behind', { directory: own, message });
        return `${own}: ${message}`;
      }
    },
  };
}
