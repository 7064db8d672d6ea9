/**
 * DNS messages (RFC 1035) as bytes, with the freedom that UPDATE (RFC 2136) and TSIG (RFC 8945) need: any class, any type, empty data. Pure.
 *
 * Names are text in lower case without the last dot; a dot or backslash inside a label is escaped with a backslash. Data of records that hold a name (NS, CNAME,
 * PTR, SOA) is given back uncompressed and in lower case, so that equal data is equal bytes.
 *
 * The npm package dns-packet is not used here: it has no class NONE and writes four bytes for an A record without data, both of which UPDATE needs; the tests read these messages with it.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';

export const recordTypes = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, TSIG: 250, ANY: 255 } as const;
export const recordClasses = { IN: 1, NONE: 254, ANY: 255 } as const;
export const opcodes = { query: 0, update: 5 } as const;
export const flagBits = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200 } as const;

const rcodeNames = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;
export type Rcode = (typeof rcodeNames)[number] | `RCODE${number}`;

export interface WireQuestion {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

export interface WireRecord extends WireQuestion {
  readonly ttl: number;
  readonly data: Uint8Array;
}

export interface WireMessage {
  readonly id: number;
  /** The 16 bits of the header with opcode and rcode. */
  readonly flags: number;
  readonly questions: readonly WireQuestion[];
  readonly answers: readonly WireRecord[];
  readonly authorities: readonly WireRecord[];
  readonly additionals: readonly WireRecord[];
}

/** A message as it was read: `lastRecordOffset` is where the last record begins (a TSIG record is always the last). */
export interface ReadMessage extends WireMessage {
  readonly lastRecordOffset: number | undefined;
}

export function rcodeOf(message: WireMessage): Rcode {
  const number = message.flags & 0x000f;
  return rcodeNames[number] ?? `RCODE${number}`;
}

export function rcodeNumber(rcode: (typeof rcodeNames)[number]): number {
  return rcodeNames.indexOf(rcode);
}

export function opcodeOf(message: WireMessage): number {
  return (message.flags >> 11) & 0x0f;
}

/** Throws SPEC_INVALID for a text that is no domain name. */
export function encodeName(name: string): Uint8Array {
  const bytes: number[] = [];
  for (const label of splitLabels(name)) {
    if (label.length === 0 || label.length > 63)
      throw fail('SPEC_INVALID', { message: `"${name}" is not a domain name: a label has 1 to 63 characters` });
    bytes.push(label.length);
    for (const character of label) bytes.push(character.charCodeAt(0));
  }
  if (bytes.length > 254) throw fail('SPEC_INVALID', { message: `"${name}" is not a domain name: it is longer than 255 bytes` });
  bytes.push(0);
  return Uint8Array.from(bytes);
}

function splitLabels(name: string): string[] {
  const text = normalizeName(name);
  if (text === '') return [];
  if (!text.includes('\\')) return text.split('.');
  const labels = [''];
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] as string;
    if (character === '.') {
      labels.push('');
      continue;
    }
    if (character === '\\') index += 1;
    labels[labels.length - 1] += text[index] ?? '';
  }
  return labels;
}

/** Lower case, no dot at the end. */
export function normalizeName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') && lower.at(-2) !== '\\' ? lower.slice(0, -1) : lower;
}

export function encodeMessage(message: WireMessage): Buffer {
  const { questions, answers, authorities, additionals } = message;
  const header = Buffer.allocUnsafe(12);
  header.writeUInt16BE(message.id, 0);
  header.writeUInt16BE(message.flags, 2);
  header.writeUInt16BE(questions.length, 4);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(authorities.length, 8);
  header.writeUInt16BE(additionals.length, 10);
  const parts: Uint8Array[] = [header];
  for (const { name, type, class: questionClass } of questions) {
    const fixed = Buffer.allocUnsafe(4);
    fixed.writeUInt16BE(type, 0);
    fixed.writeUInt16BE(questionClass, 2);
    parts.push(encodeName(name), fixed);
  }
  for (const section of [answers, authorities, additionals]) for (const record of section) parts.push(...recordParts(record));
  return Buffer.concat(parts);
}

export function encodeRecord(record: WireRecord): Buffer {
  return Buffer.concat(recordParts(record));
}

function recordParts({ name, type, class: recordClass, ttl, data }: WireRecord): Uint8Array[] {
  const fixed = Buffer.allocUnsafe(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(recordClass, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return [encodeName(name), fixed, data];
}

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** Throws SYSTEM_WRONG_ANSWER for bytes that are no DNS message. */
export function decodeMessage(bytes: Uint8Array): ReadMessage {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 12) throw notDns('it is shorter than a header');
  const cursor = new Cursor(buffer, 12);
  const count = (index: number) => buffer.readUInt16BE(4 + 2 * index);
  const questions = Array.from({ length: count(0) }, () => cursor.question());
  const answers = Array.from({ length: count(1) }, () => cursor.record());
  const authorities = Array.from({ length: count(2) }, () => cursor.record());
  const additionals = Array.from({ length: count(3) }, () => cursor.record());
  return {
    id: buffer.readUInt16BE(0),
    flags: buffer.readUInt16BE(2),
    questions,
    answers,
    authorities,
    additionals,
    lastRecordOffset: cursor.lastRecordOffset,
  };
}

/** The name at the beginning of data, and where it ends. */
export function decodeName(bytes: Uint8Array, offset = 0): { readonly name: string; readonly end: number } {
  const cursor = new Cursor(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset);
  const name = cursor.name();
  return { name, end: cursor.offset };
}

class Cursor {
  readonly #buffer: Buffer;
  offset: number;
  lastRecordOffset: number | undefined;

  constructor(buffer: Buffer, offset: number) {
    this.#buffer = buffer;
    this.offset = offset;
  }

  question(): WireQuestion {
    const name = this.name();
    return { name, type: this.uint16(), class: this.uint16() };
  }

  record(): WireRecord {
    this.lastRecordOffset = this.offset;
    const { name, type, class: recordClass } = this.question();
    const ttl = this.uint16() * 0x1_0000 + this.uint16();
    const length = this.uint16();
    const start = this.offset;
    if (start + length > this.#buffer.length) throw notDns('a record goes beyond its end');
    const data = length > 0 ? this.#uncompressed(type, start, length) : new Uint8Array();
    this.offset = start + length;
    return { name, type, class: recordClass, ttl, data };
  }

  #uncompressed(type: number, start: number, length: number): Uint8Array {
    const isName = type === recordTypes.NS || type === recordTypes.CNAME || type === recordTypes.PTR;
    if (isName) return encodeName(this.name());
    if (type !== recordTypes.SOA) return Uint8Array.from(this.#buffer.subarray(start, start + length));
    const names = Buffer.concat([encodeName(this.name()), encodeName(this.name())]);
    return Uint8Array.from(Buffer.concat([names, this.#buffer.subarray(this.offset, start + length)]));
  }

  /** A pointer may lead only to an earlier place than the name that it continues: so no message can make this loop. */
  name(): string {
    let text = '';
    let position = this.offset;
    let earliest = position;
    let end: number | undefined;
    let length = 0;
    for (;;) {
      const size = this.#buffer[position];
      if (size === undefined) throw notDns('a name goes beyond its end');
      if (size === 0) break;
      if (size >= 0xc0) {
        const low = this.#buffer[position + 1];
        end ??= position + 2;
        position = (size & 0x3f) * 256 + (low ?? 0);
        if (low === undefined || position >= earliest) throw notDns('a name points forward');
        earliest = position;
        continue;
      }
      length += size + 1;
      if (size > 63 || length > 254 || position + 1 + size > this.#buffer.length) throw notDns('a name is malformed');
      if (text !== '') text += '.';
      for (let place = position + 1; place <= position + size; place += 1) {
        const character = String.fromCharCode(this.#buffer[place] as number);
        text += character === '.' || character === '\\' ? `\\${character}` : character;
      }
      position += size + 1;
    }
    this.offset = end ?? position + 1;
    return text.toLowerCase();
  }

  uint16(): number {
    if (this.offset + 2 > this.#buffer.length) throw notDns('it ends early');
    this.offset += 2;
    return this.#buffer.readUInt16BE(this.offset - 2);
  }
}

function notDns(why: string): HoldfastError {
  return fail('SYSTEM_WRONG_ANSWER', {
    message: `this is not a DNS message: ${why}`,
    hint: 'Is it the right address and port of a name server?',
  });
}
