/**
 * The archive of one history of one component: its logs, each written once. Finished logs are whole objects; bytes of unfinished ones are objects of their own, put together when
 * they are read; holes are recorded as objects.
 *
 * Invariant: `push` resolves only when the log is durable and readable; the same name never stands for two contents. What dies on the way leaves the log there whole, or not at all.
 */
import { fail } from '../base/errors.ts';
import type { ArchiveWriter } from '../contracts/backup.ts';
import { mergeGaps, writeGap } from './gaps.ts';
import { type ArchiveSeal, decodeLogBlock, encodeLogBlock, encodeSlicedLog, type LogBlock, logDamaged } from './log-block.ts';
import { encodeLogName, logPartName, logSliceName, parseLogObject, recordPrefix } from './object-names.ts';
import { findObject, putObject } from './put-object.ts';
import { readRecord } from './record-objects.ts';
import type { GapRecord } from './records.ts';
import type { RepositoryParts } from './repository-parts.ts';

/** A longer log is kept in slices: an object of a store is 32 MiB at most. */
export const logSliceBytes = 16 * 1024 * 1024;

export class Archive implements ArchiveWriter {
  readonly #parts: RepositoryParts;
  readonly #component: string;
  readonly #identity: string;
  readonly #archive: ArchiveSeal;

  constructor(parts: RepositoryParts, component: string, identity: string, archive: ArchiveSeal) {
    this.#parts = parts;
    this.#component = component;
    this.#identity = identity;
    this.#archive = archive;
  }

  async push(name: string, bytes: Uint8Array): Promise<'kept' | 'same'> {
    const { store } = this.#parts;
    const outcome = bytes.length > logSliceBytes ? await this.#pushSlices(name, bytes) : await this.#put(encodeLogName(name), bytes, true);
    // Also where it was there already: whoever put it may have died before it was durable.
    await store.backend.barrier();
    return outcome;
  }

  async pushPart(name: string, offset: number, bytes: Uint8Array): Promise<void> {
    const { backend } = this.#parts.store;
    if (bytes.length === 0 || (await backend.head(this.#archive.prefix + encodeLogName(name))) !== undefined) return;
    for (let from = 0; from < bytes.length; from += logSliceBytes) {
      const slice = bytes.subarray(from, from + logSliceBytes);
      await this.#put(logPartName(name, offset + from, offset + from + slice.length), slice, false);
    }
    await backend.barrier();
  }

  async fetch(name: string): Promise<{ readonly bytes: Uint8Array; readonly whole: boolean } | undefined> {
    const objectName = encodeLogName(name);
    const content = await findObject(this.#parts.store, this.#archive.prefix + objectName);
    if (content === undefined) return await this.#composeParts(name);
    const { header, plain } = await decodeLogBlock(this.#archive, objectName, content);
    if (header.slices === undefined) return { bytes: plain, whole: true };
    const bytes = await this.#joinSlices(name, header.slices, header.bytes);
    if ((await this.#archive.plainDigest.of(bytes)) !== header.digest)
      throw logDamaged(this.#archive, objectName, 'its slices do not add up to it');
    return { bytes, whole: true };
  }

  async *list(from = ''): AsyncGenerator<string> {
    const { prefix } = this.#archive;
    // The objects of one log (parts, slices) and of its neighbours (`.backup`, `.partial`) share what is before the first dot or dash: they are put in order together.
    let group: { readonly base: string; readonly names: Set<string> } | undefined;
    const start = encodeLogName(from === '' ? '0' : from).slice(0, -1);
    for await (const object of this.#parts.store.backend.list(prefix, from === '' ? {} : { after: prefix + start })) {
      const { name } = parseLogObject(object.name.slice(prefix.length));
      const base = name.split(/[.-]/, 1)[0] as string;
      if (group !== undefined && group.base !== base) {
        yield* inOrderFrom(group.names, from);
        group = undefined;
      }
      group ??= { base, names: new Set() };
      group.names.add(name);
    }
    if (group !== undefined) yield* inOrderFrom(group.names, from);
  }

  async recordGap(from: string, to: string, why: string): Promise<void> {
    if ((await this.gaps()).some((gap) => gap.from === from && gap.to === to)) return;
    const atMs = this.#parts.store.host.clock.nowMs();
    await writeGap(this.#parts, { component: this.#component, identity: this.#identity, from, to, why, atMs });
  }

  async gaps(): Promise<readonly GapRecord[]> {
    const gaps: GapRecord[] = [];
    for await (const { name } of this.#parts.store.backend.list(recordPrefix('gaps', this.#component, this.#identity)))
      gaps.push((await readRecord(this.#parts, 'gaps', name)) as GapRecord);
    return mergeGaps(gaps);
  }

  async #put(objectName: string, bytes: Uint8Array, lock: boolean): Promise<'kept' | 'same'> {
    return await this.#putBlock(objectName, await encodeLogBlock(this.#archive, objectName, bytes, this.#parts.store.host.random), lock);
  }

  async #putBlock(objectName: string, block: LogBlock, lock: boolean): Promise<'kept' | 'same'> {
    const { store } = this.#parts;
    if ((await putObject(store, block.object, block.content, { lock })) === 'created') return 'kept';
    const found = await findObject(store, block.object);
    // It is read whole: `same` is said of what can be read back, not of what has the right first line.
    const there = found === undefined ? undefined : await decodeLogBlock(this.#archive, objectName, found);
    if (there?.header.digest === block.digest) return 'same';
    throw fail('ARCHIVE_CONFLICT', {
      message: `the archive of ${this.#component} (${this.#identity}) has ${objectName} already, with other content`,
      subject: block.object,
    });
  }

  async #pushSlices(name: string, bytes: Uint8Array): Promise<'kept' | 'same'> {
    const slices = Math.ceil(bytes.length / logSliceBytes);
    for (let slice = 0; slice < slices; slice += 1)
      await this.#put(logSliceName(name, slice), bytes.subarray(slice * logSliceBytes, (slice + 1) * logSliceBytes), true);
    await this.#parts.store.backend.barrier();
    const facts = { digest: await this.#archive.plainDigest.of(bytes), bytes: bytes.length, slices };
    const objectName = encodeLogName(name);
    return await this.#putBlock(objectName, encodeSlicedLog(this.#archive, objectName, facts, this.#parts.store.host.random), true);
  }

  async #joinSlices(name: string, slices: number, totalBytes: number): Promise<Uint8Array> {
    const whole: Uint8Array[] = [];
    for (let slice = 0; slice < slices; slice += 1) {
      const objectName = logSliceName(name, slice);
      const content = await findObject(this.#parts.store, this.#archive.prefix + objectName);
      if (content === undefined) throw logDamaged(this.#archive, objectName, 'it is missing');
      whole.push((await decodeLogBlock(this.#archive, objectName, content)).plain);
    }
    const bytes = Buffer.concat(whole);
    if (bytes.length !== totalBytes) throw logDamaged(this.#archive, encodeLogName(name), 'its slices do not add up to it');
    return bytes;
  }

  /** From the log's beginning as far as the parts follow on each other. They may overlap: a receiver that starts again sends some bytes anew. */
  async #composeParts(name: string): Promise<{ readonly bytes: Uint8Array; readonly whole: boolean } | undefined> {
    const { prefix } = this.#archive;
    const { store } = this.#parts;
    const pieces: Uint8Array[] = [];
    let reached = 0;
    let found = false;
    for await (const object of store.backend.list(`${prefix}${encodeLogName(name)}.part-`)) {
      const objectName = object.name.slice(prefix.length);
      const part = parseLogObject(objectName);
      if (part.kind !== 'part' || part.name !== name) continue;
      found = true;
      if (part.from > reached || part.to <= reached) continue;
      const content = await findObject(store, object.name);
      if (content === undefined) continue;
      const { plain } = await decodeLogBlock(this.#archive, objectName, content);
      pieces.push(plain.subarray(reached - part.from));
      reached = part.to;
    }
    return found ? { bytes: Buffer.concat(pieces), whole: false } : undefined;
  }
}

function* inOrderFrom(names: ReadonlySet<string>, from: string): Generator<string> {
  for (const name of [...names].sort()) if (name >= from) yield name;
}
