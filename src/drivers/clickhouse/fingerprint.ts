/**
 * Counts and keyed digests of tables: of a live server for exactly the parts that a backup holds, and of a copy for all it has.
 *
 * Parts never change: rows that were written since lie in other parts, so that the digest is that of the backup's own instant while writes go on. A part that was merged meanwhile is gone from
 * queries; then there is no digest, and `limits` says so, rather than one of another instant. Rows are digested by the server (SipHash of each, added up), so that they don't leave it; its key is
 * made from the repository's and is of no use elsewhere.
 */
import { createHmac } from 'node:crypto';
import type { CheckResult, Fingerprint, FingerprintEntry } from '../../contracts/backup.ts';
import { type ClickhouseClient, literal, type QueryLimits, type Row, tableOf } from './client.ts';
import { nameOf, type TableName } from './table-patterns.ts';

export const isMergeTree = (engine: string): boolean => /MergeTree$/.test(engine);

/** The parts of each table in a backup's own list of files, `database.table` first. */
export async function readBackupParts(
  client: ClickhouseClient,
  path: string,
  limits: QueryLimits,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await client.query(
    `SELECT splitByChar('/', path)[1] AS database, splitByChar('/', path)[2] AS name, groupArray(splitByChar('/', path)[3]) AS parts
     FROM (
       SELECT DISTINCT arrayJoin(extractAll(content, '<name>data/([^<]*)/[^/<]*</name>')) AS path
       FROM file(${literal(`${path} :: .backup`)}, 'RawBLOB', 'content String')
     )
     WHERE length(splitByChar('/', path)) = 3 GROUP BY database, name`,
    { ...limits, maxBodyBytes: 64 * 1_048_576 },
  );
  return new Map(
    rows.map((row) => [
      nameOf({ database: decodeURIComponent(String(row.database)), name: decodeURIComponent(String(row.name)) }),
      row.parts as readonly string[],
    ]),
  );
}

/** Undefined where parts of the backup are there no longer. */
export async function digestTable(
  client: ClickhouseClient,
  table: TableName,
  key: Uint8Array,
  parts: readonly string[] | undefined,
  limits: QueryLimits,
): Promise<FingerprintEntry | undefined> {
  const own = createHmac('sha256', key).update('clickhouse').digest();
  const words = `toUInt64('${own.readBigUInt64LE(0)}'), toUInt64('${own.readBigUInt64LE(8)}')`;
  const where = parts === undefined ? '' : ` WHERE _part IN (${parts.length === 0 ? "''" : parts.map(literal).join(', ')})`;
  const seen = parts === undefined ? '0' : 'uniqExact(_part)';
  const [row] = await client.query(
    `SELECT count() AS rows, ${seen} AS parts, hex(sum(toUInt256(reinterpretAsUInt128(sipHash128Keyed((${words}), formatRowNoNewline('RowBinary', *)))))) AS digest
     FROM ${tableOf(table)}${where} SETTINGS max_query_size = 67108864`,
    limits,
  );
  if (row === undefined || (parts !== undefined && Number(row.parts) !== parts.length)) return undefined;
  return entryOf(table, row);
}

const entryOf = (table: TableName, { rows, digest }: Row): FingerprintEntry => ({
  name: nameOf(table),
  count: Number(rows),
  digest: String(digest).toLowerCase(),
});

export function compareEntries(expected: Fingerprint, seen: readonly FingerprintEntry[]): readonly CheckResult[] {
  if (expected.entries.length === 0)
    return [
      {
        name: 'content equals its fingerprint',
        level: 'P4',
        ok: false,
        detail: `nothing to compare with: ${(expected.limits ?? []).join('; ')}`,
      },
    ];
  return expected.entries.map((entry) => {
    const there = seen.find(({ name }) => name === entry.name);
    const ok = there?.count === entry.count && there.digest === entry.digest;
    const detail =
      there?.count !== entry.count
        ? `${entry.count} rows in the backup, ${there?.count ?? 'no such table'} in the copy`
        : `${entry.count} rows, ${ok ? 'same digest' : 'and some differ'}`;
    return { name: `${entry.name} equals its fingerprint`, level: 'P4', ok, detail } satisfies CheckResult;
  });
}
