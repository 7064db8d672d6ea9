/**
 * Objects as plain files: the object `a/b` is the file `a/b` below the directory, so that any program can read a repository.
 *
 * Invariant: an object is there whole or not at all, and never changes: its content is written to a temporary file, which then gets the name by a hard link. Nothing is durable before
 * `barrier`, which makes all of it durable together. Dying here leaves temporary files in `.tmp`, which are never listed and are removed by a
 * listing a day later.
 */
import { assert } from '../../base/assert.ts';
import { fail, HoldfastError } from '../../base/errors.ts';
import {
  assertObjectName,
  type BackendCapabilities,
  type ObjectFacts,
  objectMaxBytes,
  type RepositoryBackend,
  type StoredObject,
} from '../../contracts/repository-backend.ts';
import type { FileFacts, Host } from '../../host/host.ts';
import { causeOf, fileStoreError } from './file-store-errors.ts';
import { listObjects } from './list-objects.ts';
import { probeFileStore } from './probe-file-store.ts';
import { Unsynced } from './unsynced.ts';

/** Longer than any put takes: whoever wrote it is gone. */
const temporaryMaxAgeMs = 24 * 3_600_000;
/** How often a listing looks for such files. */
const cleaningEveryMs = 600_000;
const temporaryFolder = '.tmp';

export class FileStore implements RepositoryBackend {
  readonly name: string;
  readonly #root: string;
  readonly #host: Host;
  readonly #storeKey: string | undefined;
  /** Puts that have resolved, and how many of them are durable. */
  #written = 0;
  #durable = 0;
  #syncing: Promise<void> | undefined;
  #unsynced = new Unsynced();
  #cleanedMs = Number.NEGATIVE_INFINITY;

  constructor(root: string, host: Host, storeKey: string | undefined) {
    this.#root = root.replace(/\/+$/, '');
    this.#host = host;
    this.#storeKey = storeKey;
    this.name = `directory ${root}`;
  }

  async put(
    name: string,
    content: Uint8Array,
    options: { readonly lockUntilMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<'created' | 'exists'> {
    assertObjectName(name);
    assert(content.length <= objectMaxBytes, `object ${name} is at most ${objectMaxBytes} bytes long`);
    options.signal?.throwIfAborted();
    if (options.lockUntilMs !== undefined)
      throw fail('STORE_NO_LOCK', {
        message: 'a directory can not lock objects: whoever may write to it may remove them',
        subject: this.name,
      });
    if (this.#storeKey !== undefined)
      throw fail('STORE_NO_KEY_SERVICE', { message: `a directory can not encrypt with the key ${this.#storeKey}`, subject: this.name });
    const answer = await this.#putFile(name, content);
    // Also where it exists: whoever made it may have died before it was durable.
    this.#wrote(name);
    return answer;
  }

  async #putFile(name: string, content: Uint8Array): Promise<'created' | 'exists'> {
    // createOnce makes the folders that are missing; the repository's own directory must not be made so, where its disk is not mounted.
    await this.#requireRoot();
    try {
      return await this.#host.fileStreams.createOnce(this.#path(name), content, { temporaryIn: this.#path(temporaryFolder) });
    } catch (error) {
      const cause = causeOf(error);
      assert(cause !== 'ENOTDIR' && cause !== 'EISDIR', `no part of the name ${name} is the name of another object`);
      throw fileStoreError(error, this.name);
    }
  }

  async get(
    name: string,
    options: { readonly from?: number; readonly to?: number; readonly into?: Uint8Array; readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    assertObjectName(name);
    const facts = await this.#statFile(name, options.signal);
    if (facts === undefined) {
      await this.#requireRoot();
      throw fail('STORE_NO_OBJECT', { message: `${name} is not there`, subject: this.name });
    }
    const from = Math.min(options.from ?? 0, facts.sizeBytes);
    const to = Math.max(from, Math.min(options.to ?? facts.sizeBytes, facts.sizeBytes));
    if (to - from > objectMaxBytes)
      throw fail('REPOSITORY_DAMAGED', {
        message: `${name} is ${facts.sizeBytes} bytes long: no object of ours is so large`,
        subject: this.name,
      });
    const { into } = options;
    const fits = into !== undefined && from === 0 && to === facts.sizeBytes && into.length >= to;
    const content = fits ? await this.#readInto(name, into) : await this.#readRange(name, from, to, options.signal);
    if (content.length !== to - from)
      throw fail('STORE_UNREACHABLE', { message: `${name}: ${content.length} of ${to - from} bytes came`, subject: this.name });
    return content;
  }

  async #readInto(name: string, memory: Uint8Array): Promise<Uint8Array> {
    try {
      return memory.subarray(0, await this.#host.fileStreams.readInto(this.#path(name), memory));
    } catch (error) {
      throw this.#readError(error, name);
    }
  }

  #readError(error: unknown, name: string): unknown {
    if (causeOf(error) === 'ENOENT') return fail('STORE_NO_OBJECT', { message: `${name} is not there any more`, subject: this.name });
    return fileStoreError(error, this.name);
  }

  async #readRange(name: string, from: number, to: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (to === from) return new Uint8Array(0);
    const pieces: Uint8Array[] = [];
    const options = { from, to, chunkBytes: to - from, ...(signal === undefined ? {} : { signal }) };
    try {
      for await (const piece of this.#host.fileStreams.read(this.#path(name), options)) pieces.push(piece);
    } catch (error) {
      throw this.#readError(error, name);
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  }

  directMemory(bytes: number): Uint8Array {
    return this.#host.fileStreams.directMemory(bytes);
  }

  async head(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    assertObjectName(name);
    const facts = await this.#statFile(name, signal);
    if (facts !== undefined) return { name, sizeBytes: facts.sizeBytes, modifiedMs: facts.modifiedMs };
    await this.#requireRoot();
    return undefined;
  }

  async *list(prefix: string, options: { readonly after?: string; readonly signal?: AbortSignal } = {}): AsyncIterable<StoredObject> {
    await this.#requireRoot();
    const { after, signal } = options;
    try {
      await this.#removeOldTemporaries();
      yield* listObjects(this.#host, { root: this.#root, prefix, after, signal });
    } catch (error) {
      throw fileStoreError(error, this.name);
    }
  }

  async #removeOldTemporaries(): Promise<void> {
    const { clock, fileStreams, files, log } = this.#host;
    if (clock.monotonicMs() - this.#cleanedMs < cleaningEveryMs) return;
    this.#cleanedMs = clock.monotonicMs();
    const folder = this.#path(temporaryFolder);
    if ((await fileStreams.stat(folder)) === undefined) return;
    try {
      for (const file of await files.list(folder)) {
        const facts = await fileStreams.stat(`${folder}/${file}`);
        if (facts?.kind !== 'file' || clock.nowMs() - facts.modifiedMs < temporaryMaxAgeMs) continue;
        await files.remove(facts.path);
        log.info('left-over-removed', { path: facts.path, bytes: facts.sizeBytes });
      }
    } catch (error) {
      // Whoever may only read can list all the same; the next listing of somebody who may write removes them.
      if (!(error instanceof HoldfastError)) throw error;
      log.warn('left-over-kept', { path: folder, because: error.message });
    }
  }

  async remove(name: string, signal?: AbortSignal): Promise<void> {
    assertObjectName(name);
    // Looked at first, for removing a folder would remove all that is in it.
    if ((await this.#statFile(name, signal)) === undefined) return this.#requireRoot();
    try {
      await this.#host.files.remove(this.#path(name));
      this.#wrote(name);
      for (let folder = name; folder.includes('/'); ) {
        folder = folder.slice(0, folder.lastIndexOf('/'));
        if (!(await this.#host.fileStreams.removeEmptyDirectory(this.#path(folder)))) break;
      }
    } catch (error) {
      throw fileStoreError(error, this.name);
    }
  }

  async barrier(): Promise<void> {
    const wanted = this.#written;
    while (this.#durable < wanted) {
      if (this.#syncing === undefined) {
        await this.#sync();
        continue;
      }
      // One that began before our last put does not cover it; where it fails, ours says so for itself.
      await this.#syncing.catch(() => undefined);
    }
  }

  #wrote(name: string): void {
    this.#written += 1;
    this.#unsynced.add(this.#path(name));
  }

  async #sync(): Promise<void> {
    const covered = this.#written;
    const unsynced = this.#unsynced;
    this.#unsynced = new Unsynced();
    const running = unsynced.makeDurable(this.#host.fileStreams, this.#root);
    this.#syncing = running;
    try {
      await running;
      this.#durable = Math.max(this.#durable, covered);
    } catch (error) {
      this.#unsynced.addAll(unsynced);
      throw fileStoreError(error, this.name);
    } finally {
      this.#syncing = undefined;
    }
  }

  async ensurePlace(): Promise<void> {
    try {
      await this.#host.files.makeDirectory(this.#root, { mode: 0o750 });
    } catch (error) {
      throw fileStoreError(error, this.name);
    }
  }

  async probe(signal: AbortSignal): Promise<BackendCapabilities> {
    await this.#requireRoot();
    return probeFileStore(this, this.#host, signal);
  }

  async close(): Promise<void> {
    await this.#syncing?.catch(() => undefined);
  }

  #path(name: string): string {
    return `${this.#root}/${name}`;
  }

  async #requireRoot(): Promise<void> {
    let facts: FileFacts | undefined;
    try {
      // With the slash a link to the directory is followed.
      facts = await this.#host.fileStreams.stat(`${this.#root}/`);
    } catch (error) {
      throw fileStoreError(error, this.name);
    }
    if (facts?.kind !== 'directory')
      throw fail('STORE_MISSING_PLACE', { message: `there is no directory ${this.#root}`, subject: this.name });
  }

  async #statFile(name: string, signal: AbortSignal | undefined): Promise<FileFacts | undefined> {
    signal?.throwIfAborted();
    try {
      const facts = await this.#host.fileStreams.stat(this.#path(name));
      return facts?.kind === 'file' ? facts : undefined;
    } catch (error) {
      throw fileStoreError(error, this.name);
    }
  }
}
