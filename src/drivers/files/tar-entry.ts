/**
 * The words that tar writer and tar reader share: one entry, its 512-byte header, and the extended records of pax for what does not fit into it.
 * https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
 */
import { fail } from '../../base/errors.ts';

export interface TarEntry {
  /** Relative, with slashes; a directory's without one at its end. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedMs: number;
  /** Where a link leads, as it is written. */
  readonly target?: string;
  /** What came before under this path does not count: the file was removed while it was read. */
  readonly discards?: boolean;
}

export const blockBytes = 512;
const nameMaxBytes = 100;
const sizeMaxBytes = 0o77777777777;
const kindByFlag: Readonly<Record<string, TarEntry['kind']>> = { '0': 'file', '\0': 'file', '5': 'directory', '2': 'link' };
const flagByKind: Readonly<Record<TarEntry['kind'], string>> = { file: '0', directory: '5', link: '2' };
export const extendedFlag = 'x';

export const paddingBytes = (sizeBytes: number): number => (blockBytes - (sizeBytes % blockBytes)) % blockBytes;

/** The blocks that go before the content. */
export function encodeHeader(entry: TarEntry): Buffer {
  const path = entry.kind === 'directory' ? `${entry.path}/` : entry.path;
  const records: Record<string, string> = {};
  if (!fitsName(path)) records.path = path;
  if (entry.target !== undefined && !fitsName(entry.target)) records.linkpath = entry.target;
  if (entry.sizeBytes > sizeMaxBytes) records.size = String(entry.sizeBytes);
  if (entry.discards === true) records['HOLDFAST.discards'] = '1';
  const own = block(entry.kind, path, entry);
  if (Object.keys(records).length === 0) return own;
  const content = Buffer.concat(Object.entries(records).map(([name, value]) => encodeRecord(name, value)));
  const padding = Buffer.alloc(paddingBytes(content.length));
  const before = block(extendedFlag, 'pax', { sizeBytes: content.length, mode: 0o600, modifiedMs: entry.modifiedMs });
  return Buffer.concat([before, content, padding, own]);
}

/** A name in the header ends at the first zero byte, and other programs read it as ASCII. */
const fitsName = (name: string): boolean => Buffer.byteLength(name) <= nameMaxBytes && /^[\x20-\x7e]*$/.test(name);

function encodeRecord(name: string, value: string): Buffer {
  const rest = Buffer.byteLength(name) + Buffer.byteLength(value) + 3;
  let length = rest + String(rest).length;
  if (String(length).length + rest !== length) length = rest + String(length).length;
  return Buffer.from(`${length} ${name}=${value}\n`);
}

function block(
  kind: TarEntry['kind'] | typeof extendedFlag,
  path: string,
  facts: Pick<TarEntry, 'sizeBytes' | 'mode' | 'modifiedMs' | 'target'>,
): Buffer {
  // From the pool: a buffer of its own for each of a million headers would be freed late.
  const bytes = Buffer.allocUnsafe(blockBytes).fill(0);
  const put = (text: string, at: number, maxBytes: number): void => void bytes.write(text, at, maxBytes, 'latin1');
  const octal = (value: number, at: number, digits: number): void => put(`${value.toString(8).padStart(digits, '0')}`, at, digits);
  put(path.replace(/[^\x20-\x7e]/g, '_'), 0, nameMaxBytes);
  octal(facts.mode & 0o7777, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(Math.min(facts.sizeBytes, sizeMaxBytes), 124, 11);
  octal(Math.max(0, Math.floor(facts.modifiedMs / 1_000)), 136, 11);
  put(kind === extendedFlag ? extendedFlag : flagByKind[kind], 156, 1);
  put((facts.target ?? '').replace(/[^\x20-\x7e]/g, '_'), 157, nameMaxBytes);
  put('ustar\x0000', 257, 8);
  put(' '.repeat(8), 148, 8);
  put(`${checksumOf(bytes).toString(8).padStart(6, '0')}\0 `, 148, 8);
  return bytes;
}

function checksumOf(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < blockBytes; at += 1) sum += at >= 148 && at < 156 ? 32 : (bytes[at] as number);
  return sum;
}

export interface DecodedHeader {
  readonly flag: string;
  readonly path: string;
  readonly target: string;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedMs: number;
}

/** Undefined for a block of zeros: the end. */
export function decodeHeader(bytes: Buffer): DecodedHeader | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  const text = (at: number, length: number): string => bytes.toString('latin1', at, at + length).split('\0')[0] as string;
  const octal = (at: number, length: number): number => Number.parseInt(text(at, length).trim() || '0', 8);
  if (text(257, 5) !== 'ustar' || octal(148, 8) !== checksumOf(bytes))
    throw fail('BACKUP_DAMAGED', { message: 'the archive of files is damaged: a header is not one' });
  return {
    flag: text(156, 1) || '0',
    path: text(0, nameMaxBytes),
    target: text(157, nameMaxBytes),
    sizeBytes: octal(124, 12),
    mode: octal(100, 8),
    modifiedMs: octal(136, 12) * 1_000,
  };
}

export function decodeRecords(content: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = Number(content.toString('latin1', at, space));
    if (space < 0 || !Number.isInteger(length) || length <= 0 || at + length > content.length)
      throw fail('BACKUP_DAMAGED', { message: 'the archive of files is damaged: an extended header is not one' });
    const [name = '', ...value] = content.toString('utf8', space + 1, at + length - 1).split('=');
    records.set(name, value.join('='));
    at += length;
  }
  return records;
}

export function entryOf(header: DecodedHeader, records: ReadonlyMap<string, string>): TarEntry {
  const kind = kindByFlag[header.flag];
  const path = (records.get('path') ?? header.path).replace(/\/$/, '');
  if (kind === undefined)
    throw fail('BACKUP_DAMAGED', { message: `the archive of files has an entry of a kind that it never writes: ${path}` });
  return {
    path,
    kind,
    sizeBytes: kind === 'file' ? Number(records.get('size') ?? header.sizeBytes) : 0,
    mode: header.mode,
    modifiedMs: header.modifiedMs,
    ...(kind === 'link' ? { target: records.get('linkpath') ?? header.target } : {}),
    ...(records.get('HOLDFAST.discards') === '1' ? { discards: true } : {}),
  };
}
