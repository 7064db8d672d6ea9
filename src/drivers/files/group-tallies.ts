/**
 * Counts, sizes and keyed digests of files by group: the directory at the top that they are in (a tenant), or `.` for what is in no directory.
 *
 * Invariant: memory is bounded: the first groups have an entry each, everything beyond them shares one. Which groups these were stands in the fingerprint itself, so that a copy is
 * tallied in the same way, also one that lacks some.
 */
import { KeyedSum } from '../../base/keyed-sum.ts';
import type { CheckResult, Fingerprint, FingerprintEntry } from '../../contracts/backup.ts';
import type { TarEntry } from './tar-entry.ts';

export const groupsMax = 5_000;
export const restOfGroups = 'all other directories';

interface Tally {
  readonly sum: KeyedSum;
  bytes: number;
  files: number;
}

export class GroupTallies {
  readonly #key: Uint8Array;
  readonly #known: ReadonlySet<string> | undefined;
  readonly #tallies = new Map<string, Tally>();

  /** @param known the groups that an earlier fingerprint has entries for */
  constructor(key: Uint8Array, known?: ReadonlySet<string>) {
    this.#key = key;
    this.#known = known;
  }

  add(entry: TarEntry, contentSha256: Uint8Array): void {
    const slash = entry.path.indexOf('/');
    const own = slash < 0 && entry.kind !== 'directory' ? '.' : slash < 0 ? entry.path : entry.path.slice(0, slash);
    const group = this.#isNamed(own) ? own : restOfGroups;
    let tally = this.#tallies.get(group);
    if (tally === undefined) {
      tally = { sum: new KeyedSum(this.#key), bytes: 0, files: 0 };
      this.#tallies.set(group, tally);
    }
    tally.sum.add(entry.path, entry.kind, String(entry.mode), entry.target ?? '', contentSha256);
    tally.bytes += entry.sizeBytes;
    if (entry.kind === 'file') tally.files += 1;
  }

  entries(): readonly FingerprintEntry[] {
    return [...this.#tallies].map(([name, { sum, bytes, files }]) => ({ name, count: files, bytes, digest: sum.hex() }));
  }

  get files(): number {
    return [...this.#tallies.values()].reduce((sum, { files }) => sum + files, 0);
  }

  get bytes(): number {
    return [...this.#tallies.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #isNamed(group: string): boolean {
    if (this.#known !== undefined) return this.#known.has(group);
    return this.#tallies.has(group) || this.#tallies.size < groupsMax;
  }
}

export function compareTallies(expected: Fingerprint, seen: readonly FingerprintEntry[]): readonly CheckResult[] {
  const results = expected.entries.map((entry): CheckResult => {
    const there = seen.find(({ name }) => name === entry.name);
    const name = `${entry.name} equals its fingerprint`;
    if (there === undefined)
      return { name, level: 'P4', ok: false, detail: `${entry.name} is missing: ${entry.count} files in the backup` };
    if (there.count !== entry.count || there.bytes !== entry.bytes)
      return {
        name,
        level: 'P4',
        ok: false,
        detail: `${entry.count} files of ${entry.bytes} bytes in the backup, ${there.count} of ${there.bytes} in the copy`,
      };
    const ok = there.digest === entry.digest;
    return {
      name,
      level: 'P4',
      ok,
      detail: ok ? `${entry.count} files of ${entry.bytes} bytes, same digest` : 'same count and size, and other content, names or modes',
    };
  });
  for (const { name, count } of seen)
    if (!expected.entries.some((entry) => entry.name === name))
      results.push({
        name: `${name} equals its fingerprint`,
        level: 'P4',
        ok: false,
        detail: `not in the backup, ${count} files in the copy`,
      });
  return results.length > 0
    ? results
    : [{ name: 'content equals its fingerprint', level: 'P4', ok: expected.entries.length === 0, detail: 'no files, as at backup time' }];
}
