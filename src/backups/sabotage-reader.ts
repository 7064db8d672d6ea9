/**
 * Damage on the way from a repository to a restorer, behind every digest: what a backup holds that was bad before it was ever digested. Whether anything notices is then up to the
 * system's own checks and to the fingerprint.
 */
import { fail } from '../base/errors.ts';
import type { ArchiveReader, BackupReader } from '../contracts/backup.ts';

export type ReaderDamage =
  | 'flip a byte of the content'
  | 'cut the tail of the content'
  | 'swap two blocks of the content'
  | 'lose a log segment';
export const readerDamages: readonly ReaderDamage[] = [
  'flip a byte of the content',
  'cut the tail of the content',
  'swap two blocks of the content',
  'lose a log segment',
];

export interface DamagedReader {
  readonly reader: BackupReader;
  readonly detail: string;
  readonly struck: () => boolean;
}

const blockBytes = 4_096;

/** Gives the bytes in blocks of one size: the way they are cut must not say anything. */
async function* inBlocks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(0);
  for await (const bytes of stream) {
    held = held.length === 0 ? bytes.slice() : new Uint8Array(Buffer.concat([held, bytes]));
    while (held.length >= blockBytes) {
      yield held.slice(0, blockBytes);
      held = held.slice(blockBytes);
    }
  }
  if (held.length > 0) yield held;
}

interface Strike {
  readonly part: string;
  readonly atByte: number;
  noteStruck(): void;
}

async function* flipped(stream: AsyncIterable<Uint8Array>, { atByte, noteStruck }: Strike): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const bytes of stream) {
    if (atByte >= offset && atByte < offset + bytes.length) {
      const changed = bytes.slice();
      changed[atByte - offset] = (changed[atByte - offset] as number) ^ 0x40;
      noteStruck();
      yield changed;
    } else yield bytes;
    offset += bytes.length;
  }
}

async function* cut(stream: AsyncIterable<Uint8Array>, { atByte, noteStruck }: Strike): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const bytes of stream) {
    if (offset + bytes.length > atByte) {
      noteStruck();
      yield bytes.slice(0, atByte - offset);
      return;
    }
    yield bytes;
    offset += bytes.length;
  }
}

/** The block at the place and the next one that differs from it. */
async function* swapped(stream: AsyncIterable<Uint8Array>, { atByte, noteStruck }: Strike): AsyncGenerator<Uint8Array> {
  const wanted = Math.floor(atByte / blockBytes);
  let index = 0;
  let held: Uint8Array[] = [];
  for await (const block of inBlocks(stream)) {
    const first = held[0];
    if (index === wanted && !first) held = [block];
    else if (first && Buffer.compare(first, block) === 0) held.push(block);
    else if (first) {
      noteStruck();
      yield block;
      yield* held.slice(1);
      yield first;
      held = [];
    } else yield block;
    index += 1;
  }
  yield* held;
}

function damagedPart(damage: ReaderDamage, reader: BackupReader, strike: Strike): BackupReader {
  const change = damage === 'flip a byte of the content' ? flipped : damage === 'cut the tail of the content' ? cut : swapped;
  return { ...reader, readPart: (name) => (name === strike.part ? change(reader.readPart(name), strike) : reader.readPart(name)) };
}

async function withoutSegment(reader: BackupReader, archive: ArchiveReader, chance: () => number): Promise<DamagedReader | undefined> {
  const needed = reader.facts.archive;
  const names: string[] = [];
  for await (const name of archive.list(needed?.first)) if (!name.includes('.')) names.push(name);
  // Without the last one nothing would be missed: the log would only seem to end earlier.
  const hidden = names[Math.floor(chance() * (names.length - 1))];
  if (names.length < 2 || hidden === undefined) return undefined;
  let struck = false;
  const damaged: ArchiveReader = {
    async *list(from) {
      for await (const name of archive.list(from)) {
        if (name === hidden) struck = true;
        else yield name;
      }
    },
    async fetch(name) {
      if (name === hidden) struck = true;
      return name === hidden ? undefined : await archive.fetch(name);
    },
    gaps: () => archive.gaps(),
  };
  return { reader: { ...reader, readPart: (name) => reader.readPart(name), archive: damaged }, detail: hidden, struck: () => struck };
}

/** Where the damage goes is drawn by chance. Undefined where there is nothing that it could strike. */
export async function damageReader(damage: ReaderDamage, reader: BackupReader, chance: () => number): Promise<DamagedReader | undefined> {
  if (damage === 'lose a log segment') return reader.archive && (await withoutSegment(reader, reader.archive, chance));
  const leastBytes = damage === 'swap two blocks of the content' ? 2 * blockBytes : 2;
  const total = reader.parts.filter(({ bytes }) => bytes >= leastBytes).reduce((sum, { bytes }) => sum + bytes, 0);
  let rest = Math.floor(chance() * total);
  // A part is as likely as it is long.
  const part = reader.parts
    .filter(({ bytes }) => bytes >= leastBytes)
    .find(({ bytes }) => {
      rest -= bytes;
      return rest < 0;
    });
  if (!part) return undefined;
  const last = damage === 'swap two blocks of the content' ? part.bytes - 2 * blockBytes : part.bytes - 1;
  const atByte = Math.floor(chance() * Math.max(1, last));
  let struck = false;
  const noteStruck = (): void => {
    struck = true;
  };
  const strike: Strike = { part: part.name, atByte, noteStruck };
  if (atByte < 0) throw fail('BUG_BROKEN_BELIEF', { message: 'a place in a part is not negative' });
  return { reader: damagedPart(damage, reader, strike), detail: `${part.name} at byte ${atByte} of ${part.bytes}`, struck: () => struck };
}
