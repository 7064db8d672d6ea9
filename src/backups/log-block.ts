/**
 * One object of an archived log: a line of JSON (digest and length of the plain bytes, codec, nonce, digest of what follows), then the bytes, compressed and sealed.
 *
 * Invariant: a block opens only under the name that it was made for, and only if every byte of it, its first line included, is as it was written.
 */
import { fail, type HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { releaseMemory } from '../base/release-memory.ts';
import type { Random } from '../host/host.ts';
import type { RepositoryKeys } from './key-ladder.ts';
import { archivePrefix, encodeName } from './object-names.ts';
import { checkFormat, encodeJson, formatVersion, parseJsonObject } from './repository-format.ts';
import {
  associatedText,
  type Codec,
  deflate,
  deriveKey,
  inflate,
  nonceBytes,
  openPlainDigest,
  openSeal,
  openStoredDigest,
  type PlainDigest,
  type Seal,
  tagBytes,
} from './sealing.ts';

/** Logs come every few seconds and are pushed while a database waits: the fastest level, which costs a few per cent of space. */
const logCompressionLevel = 1;

/** Sealed and digested while it is in the processor's cache. */
const sliceBytes = 65_536;

export interface ArchiveSeal {
  readonly repositoryId: string;
  /** The names of all objects of the archive begin so. */
  readonly prefix: string;
  readonly seal: Seal | undefined;
  readonly plainDigest: PlainDigest;
  words(objectName: string): string;
}

export interface LogHeader extends JsonObject {
  readonly holdfast: 'log';
  readonly format: number;
  readonly repository: string;
  /** Its own name in the store: bytes that were moved to another one are found without a key. */
  readonly object: string;
  /** Of the plain bytes; of a log in slices: of all of it. */
  readonly digest: string;
  readonly bytes: number;
  readonly codec: Codec;
  readonly stored: string;
  readonly nonce?: string;
  /** The bytes are in so many objects of their own, and none follow here. */
  readonly slices?: number;
}

export function openArchiveSeal(repositoryId: string, component: string, identity: string, keys: RepositoryKeys | undefined): ArchiveSeal {
  const key = keys?.archiveKey(component, identity);
  return {
    repositoryId,
    prefix: archivePrefix(component, identity),
    seal: key === undefined ? undefined : openSeal(deriveKey(key, 'holdfast/1/logs')),
    plainDigest: openPlainDigest(key === undefined ? undefined : deriveKey(key, 'holdfast/1/plain-digests')),
    words: (objectName) => associatedText(['holdfast/1/log', repositoryId, encodeName(component), encodeName(identity), objectName]),
  };
}

export interface LogBlock {
  readonly object: string;
  readonly content: Uint8Array;
  readonly digest: string;
}

/** `objectName` is the object's name without the archive's prefix. */
export async function encodeLogBlock(archive: ArchiveSeal, objectName: string, plain: Uint8Array, random: Random): Promise<LogBlock> {
  // While the thread pool compresses. To have it digest too would cost a copy of the log, which takes longer than the digest.
  const [body, digest] = await Promise.all([deflate(plain, logCompressionLevel), digestHere(archive.plainDigest, plain)] as const);
  return finishBlock(archive, objectName, { digest, bytes: plain.length, codec: body.codec }, body.bytes, random);
}

/** The object that stands for a log in slices. Its seal covers no bytes, but its name and number of slices. */
export function encodeSlicedLog(
  archive: ArchiveSeal,
  objectName: string,
  facts: { readonly digest: string; readonly bytes: number; readonly slices: number },
  random: Random,
): LogBlock {
  const list = new TextEncoder().encode(`${facts.slices}`);
  return finishBlock(archive, objectName, { ...facts, codec: 'none' }, list, random);
}

function digestHere(plainDigest: PlainDigest, plain: Uint8Array): string {
  const running = plainDigest.begin();
  running.update(plain);
  return running.finish();
}

type BlockFacts = Pick<LogHeader, 'digest' | 'bytes' | 'codec'> & { readonly slices?: number };

function finishBlock(archive: ArchiveSeal, objectName: string, facts: BlockFacts, body: Uint8Array, random: Random): LogBlock {
  const { seal } = archive;
  const nonce = seal === undefined ? undefined : random.bytes(nonceBytes);
  const headerWith = (stored: string): Uint8Array => {
    const header: LogHeader = {
      holdfast: 'log',
      format: formatVersion,
      repository: archive.repositoryId,
      object: archive.prefix + objectName,
      ...facts,
      stored,
      ...(nonce === undefined ? {} : { nonce: Buffer.from(nonce).toString('base64') }),
    };
    return encodeJson(header);
  };
  // All digests are of one length: the bytes are sealed straight into their place, and the line before them is written when their digest is known.
  const headerBytes = headerWith(facts.digest).length;
  const content = new Uint8Array(headerBytes + body.length + (seal === undefined ? 0 : tagBytes));
  const payload = content.subarray(headerBytes);
  const running = seal === undefined || nonce === undefined ? undefined : seal.begin(nonce, archive.words(objectName));
  const stored = openStoredDigest();
  for (let at = 0; at < body.length; at += sliceBytes) {
    const slice = body.subarray(at, at + sliceBytes);
    if (running === undefined) payload.set(slice, at);
    else running.into(payload.subarray(at, at + sliceBytes), slice);
    stored.update(payload.subarray(at, at + slice.length));
  }
  if (running !== undefined) {
    payload.set(running.tag(), body.length);
    stored.update(payload.subarray(body.length));
  }
  content.set(headerWith(stored.finish()), 0);
  return { object: archive.prefix + objectName, content, digest: facts.digest };
}

/** The first line and the plain bytes, both checked. */
export async function decodeLogBlock(
  archive: ArchiveSeal,
  objectName: string,
  content: Uint8Array,
): Promise<{ readonly header: LogHeader; readonly plain: Uint8Array }> {
  const { header, payload } = splitLogBlock(archive, objectName, content);
  const damaged = () => logDamaged(archive, objectName, 'its bytes are not those that were written');
  const stored = openStoredDigest();
  stored.update(payload);
  if (stored.finish() !== header.stored) throw damaged();
  const nonce = Buffer.from(header.nonce ?? '', 'base64');
  const body = archive.seal === undefined ? payload : archive.seal.openInPlace(payload, nonce, archive.words(objectName));
  if (body === undefined) throw damaged();
  if (header.slices !== undefined) {
    if (new TextDecoder().decode(body) !== `${header.slices}`) throw damaged();
    return { header, plain: body };
  }
  const plain = await inflate(header.codec, body, header.bytes);
  if (plain === undefined || digestHere(archive.plainDigest, plain) !== header.digest) throw damaged();
  // It was opened in place: nobody can want these bytes again.
  if (archive.seal !== undefined && header.codec !== 'none') releaseMemory(content);
  return { header, plain };
}

export function splitLogBlock(
  archive: ArchiveSeal,
  objectName: string,
  content: Uint8Array,
): { readonly header: LogHeader; readonly payload: Uint8Array } {
  const lineEnd = content.indexOf(0x0a);
  const line = content.subarray(0, lineEnd + 1);
  const object = archive.prefix + objectName;
  const value = lineEnd < 0 ? undefined : parseJsonObject(line, object);
  if (value === undefined) throw logDamaged(archive, objectName, 'it has no first line');
  checkFormat(value, 'log', object);
  const { digest, bytes, codec, stored } = value;
  const isWhole =
    typeof digest === 'string' && typeof bytes === 'number' && typeof stored === 'string' && (codec === 'none' || codec === 'zstd');
  if (!isWhole || Buffer.compare(encodeJson(value), line) !== 0) throw logDamaged(archive, objectName, 'its first line was altered');
  if (value.object !== object || value.repository !== archive.repositoryId)
    throw logDamaged(archive, objectName, `it was written as ${String(value.object)} of the repository ${String(value.repository)}`);
  return { header: value as LogHeader, payload: content.subarray(lineEnd + 1) };
}

export function logDamaged(archive: ArchiveSeal, objectName: string, why: string): HoldfastError {
  const object = archive.prefix + objectName;
  return fail('BACKUP_DAMAGED', {
    message: `the archived log ${object} is damaged: ${why}`,
    hint: 'A restore can go up to it, not across it.',
    subject: object,
    details: { object },
  });
}
