/**
 * The fingerprint of a data set at rest: for each type of key how many there are, and a keyed digest over their names, databases, values and expiry times.
 *
 * Invariant: equal data give equal entries, whatever the order. The server digests each value (DEBUG DIGEST-VALUE), so that values do not leave it; the key makes of it what only its
 * holder can repeat.
 *
 * Keys with an expiry time vanish by themselves: they are kept apart, in spans of time. While all keys of a span live they must be equal; once the last one is over none may be there;
 * in between there may not be more than there were, which is all that can be said then.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import { KeyedSum } from '../../base/keyed-sum.ts';
import type { CheckResult, Fingerprint, FingerprintEntry } from '../../contracts/backup.ts';
import type { RedisConnection, Reply, Word } from './port.ts';
import { scratchCommandMs } from './scratch-redis.ts';

const scanCount = '512';
const spansMs = [3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000];

/** Instants at which the spans of expiring keys begin, for a snapshot of that moment. */
function spanStarts(atMs: number): readonly number[] {
  return [0, ...spansMs.map((spanMs) => atMs + spanMs)];
}

class Tally {
  readonly sum: KeyedSum;
  firstMs = Number.POSITIVE_INFINITY;
  lastMs = 0;

  constructor(key: Uint8Array) {
    this.sum = new KeyedSum(key);
  }
}

/** @param takenAtMs the instant of the snapshot: spans of time are counted from there */
export async function readFingerprint(
  connection: RedisConnection,
  key: Uint8Array,
  takenAtMs: number,
  signal: AbortSignal,
): Promise<readonly FingerprintEntry[]> {
  const ask: Ask = async (commands, binary = false) => {
    const replies = await connection.send(commands, { timeoutMs: scratchCommandMs, signal, binary });
    return replies.map((reply) => {
      if (reply instanceof HoldfastError) throw reply;
      return reply;
    });
  };
  const starts = spanStarts(takenAtMs);
  const tallies = new Map<string, Tally>();
  const add: Add = (type, expiresMs, parts) => {
    const name = expiresMs < 0 ? `${type} keys` : spanName(starts.findLast((start) => start <= expiresMs) ?? 0, starts);
    const tally = tallies.get(name) ?? new Tally(key);
    tallies.set(name, tally);
    tally.sum.add(...parts);
    if (expiresMs < 0) return;
    tally.firstMs = Math.min(tally.firstMs, expiresMs);
    tally.lastMs = Math.max(tally.lastMs, expiresMs);
  };
  const [info] = await ask([['INFO', 'keyspace']]);
  for (const [, index, keys, expires] of String(info).matchAll(/^db(\d+):keys=(\d+),expires=(\d+)/gm)) {
    const lasting = await addDatabase(ask, add, index as string);
    const expected = Number(keys) - Number(expires);
    if (lasting !== expected)
      throw fail('BACKUP_TOOL_FAILED', {
        message: `database ${index} of the copy has ${expected} keys without an expiry time, and ${lasting} were seen`,
      });
  }
  return [...tallies].sort(([left], [right]) => (left < right ? -1 : 1)).map(([name, tally]) => entryOf(name, tally));
}

function entryOf(name: string, { sum, firstMs, lastMs }: Tally): FingerprintEntry {
  return { name, count: sum.count, digest: sum.hex(), ...(lastMs === 0 ? {} : { expiresFirstMs: firstMs, expiresLastMs: lastMs }) };
}

type Ask = (commands: readonly (readonly Word[])[], binary?: boolean) => Promise<readonly Reply[]>;
type Add = (type: string, expiresMs: number, parts: readonly (string | Uint8Array)[]) => void;

/** Returns how many keys without an expiry time there were. */
async function addDatabase(ask: Ask, add: Add, database: string): Promise<number> {
  let lasting = 0;
  let cursor = '0';
  await ask([['SELECT', database]]);
  do {
    const [page] = await ask([['SCAN', cursor, 'COUNT', scanCount]], true);
    const [next, names] = page as readonly [Uint8Array, readonly Uint8Array[]];
    cursor = Buffer.from(next).toString();
    if (names.length === 0) continue;
    const questions = names.flatMap((name) => [
      ['TYPE', name],
      ['PEXPIRETIME', name],
    ]);
    const [digests, ...answers] = await ask([['DEBUG', 'DIGEST-VALUE', ...names], ...questions]);
    names.forEach((name, at) => {
      const type = String(answers[at * 2]);
      const expiresMs = Number(answers[at * 2 + 1]);
      if (type === 'none') return; // its time came while it was looked at
      if (expiresMs < 0) lasting += 1;
      add(type, expiresMs, [database, type, name, String((digests as readonly Reply[])[at]), String(expiresMs)]);
    });
  } while (cursor !== '0');
  return lasting;
}

function spanName(start: number, starts: readonly number[]): string {
  const end = starts[starts.indexOf(start) + 1];
  if (end === undefined) return `keys that expire from ${formatInstant(start)} on`;
  return start === 0
    ? `keys that expire before ${formatInstant(end)}`
    : `keys that expire from ${formatInstant(start)} to ${formatInstant(end)}`;
}

/** @param during from when the copy was loaded to when it had been read: what expired in between may be there or not */
export function compareFingerprints(
  expected: Fingerprint,
  seen: readonly FingerprintEntry[],
  during: { readonly fromMs: number; readonly toMs: number },
): readonly CheckResult[] {
  const results: CheckResult[] = [];
  const check = (name: string, [ok, detail]: readonly [boolean, string]): void => void results.push({ name, level: 'P4', ok, detail });
  if (expected.entries.length === 0 && expected.empty !== true) {
    check('content equals its fingerprint', [false, `nothing to compare with: ${(expected.limits ?? []).join('; ')}`]);
    return results;
  }
  if (expected.entries.length === 0) check('content equals its fingerprint', [seen.length === 0, 'there was no key at backup time']);
  for (const entry of expected.entries) {
    const there = seen.find(({ name }) => name === entry.name);
    check(`${entry.name} equal their fingerprint`, compareEntry(entry, there, during));
  }
  for (const { name, count } of seen)
    if (!expected.entries.some((entry) => entry.name === name))
      check(`${name} equal their fingerprint`, [false, `none in the backup, ${count} in the copy`]);
  return results;
}

function compareEntry(
  entry: FingerprintEntry,
  there: FingerprintEntry | undefined,
  during: { readonly fromMs: number; readonly toMs: number },
): readonly [boolean, string] {
  const count = there?.count ?? 0;
  const counts = `${entry.count} in the backup, ${count} in the copy`;
  const { expiresFirstMs, expiresLastMs } = entry;
  if (typeof expiresFirstMs === 'number' && typeof expiresLastMs === 'number' && during.toMs >= expiresFirstMs) {
    if (during.fromMs >= expiresLastMs) return [count === 0, `${counts}: the time of all of them is over`];
    return [count <= entry.count, `${counts}: the time of some is over, so their content was not compared`];
  }
  if (count !== entry.count) return [false, counts];
  return there?.digest === entry.digest ? [true, `${count} keys, same digest`] : [false, `${count} keys, and the content of some differs`];
}
