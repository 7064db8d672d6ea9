/**
 * The fingerprint of a store at rest: for each prefix how many keys, and a keyed digest over keys, values and revisions.
 *
 * A prefix is the first two names of a key, `/registry/pods`; keys of another form are `other keys`. Keys with a lease may be gone when a copy has run for as long as the lease: they are counted only, and may
 * be fewer in a copy. Memory is bounded by the number of prefixes; beyond the first ones all share an entry.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { KeyedSum } from '../../base/keyed-sum.ts';
import type { CheckResult, Fingerprint, FingerprintEntry } from '../../contracts/backup.ts';
import type { EtcdClient } from './client.ts';

export const leasedKeys = 'keys with a lease';
const otherPrefixes = 'keys under other prefixes';
const otherKeys = 'other keys';
const prefixesMax = 2_000;
const pageKeysMax = 500;
const pageBytesMax = 64 * 1_048_576;
const pageTimeoutMs = 120_000;

export interface StoreContent {
  readonly entries: readonly FingerprintEntry[];
  readonly revision: string;
  readonly keys: number;
}

interface KeyValue extends JsonObject {
  readonly key: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly version?: string;
  readonly lease?: string;
}

/** @param known the prefixes that an earlier fingerprint has entries for */
export async function readContent(
  client: EtcdClient,
  key: Uint8Array,
  known: ReadonlySet<string> | undefined,
  signal: AbortSignal,
): Promise<StoreContent> {
  const sums = new Map<string, KeyedSum>();
  const sumOf = (name: string): KeyedSum => {
    const isNamed = name === leasedKeys || (known === undefined ? sums.has(name) || sums.size < prefixesMax : known.has(name));
    const shown = isNamed ? name : otherPrefixes;
    let sum = sums.get(shown);
    if (sum === undefined) {
      sum = new KeyedSum(key);
      sums.set(shown, sum);
    }
    return sum;
  };
  let revision = '0';
  let keys = 0;
  for await (const page of pagesOf(client, signal)) {
    revision = page.revision;
    for (const pair of page.pairs) {
      keys += 1;
      const name = Buffer.from(pair.key, 'base64');
      const isLeased = pair.lease !== undefined && pair.lease !== '0';
      sumOf(isLeased ? leasedKeys : prefixOf(name)).add(
        name,
        Buffer.from(pair.value ?? '', 'base64'),
        `${pair.create_revision ?? 0} ${pair.mod_revision ?? 0} ${pair.version ?? 0}`,
      );
    }
  }
  const entries = [...sums].map(([name, sum]) => ({ name, count: sum.count, ...(name === leasedKeys ? {} : { digest: sum.hex() }) }));
  return { entries, revision, keys };
}

export function prefixOf(key: Buffer): string {
  return (
    /^\/?[\x21-\x2e\x30-\x7e]+\/[\x21-\x2e\x30-\x7e]+(?=\/)|^\/?[\x21-\x2e\x30-\x7e]+(?=\/)/.exec(key.toString('latin1'))?.[0] ?? otherKeys
  );
}

async function* pagesOf(
  client: EtcdClient,
  signal: AbortSignal,
): AsyncIterable<{ readonly revision: string; readonly pairs: readonly KeyValue[] }> {
  let from = Buffer.from([0]);
  let limit = pageKeysMax;
  let revision: string | undefined;
  for (;;) {
    let answer: JsonObject;
    try {
      answer = await client.call(
        '/v3/kv/range',
        {
          key: from.toString('base64'),
          range_end: 'AA==',
          limit: String(limit),
          ...(revision === undefined ? {} : { revision }),
        },
        { timeoutMs: pageTimeoutMs, maxBodyBytes: pageBytesMax, signal },
      );
    } catch (error) {
      // A page of large values: fewer of them.
      if (!(error instanceof HoldfastError) || error.details.isCut !== true || limit === 1) throw error;
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    const pairs = (answer.kvs ?? []) as readonly KeyValue[];
    revision ??= String((answer.header as JsonObject | undefined)?.revision ?? '0');
    yield { revision, pairs };
    const last = pairs.at(-1);
    if (answer.more !== true || last === undefined) return;
    // The key right after it.
    from = Buffer.concat([Buffer.from(last.key, 'base64'), Buffer.from([0])]);
  }
}

export function compareContent(expected: Fingerprint, seen: readonly FingerprintEntry[]): readonly CheckResult[] {
  const results: CheckResult[] = [];
  const check = (name: string, ok: boolean, detail: string): void =>
    void results.push({ name: `${name} equals its fingerprint`, level: 'P4', ok, detail });
  if (expected.entries.length === 0 && expected.empty !== true) {
    check('content', false, `nothing to compare with: ${(expected.limits ?? []).join('; ')}`);
    return results;
  }
  for (const entry of expected.entries) {
    const there = seen.find(({ name }) => name === entry.name);
    const counts = `${entry.count} keys in the backup, ${there?.count ?? 0} in the copy`;
    if (entry.name === leasedKeys)
      check(entry.name, (there?.count ?? 0) <= entry.count, `${counts}: leases end, so their content was not compared`);
    else if (there?.count !== entry.count) check(entry.name, false, counts);
    else
      check(
        entry.name,
        there.digest === entry.digest,
        there.digest === entry.digest ? `${entry.count} keys, same digest` : `${entry.count} keys, and some differ`,
      );
  }
  for (const { name, count } of seen)
    if (!expected.entries.some((entry) => entry.name === name)) check(name, false, `none in the backup, ${count} in the copy`);
  if (expected.entries.length === 0) check('content', seen.length === 0, 'there was no key at backup time');
  return results;
}
