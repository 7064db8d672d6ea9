/**
 * Names of a repository's objects. One prefix per backup, so that a backup is removed by removing its prefix; the names of components, histories and logs are written so that any
 * name of a system fits into the characters that a store takes, and can be read back.
 */
import { fail } from '../base/errors.ts';

export const repositoryObject = 'repo';
export const keysPrefix = 'keys/';
export const revokedKeysPrefix = 'keys-revoked/';
export const capabilitiesPrefix = 'capabilities/';
export const backupsPrefix = 'backups/';
export const archivesPrefix = 'wal/';

export type RecordFolder = 'proofs' | 'tombstones' | 'leases' | 'gaps' | 'evidence';

const plainCharacter = /[A-Za-z0-9._-]/;
export const nameCharactersMax = 160;

/** Any text as one part of an object's name: what a store might not take becomes `=` and two hex digits for each byte of UTF-8. */
export function encodeName(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let encoded = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    encoded += byte < 0x80 && plainCharacter.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (encoded.startsWith('.')) encoded = `=2E${encoded.slice(1)}`;
  if (encoded.length === 0 || encoded.length > nameCharactersMax)
    throw fail('BACKUP_INCOMPLETE', {
      message: `"${text.slice(0, 60)}" can not be part of an object's name: it is ${encoded.length === 0 ? 'empty' : 'too long'}`,
      hint: `A name has 1 to ${nameCharactersMax} characters.`,
    });
  return encoded;
}

export function decodeName(encoded: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < encoded.length; at += 1) {
    if (encoded[at] === '=') {
      bytes.push(Number.parseInt(encoded.slice(at + 1, at + 3), 16));
      at += 2;
    } else bytes.push(encoded.charCodeAt(at));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

export function backupPrefix(component: string, backupId: string): string {
  return `${backupsPrefix}${encodeName(component)}/${encodeName(backupId)}/`;
}

export const manifestObject = (component: string, backupId: string) => `${backupPrefix(component, backupId)}manifest`;

/** Named by the digest of the stored bytes: `sha256sum` checks it without any key. */
export const pieceObject = (component: string, backupId: string, storedDigest: string) =>
  `${backupPrefix(component, backupId)}pieces/${storedDigest}`;

export const chapterObject = (component: string, backupId: string, digest: string) =>
  `${backupPrefix(component, backupId)}chapters/${digest}`;

/** Records of a backup (or, for gaps, of a history). */
export const recordPrefix = (folder: RecordFolder, component: string, of: string) =>
  `${folder}/${encodeName(component)}/${encodeName(of)}/`;

export const archivePrefix = (component: string, identity: string) => `${archivesPrefix}${encodeName(component)}/${encodeName(identity)}/`;

const partMark = '.part-';

/** A log's name among the archive's objects. `.part-` and `.slice-` mark objects of our own. */
export function encodeLogName(name: string): string {
  return encodeName(name).replaceAll(partMark, '=2Epart-').replaceAll('.slice-', '=2Eslice-');
}

/** Bytes `from` (inclusive) to `to` (exclusive) of a log that was not finished then. Twelve hex digits each, so that names are in order. */
export function logPartName(name: string, from: number, to: number): string {
  const hex = (value: number) => value.toString(16).padStart(12, '0');
  return `${encodeLogName(name)}${partMark}${hex(from)}-${hex(to)}`;
}

export const logSliceName = (name: string, slice: number) => `${encodeLogName(name)}.slice-${String(slice).padStart(4, '0')}`;

export type LogObject =
  | { readonly kind: 'whole' | 'slice'; readonly name: string }
  | { readonly kind: 'part'; readonly name: string; readonly from: number; readonly to: number };

/** What an object below an archive's prefix is. */
export function parseLogObject(encoded: string): LogObject {
  const part = /^(.*)\.part-([0-9a-f]{12})-([0-9a-f]{12})$/.exec(encoded);
  if (part !== null)
    return {
      kind: 'part',
      name: decodeName(part[1] as string),
      from: Number.parseInt(part[2] as string, 16),
      to: Number.parseInt(part[3] as string, 16),
    };
  const slice = /^(.*)\.slice-\d{4}$/.exec(encoded);
  return slice === null ? { kind: 'whole', name: decodeName(encoded) } : { kind: 'slice', name: decodeName(slice[1] as string) };
}
