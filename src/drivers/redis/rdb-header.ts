/**
 * What the head and the tail of an RDB file say. Pure.
 *
 * The head is `REDIS` and four digits, then auxiliary fields: opcode 0xFA and two strings. The tail is the opcode 0xFF and a CRC-64 of eight bytes.
 */
import { fail } from '../../base/errors.ts';

export interface RdbHeader {
  /** 10 for Redis 7.0. */
  readonly version: number;
  /** `redis-ver`, `ctime`, `used-mem`, `repl-id`, ... */
  readonly fields: ReadonlyMap<string, string>;
}

const auxiliary = 0xfa;
const tailBytes = 9;
const endOfFile = 0xff;

/** From the first bytes; fields that do not fit into them are left out. */
export function parseRdbHeader(bytes: Buffer): RdbHeader {
  const magic = /^(?:REDIS|VALKEY)(\d{3,4})/.exec(bytes.toString('latin1', 0, 10));
  if (!magic)
    throw fail('BACKUP_INCOMPLETE', {
      message: 'what the server sent does not begin as a snapshot does',
      hint: 'Is it a Redis or Valkey server, and not a proxy?',
    });
  const fields = new Map<string, string>();
  let at = magic[0].length;
  while (at < bytes.length && bytes[at] === auxiliary) {
    const name = readString(bytes, at + 1);
    const value = name && readString(bytes, name.end);
    if (!name || !value) break;
    fields.set(name.text, value.text);
    at = value.end;
  }
  return { version: Number(magic[1]), fields };
}

function readString(bytes: Buffer, at: number): { readonly text: string; readonly end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const kind = first >> 6;
  if (kind === 3) return readNumber(bytes, at, first & 0x3f);
  if (kind === 2 && first !== 0x80) return undefined;
  const headBytes = kind === 0 ? 1 : kind === 1 ? 2 : 5;
  if (at + headBytes > bytes.length) return undefined;
  const length = kind === 0 ? first & 0x3f : kind === 1 ? ((first & 0x3f) << 8) | bytes.readUInt8(at + 1) : bytes.readUInt32BE(at + 1);
  const end = at + headBytes + length;
  return end > bytes.length ? undefined : { text: bytes.toString('latin1', at + headBytes, end), end };
}

function readNumber(bytes: Buffer, at: number, encoding: number): { readonly text: string; readonly end: number } | undefined {
  const sizeBytes = [1, 2, 4][encoding];
  if (sizeBytes === undefined || at + 1 + sizeBytes > bytes.length) return undefined;
  return { text: String(bytes.readIntLE(at + 1, sizeBytes)), end: at + 1 + sizeBytes };
}

/** Whether the last bytes are those of a whole file. */
export function endsAsRdb(tail: Uint8Array): boolean {
  return tail.length >= tailBytes && tail.at(-tailBytes) === endOfFile;
}
