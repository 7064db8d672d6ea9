/**
 * Digests, compression and sealing of byte blocks. Compression and the digests of whole blocks run on Node's thread pool; sealing, and digests of bytes as they arrive, in small slices on
 * the spot: that costs less than handing them over.
 *
 * Invariant: a sealed block opens only with its key, its nonce and the very words (associated data) that it was sealed for: a block that was moved elsewhere does not open.
 * Where nothing is encrypted, digests of plain bytes are plain SHA-256; where it is, they are keyed, so that nobody without the key can tell whether a known file is in a backup.
 */
import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  type Hash,
  type Hmac,
  hkdfSync,
  subtle,
} from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib';
import { assert } from '../base/assert.ts';
import { releaseMemory } from '../base/release-memory.ts';

export const nonceBytes = 12;
export const tagBytes = 16;
export const keyBytes = 32;

export type Codec = 'none' | 'zstd';

/** What the APIs of Node take; they never look at who owns the memory. */
type Bytes = Uint8Array<ArrayBuffer>;

const compress = promisify<Uint8Array, object, Buffer>(zstdCompress);
const decompress = promisify<Uint8Array, object, Buffer>(zstdDecompress);

const toHex = (bytes: ArrayBuffer) => Buffer.from(bytes).toString('hex');

export async function digestStored(bytes: Uint8Array): Promise<string> {
  return toHex(await subtle.digest('SHA-256', bytes as Bytes));
}

/** HKDF-SHA256, 32 bytes: keys for one purpose each, named by `info`. */
export function deriveKey(key: Uint8Array, info: string, salt: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, info, keyBytes));
}

/** Digest of plain bytes: SHA-256, or HMAC-SHA256 with a key. */
export interface PlainDigest {
  of(bytes: Uint8Array): Promise<string>;
  /** For bytes that come little by little: digested on the spot, while they are still in the processor's cache, which saves the thread pool a copy of them. */
  begin(): RunningDigest;
}

export interface RunningDigest {
  update(bytes: Uint8Array): void;
  finish(): string;
}

export function openPlainDigest(key: Uint8Array | undefined): PlainDigest {
  // Only where it is used: what pushes a log while a database waits needs none of WebCrypto.
  let hmacKey: ReturnType<typeof importHmacKey> | undefined;
  return {
    of: async (bytes) => {
      if (key === undefined) return await digestStored(bytes);
      hmacKey ??= importHmacKey(key);
      return toHex(await subtle.sign('HMAC', await hmacKey, bytes as Bytes));
    },
    begin: () => (key === undefined ? openStoredDigest() : running(createHmac('sha256', key))),
  };
}

const importHmacKey = (key: Uint8Array) => subtle.importKey('raw', key as Bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);

/** `digestStored` of bytes that come little by little. */
export function openStoredDigest(): RunningDigest {
  return running(createHash('sha256'));
}

function running(digest: Hash | Hmac): RunningDigest {
  return { update: (bytes) => void digest.update(bytes), finish: () => digest.digest('hex') };
}

/** AES-256-GCM. The sealed form is the ciphertext with the tag of 16 bytes at its end. */
export interface Seal {
  /** For bytes that come little by little: sealed on the spot. WebCrypto's seal on the thread pool takes twice the processor time, for copies and for memory that is new each time. */
  begin(nonce: Uint8Array, associated: string): RunningSeal;
  seal(plain: Uint8Array, nonce: Uint8Array, associated: string): Uint8Array;
  /** Undefined where the key, the nonce, the words or any byte is not what it was sealed with. The plain bytes take the place of the sealed ones: no new memory. */
  openInPlace(sealed: Uint8Array, nonce: Uint8Array, associated: string): Uint8Array | undefined;
  /** The same into other memory, with a digest that takes the plain bytes along while they are in the processor's cache. Undefined: neither what lies there nor the digest means anything. */
  openInto(target: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, associated: string, along: RunningDigest): Uint8Array | undefined;
}

export interface RunningSeal {
  /** Puts the ciphertext of the next bytes into the target; it may be the very place that they are in. As many bytes as came. */
  into(target: Uint8Array, plain: Uint8Array): void;
  /** 16 bytes. */
  tag(): Uint8Array;
}

/** The processor's cache holds a slice and its result. */
const sealSliceBytes = 65_536;

export function openSeal(key: Uint8Array): Seal {
  const begin = (nonce: Uint8Array, associated: string): RunningSeal => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(new TextEncoder().encode(associated));
    return {
      into: (target, plain) => transform(cipher, target, plain),
      tag: () => {
        cipher.final();
        return cipher.getAuthTag();
      },
    };
  };
  const open = (target: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, associated: string, along?: RunningDigest) => {
    if (nonce.length !== nonceBytes || sealed.length < tagBytes) return undefined;
    const length = sealed.length - tagBytes;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(new TextEncoder().encode(associated));
    decipher.setAuthTag(sealed.subarray(length));
    transform(decipher, target, sealed.subarray(0, length), along);
    try {
      decipher.final();
    } catch {
      // The one answer that it gives for a tag that does not fit.
      return undefined;
    }
    return target.subarray(0, length);
  };
  return {
    begin,
    seal: (plain, nonce, associated) => {
      const sealed = new Uint8Array(plain.length + tagBytes);
      const running = begin(nonce, associated);
      running.into(sealed, plain);
      sealed.set(running.tag(), plain.length);
      return sealed;
    },
    openInPlace: (sealed, nonce, associated) => open(sealed, sealed, nonce, associated),
    openInto: open,
  };
}

function transform(cipher: Pick<Cipheriv, 'update'>, target: Uint8Array, source: Uint8Array, along?: RunningDigest): void {
  for (let at = 0; at < source.length; at += sealSliceBytes) {
    const slice = cipher.update(source.subarray(at, at + sealSliceBytes));
    along?.update(slice);
    target.set(slice, at);
    releaseMemory(slice);
  }
}

/** Fields joined by line ends. No field may hold one, so two different lists never give the same text. */
export function associatedText(fields: readonly (string | number)[]): string {
  const texts = fields.map(String);
  assert(!texts.some((text) => text.includes('\n')), 'no field of associated data holds a line end');
  return texts.join('\n');
}

const sampleSlices = 8;
const sampleSliceBytes = 8_192;
/** What saves less is kept as it is: reading it back is then faster. */
const worthwhileShare = 0.97;

/** zstd, or the very same bytes where they do not get smaller. A sample is tried first: zstd takes 10 ms to find out that 4 MiB of random bytes stay 4 MiB. */
export async function deflate(plain: Uint8Array, level: number): Promise<{ readonly codec: Codec; readonly bytes: Uint8Array }> {
  if (!isCompressible(plain)) return { codec: 'none', bytes: plain };
  const bytes = await compress(plain, {
    // One output buffer that is large enough: otherwise the result comes in pieces of 16 KiB that are joined afterwards.
    chunkSize: plain.length + (plain.length >> 7) + 1_024,
    pledgedSrcSize: plain.length,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  });
  return bytes.length < plain.length * worthwhileShare ? { codec: 'zstd', bytes } : { codec: 'none', bytes: plain };
}

function isCompressible(plain: Uint8Array): boolean {
  if (plain.length <= sampleSlices * sampleSliceBytes) return plain.length > 0;
  const sample = new Uint8Array(sampleSlices * sampleSliceBytes);
  const stride = Math.floor((plain.length - sampleSliceBytes) / (sampleSlices - 1));
  for (let slice = 0; slice < sampleSlices; slice += 1)
    sample.set(plain.subarray(slice * stride, slice * stride + sampleSliceBytes), slice * sampleSliceBytes);
  return zstdCompressSync(sample, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }).length < sample.length * worthwhileShare;
}

/** Undefined where the bytes are not what compressing `plainBytes` bytes gives. Never makes more than was promised. */
export async function inflate(codec: Codec, bytes: Uint8Array, plainBytes: number): Promise<Uint8Array | undefined> {
  if (codec === 'none') return bytes.length === plainBytes ? bytes : undefined;
  try {
    const plain = await decompress(bytes, { chunkSize: Math.max(plainBytes, 64), maxOutputLength: Math.max(plainBytes, 1) });
    return plain.length === plainBytes ? plain : undefined;
  } catch {
    // Any refusal of zstd means the same here: these are not the bytes that were compressed.
    return undefined;
  }
}
