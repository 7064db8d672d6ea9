/**
 * Reads a committed backup back: finds the pieces in the chapters, fetches a few ahead, opens, expands and checks each before a byte of it is handed on.
 *
 * Invariant: what `readPart` yields is what was written, from its first byte to its last; anything else is BACKUP_DAMAGED. Where pieces are sealed the tag stands for the stored
 * digest, and where they are not the plain digest does: no byte is hashed twice. Reads only.
 */
import { createHash } from 'node:crypto';
import { fail, HoldfastError } from '../base/errors.ts';
import { sha256Hex } from '../base/hashing.ts';
import type { BackupSeal } from './backup-seal.ts';
import { inOrder } from './lanes.ts';
import type { Manifest, PartLine, PieceLine } from './manifest.ts';
import { chapterObject, pieceObject } from './object-names.ts';
import { makeBuffers, type PieceBuffers } from './piece-buffers.ts';
import { getObject, type ObjectStore } from './put-object.ts';
import { pieceBytes } from './repository-format.ts';
import { inflate, tagBytes } from './sealing.ts';

const piecesAhead = 3;
/** A piece as this version writes it, and the block of a disk that its end lies in. A larger one goes into memory of its own. */
const bufferBytes = pieceBytes + 64 * 1_024;
const lendFromBytes = 256 * 1_024;
/** A part of fewer pieces, as a file of the log is, would leave its buffers to the collector as soon as they pay. */
const lendFromPieces = 8;

export interface BackupContent {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  /** Undefined where the key is not at hand: then stored bytes alone can be read. */
  readonly seal: BackupSeal | undefined;
}

/** The lines of one chapter, checked. */
export async function readChapter({ store, manifest }: BackupContent, index: number): Promise<readonly PieceLine[]> {
  const { component, backup } = manifest.head;
  const line = manifest.chapters[index];
  if (line === undefined) throw contentDamaged(manifest, `there is no chapter ${index}`);
  const object = chapterObject(component, backup, line.chapter);
  const content = await getForRestore(store, manifest, object);
  if (sha256Hex(content) !== line.chapter) throw contentDamaged(manifest, `${object} has other bytes than its name says`, object);
  const lines = new TextDecoder().decode(content).split('\n').slice(0, -1);
  if (lines.length !== line.pieces) throw contentDamaged(manifest, `${object} lists ${lines.length} pieces and not ${line.pieces}`, object);
  try {
    return lines.map((text) => JSON.parse(text) as PieceLine);
  } catch (cause) {
    throw contentDamaged(manifest, `${object} is not a list of pieces`, object, cause);
  }
}

/** The pieces of a part in order; that all are there, and no others, is checked at the end. */
export async function* listPieces(content: BackupContent, part: PartLine): AsyncGenerator<PieceLine> {
  const digest = createHash('sha256');
  let next = 0;
  let plainBytes = 0;
  for (let chapter = part.firstChapter; next < part.pieces; chapter += 1) {
    for (const line of await readChapter(content, chapter)) {
      if (line.part !== part.part) continue;
      if (line.position !== next)
        throw contentDamaged(content.manifest, `the part ${part.part} lists piece ${line.position} in the place of ${next}`);
      next += 1;
      plainBytes += line.plainBytes;
      digest.update(line.plain);
      yield line;
    }
  }
  if (next !== part.pieces || plainBytes !== part.plainBytes || digest.digest('hex') !== part.digest)
    throw contentDamaged(content.manifest, `the pieces of the part ${part.part} do not add up to it`);
}

export async function* readPart(content: BackupContent, name: string): AsyncGenerator<Uint8Array> {
  const part = content.manifest.parts.find((line) => line.part === name);
  if (part === undefined)
    throw fail('NOT_FOUND', { message: `the backup ${content.manifest.head.backup} has no part "${name}"`, subject: name });
  const buffers = part.pieces < lendFromPieces ? undefined : makeBuffers(content.store.backend, bufferBytes, piecesAhead);
  yield* inOrder(listPieces(content, part), piecesAhead, (line) => readPiece(content, line, buffers));
}

async function readPiece(content: BackupContent, line: PieceLine, buffers: PieceBuffers | undefined): Promise<Uint8Array> {
  const { store, manifest, seal } = content;
  const { component, backup } = manifest.head;
  const object = pieceObject(component, backup, line.stored);
  // What is not sealed is handed on as it came, and small pieces are not worth it.
  const isLent = seal?.seal !== undefined && line.storedBytes >= lendFromBytes && line.storedBytes <= bufferBytes;
  const buffer = isLent ? buffers?.take() : undefined;
  try {
    const stored = await getForRestore(store, manifest, object, buffer);
    const plain = seal === undefined ? undefined : await openPiece(seal, line, stored, stored.buffer === buffer?.buffer);
    if (plain !== undefined) return plain;
  } finally {
    if (buffer !== undefined) buffers?.giveBack(buffer);
  }
  throw contentDamaged(manifest, `piece ${line.position} of the part ${line.part} is not what was written (${object})`, object);
}

/** Undefined where the stored bytes are not those that were written for this very piece. The memory of the stored bytes may hold the plain ones afterwards, unless it is lent. */
export async function openPiece(seal: BackupSeal, line: PieceLine, stored: Uint8Array, isLent = false): Promise<Uint8Array | undefined> {
  if (stored.length !== line.storedBytes) return undefined;
  if (seal.seal === undefined) return await expandPiece(seal, line, stored);
  const nonce = Buffer.from(line.nonce ?? '', 'base64');
  const words = seal.words(line.part, line.position);
  if (line.codec === 'zstd') {
    const body = seal.seal.openInPlace(stored, nonce, words);
    return body === undefined ? undefined : await expandPiece(seal, line, body);
  }
  if (stored.length !== line.plainBytes + tagBytes) return undefined;
  const digest = seal.plainDigest.begin();
  const target = isLent ? new Uint8Array(Buffer.allocUnsafeSlow(line.plainBytes).buffer) : stored;
  const plain = seal.seal.openInto(target, stored, nonce, words, digest);
  return plain !== undefined && digest.finish() === line.plain ? plain : undefined;
}

async function expandPiece(seal: BackupSeal, line: PieceLine, body: Uint8Array): Promise<Uint8Array | undefined> {
  const plain = await inflate(line.codec, body, line.plainBytes);
  return plain !== undefined && (await seal.plainDigest.of(plain)) === line.plain ? plain : undefined;
}

async function getForRestore(store: ObjectStore, manifest: Manifest, object: string, into?: Uint8Array): Promise<Uint8Array> {
  try {
    return await getObject(store, object, undefined, into);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STORE_NO_OBJECT')
      throw contentDamaged(manifest, `${object} is missing`, object, error);
    throw error;
  }
}

function contentDamaged(manifest: Manifest, why: string, object?: string, cause?: unknown): HoldfastError {
  const { component, backup } = manifest.head;
  return fail('BACKUP_DAMAGED', {
    message: `the backup ${backup} of ${component} is damaged: ${why}`,
    subject: `${component} ${backup}`,
    ...(object === undefined ? {} : { details: { object } }),
    ...(cause === undefined ? {} : { cause }),
  });
}
