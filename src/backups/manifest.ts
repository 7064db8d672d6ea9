/**
 * The manifest of a backup: JSON lines, readable without a key. It is the commit: what has one is a backup, what has none is not.
 *
 *   head       which repository, platform, component, backup; the wrapped key of the backup
 *   facts      what the driver says
 *   chapter    one line for each object that lists pieces, in order
 *   part       one line for each part: its length, its digest, where its first piece is listed
 *   end        the number of lines before, their digest, and the repository key's MAC over that digest
 *
 * The pieces themselves are listed in chapters: objects of lines, a few thousand each, named by their digest. So a manifest stays small enough to be read for a catalogue, and a backup
 * of any size is written and read without its list being held whole.
 *
 * Invariant: any altered, missing or added byte of a manifest or a chapter is found before anything that it says is used. Without the key, the MAC alone can't be checked.
 */
import { fail, type HoldfastError } from '../base/errors.ts';
import { sha256Hex } from '../base/hashing.ts';
import { canonicalJson, type Json, type JsonObject } from '../base/json.ts';
import type { BackupFacts } from '../contracts/backup.ts';
import type { RepositoryKeys, WrappedKey } from './key-ladder.ts';
import { formatVersion, type Suite } from './repository-format.ts';
import type { Codec } from './sealing.ts';

export interface ManifestHead extends JsonObject {
  readonly holdfast: 'manifest';
  readonly format: number;
  readonly repository: string;
  readonly platform: string;
  readonly component: string;
  readonly backup: string;
  readonly what: string;
  readonly suite: Suite;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly key?: WrappedKey;
}

export interface ChapterLine extends JsonObject {
  /** Digest of the chapter's bytes: also its name. */
  readonly chapter: string;
  readonly bytes: number;
  readonly pieces: number;
}

export interface PartLine extends JsonObject {
  readonly part: string;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly pieces: number;
  /** SHA-256 over the plain digests of its pieces, each as 64 characters, in order. */
  readonly digest: string;
  /** Number of the chapter that lists its first piece. */
  readonly firstChapter: number;
}

export interface PieceLine extends JsonObject {
  readonly part: string;
  readonly position: number;
  /** Digest of the stored bytes: also the object's name. */
  readonly stored: string;
  readonly storedBytes: number;
  readonly plain: string;
  readonly plainBytes: number;
  readonly codec: Codec;
  /** Base 64; where it is sealed. */
  readonly nonce?: string;
}

export interface Manifest {
  readonly head: ManifestHead;
  readonly facts: BackupFacts;
  readonly chapters: readonly ChapterLine[];
  readonly parts: readonly PartLine[];
  /** Of all lines before the last. */
  readonly digest: string;
}

export function encodeManifest(
  manifest: Omit<Manifest, 'digest'>,
  keys: RepositoryKeys | undefined,
): { readonly content: Uint8Array; readonly digest: string } {
  const lines = [manifest.head, { facts: manifest.facts }, ...manifest.chapters, ...manifest.parts].map(canonicalJson);
  const body = `${lines.join('\n')}\n`;
  const digest = sha256Hex(body);
  return { content: new TextEncoder().encode(body + endLine(lines.length, digest, keys)), digest };
}

function endLine(lines: number, digest: string, keys: RepositoryKeys | undefined): string {
  return `${canonicalJson({ end: { lines, digest, ...(keys === undefined ? {} : { mac: keys.mac(digest) }) } })}\n`;
}

export interface ExpectedManifest {
  readonly repositoryId: string;
  readonly platform: string;
  readonly suite: Suite;
  readonly component: string;
  readonly backupId: string;
  readonly keys: RepositoryKeys | undefined;
}

/** Everything of it is checked first: the closing line, the MAC where the key is at hand, and that it is the manifest of what it was looked for under. */
export function decodeManifest(bytes: Uint8Array, expected: ExpectedManifest): Manifest {
  const damaged = (why: string) => manifestDamaged(expected, why);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw damaged('it is not text');
  }
  const lastStart = text.lastIndexOf('\n', text.length - 2) + 1;
  const body = text.slice(0, lastStart);
  const lines = body.split('\n').slice(0, -1);
  // A newer format may end in another way, so this is asked before the ending is.
  refuseNewer(lines[0] ?? text, expected);
  const digest = sha256Hex(body);
  const closing = text.slice(lastStart);
  const unsigned = endLine(lines.length, digest, undefined);
  if (
    expected.suite === 'plain' ? closing !== unsigned : !closing.startsWith(`{"end":{"digest":"${digest}","lines":${lines.length},"mac":"`)
  )
    throw damaged('its closing line does not fit what is before it: it is cut short or was altered');
  if (expected.keys !== undefined && closing !== endLine(lines.length, digest, expected.keys))
    throw damaged('it was not written by who holds the key of this repository');
  return readLines(lines, digest, expected);
}

const manifestDamaged = (expected: Pick<ExpectedManifest, 'component' | 'backupId'>, why: string): HoldfastError =>
  fail('BACKUP_DAMAGED', {
    message: `the manifest of ${expected.component} ${expected.backupId} is damaged: ${why}`,
    subject: `${expected.component} ${expected.backupId}`,
  });

function refuseNewer(firstLine: string, expected: ExpectedManifest): void {
  let head: unknown;
  try {
    head = JSON.parse(firstLine);
  } catch {
    return;
  }
  const format = head !== null && typeof head === 'object' ? (head as JsonObject).format : undefined;
  if (typeof format === 'number' && format > formatVersion)
    throw fail('REPOSITORY_NEWER_FORMAT', {
      message: `the manifest of ${expected.component} ${expected.backupId} has format ${format}; this Holdfast reads up to ${formatVersion}`,
      subject: `${expected.component} ${expected.backupId}`,
    });
}

function readLines(lines: readonly string[], digest: string, expected: ExpectedManifest): Manifest {
  const [head, factsLine, ...rest] = lines.map((line) => parseLine(line, expected));
  if (head?.holdfast !== 'manifest' || head.format !== formatVersion) throw manifestDamaged(expected, 'it has no head');
  refuseForeign(head as ManifestHead, expected);
  const facts = factsLine?.facts as Json as BackupFacts | undefined;
  const chapters = rest.filter((line): line is ChapterLine => 'chapter' in line);
  const parts = rest.filter((line): line is PartLine => 'part' in line);
  const isWhole =
    areOf(head, ['what'], ['startedAtMs', 'endedAtMs']) &&
    areOf(facts, ['engine', 'engineVersion', 'identity'], ['consistentAtMs', 'dataBytes']) &&
    chapters.every((line) => areOf(line, ['chapter'], ['bytes', 'pieces'])) &&
    parts.every((line) => areOf(line, ['part', 'digest'], ['plainBytes', 'storedBytes', 'pieces', 'firstChapter'])) &&
    (expected.suite === 'plain') === (head.key === undefined);
  if (!isWhole || facts === undefined) throw manifestDamaged(expected, 'it lacks what a manifest should say');
  return { head: head as ManifestHead, facts, chapters, parts, digest };
}

/** Its digest is right, so who wrote it wrote it so: nothing of it is believed all the same. */
function parseLine(line: string, expected: ExpectedManifest): JsonObject {
  try {
    const value: unknown = JSON.parse(line);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Told below: there is nothing else to say of a line that is not JSON.
  }
  throw manifestDamaged(expected, 'a line of it is not an object of JSON');
}

function areOf(value: JsonObject | undefined, texts: readonly string[], numbers: readonly string[]): boolean {
  return (
    value !== null &&
    typeof value === 'object' &&
    texts.every((name) => typeof value[name] === 'string') &&
    numbers.every((name) => Number.isFinite(value[name]))
  );
}

function refuseForeign(head: ManifestHead, expected: ExpectedManifest): void {
  if (head.platform !== expected.platform || head.repository !== expected.repositoryId)
    throw fail('REPOSITORY_OTHER_PLATFORM', {
      message: `the manifest of ${expected.component} ${expected.backupId} was written for the platform "${head.platform}" in the repository ${head.repository}`,
      hint: 'It was brought here from another repository: restore it from there.',
      subject: `${expected.component} ${expected.backupId}`,
    });
  if (head.component !== expected.component || head.backup !== expected.backupId)
    throw manifestDamaged(expected, `it is the one of ${head.component} ${head.backup}`);
  if (head.suite !== expected.suite) throw manifestDamaged(expected, `it says ${head.suite} in a repository of ${expected.suite}`);
}
