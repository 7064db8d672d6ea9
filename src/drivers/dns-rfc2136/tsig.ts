/**
 * Transaction signatures (TSIG, RFC 8945): a message carries a keyed hash over itself, and the answer one over the request's hash and itself. So an answer that
 * verifies was made by a holder of the key for this very request. Pure: the caller says what time it is.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fail } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import {
  decodeName,
  encodeName,
  encodeRecord,
  normalizeName,
  type ReadMessage,
  recordClasses,
  recordTypes,
  uint16,
  type WireRecord,
} from './wire.ts';

export type TsigAlgorithm = 'hmac-sha256' | 'hmac-sha512';

export interface TsigKey {
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  /** Base64. */
  readonly secret: Secret;
}

export type TsigErrorName = 'BADSIG' | 'BADKEY' | 'BADTIME' | 'BADTRUNC' | `TSIG${number}`;

const usualFudgeSeconds = 300;
const errorNumbers: Readonly<Record<string, number>> = { BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 };

export interface TsigData {
  readonly keyName: string;
  readonly algorithm: string;
  readonly timeSeconds: number;
  readonly fudgeSeconds: number;
  readonly mac: Uint8Array;
  readonly originalId: number;
  readonly error: TsigErrorName | undefined;
  readonly other: Uint8Array;
}

export interface SigningParts {
  readonly timeSeconds: number;
  /** Of the request, when an answer is signed. */
  readonly requestMac?: Uint8Array;
  readonly error?: TsigErrorName;
  readonly other?: Uint8Array;
  /** How far the clocks may be apart. */
  readonly fudgeSeconds?: number;
}

/** The message with a TSIG record added, and its hash. */
export function signMessage(message: Uint8Array, key: TsigKey, parts: SigningParts): { readonly bytes: Buffer; readonly mac: Uint8Array } {
  const mac = computeMac(message, key, parts);
  return { bytes: appendTsig(message, key, parts, mac), mac };
}

/** A TSIG record without a hash: how a server answers to a key that it does not know, or a signature that it can't verify. */
export function appendUnsignedError(message: Uint8Array, key: Pick<TsigKey, 'name' | 'algorithm'>, parts: SigningParts): Buffer {
  return appendTsig(message, key, parts, new Uint8Array());
}

function appendTsig(message: Uint8Array, key: Pick<TsigKey, 'name' | 'algorithm'>, parts: SigningParts, mac: Uint8Array): Buffer {
  const buffer = Buffer.from(message);
  const other = parts.other ?? new Uint8Array();
  const data = Buffer.concat([
    encodeName(key.algorithm),
    time48(parts.timeSeconds),
    uint16(parts.fudgeSeconds ?? usualFudgeSeconds),
    uint16(mac.length),
    mac,
    buffer.subarray(0, 2),
    uint16(errorNumber(parts.error)),
    uint16(other.length),
    other,
  ]);
  buffer.writeUInt16BE(buffer.readUInt16BE(10) + 1, 10);
  return Buffer.concat([buffer, encodeRecord({ name: key.name, type: recordTypes.TSIG, class: recordClasses.ANY, ttl: 0, data })]);
}

/** The TSIG record of a message, taken apart; undefined where the message has none. */
export function readTsig(message: ReadMessage): TsigData | undefined {
  const record = message.additionals.at(-1);
  return record?.type === recordTypes.TSIG ? parseTsig(record) : undefined;
}

function parseTsig(record: WireRecord): TsigData {
  const { name: algorithm, end } = decodeName(record.data);
  const data = Buffer.from(record.data.subarray(end));
  const macLength = data.length >= 10 ? data.readUInt16BE(8) : 0;
  if (data.length < 16 + macLength) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the answer has a malformed TSIG record' });
  const error = data.readUInt16BE(12 + macLength);
  return {
    keyName: record.name,
    algorithm,
    timeSeconds: data.readUIntBE(0, 6),
    fudgeSeconds: data.readUInt16BE(6),
    mac: Uint8Array.from(data.subarray(10, 10 + macLength)),
    originalId: data.readUInt16BE(10 + macLength),
    error: error === 0 ? undefined : errorName(error),
    other: Uint8Array.from(data.subarray(16 + macLength)),
  };
}

/**
 * Whether the signature of a whole message is the key's. The time is not compared for answers: the hash of the request, which they are bound to, is fresher than any clock.
 */
export function verifySignature(bytes: Uint8Array, message: ReadMessage, key: TsigKey, requestMac?: Uint8Array): boolean {
  const tsig = readTsig(message);
  if (tsig === undefined || message.lastRecordOffset === undefined) return false;
  if (tsig.keyName !== normalizeName(key.name) || tsig.algorithm !== key.algorithm) return false;
  const unsigned = Buffer.from(bytes.subarray(0, message.lastRecordOffset));
  unsigned.writeUInt16BE(unsigned.readUInt16BE(10) - 1, 10);
  unsigned.writeUInt16BE(tsig.originalId, 0);
  const wanted = computeMac(unsigned, key, {
    timeSeconds: tsig.timeSeconds,
    other: tsig.other,
    fudgeSeconds: tsig.fudgeSeconds,
    ...(requestMac === undefined ? {} : { requestMac }),
    ...(tsig.error === undefined ? {} : { error: tsig.error }),
  });
  return tsig.mac.length === wanted.length && timingSafeEqual(tsig.mac, wanted);
}

function computeMac(message: Uint8Array, key: TsigKey, parts: SigningParts): Uint8Array {
  const hmac = createHmac(key.algorithm === 'hmac-sha512' ? 'sha512' : 'sha256', secretBytes(key.secret));
  if (parts.requestMac !== undefined) hmac.update(uint16(parts.requestMac.length)).update(parts.requestMac);
  const other = parts.other ?? new Uint8Array();
  hmac
    .update(message)
    .update(encodeName(key.name))
    .update(uint16(recordClasses.ANY))
    .update(Buffer.alloc(4))
    .update(encodeName(key.algorithm));
  hmac
    .update(time48(parts.timeSeconds))
    .update(uint16(parts.fudgeSeconds ?? usualFudgeSeconds))
    .update(uint16(errorNumber(parts.error)))
    .update(uint16(other.length))
    .update(other);
  return hmac.digest();
}

/** The key's bytes. A text that is no base64 would silently become another key: refused. */
function secretBytes(secret: Secret): Buffer {
  const text = secret.reveal().trim();
  if (text === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw fail('SPEC_INVALID', {
      message: `the TSIG secret from ${secret.source} is not base64`,
      hint: 'Give the text that stands behind "secret" in the key statement of the name server.',
    });
  }
  return Buffer.from(text, 'base64');
}

function errorNumber(error: TsigErrorName | undefined): number {
  if (error === undefined) return 0;
  return errorNumbers[error] ?? Number(error.slice('TSIG'.length));
}

function errorName(number: number): TsigErrorName {
  const known = Object.keys(errorNumbers).find((name) => errorNumbers[name] === number);
  return (known as TsigErrorName | undefined) ?? `TSIG${number}`;
}

function time48(seconds: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(seconds, 0, 6);
  return bytes;
}
