/**
 * What was written to a repository's directory and is not durable yet. A few files are made durable one by one, with the directories above them: to flush a whole file system for one log
 * segment would make it wait for whatever else is being written there. Many are made durable by one flush of the file system: one flush for each of thousands of files takes minutes.
 */
import type { FileStreams } from '../../host/host.ts';

/** From here on the flush of the whole file system is the quicker way. */
const singlyMax = 8;

export class Unsynced {
  /** Undefined: too many to be named. */
  #files: Set<string> | undefined = new Set();

  /** A file that was made, or (as its directory then) removed. */
  add(path: string): void {
    this.#files?.add(path);
    if ((this.#files?.size ?? 0) > singlyMax) this.#files = undefined;
  }

  /** After a failure: what of these became durable is not known. */
  addAll(other: Unsynced): void {
    if (other.#files === undefined) this.#files = undefined;
    else for (const path of other.#files) this.add(path);
  }

  async makeDurable(streams: FileStreams, root: string): Promise<void> {
    if (this.#files === undefined) return await streams.syncFileSystem(root);
    const directories = new Set<string>();
    for (const path of this.#files) {
      await syncWhereThere(streams, path);
      for (let above = path; above.length > root.length; ) {
        above = above.slice(0, above.lastIndexOf('/'));
        directories.add(above);
      }
    }
    for (const directory of directories) await syncWhereThere(streams, directory);
  }
}

/** What was removed since needs no syncing; that it was removed is in the directory above. */
async function syncWhereThere(streams: FileStreams, path: string): Promise<void> {
  try {
    await streams.sync(path);
  } catch (error) {
    if ((error as { code?: string }).code !== 'NOT_FOUND') throw error;
  }
}
