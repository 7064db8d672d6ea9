/**
 * The content of a table in one number: computed in the server, independent of the order of its rows, and keyed, so that a manifest tells nothing of the content to those who don't
 * have the key.
 *
 * Two sums over keyed 64-bit hashes of each row's text (in any order the same), and over both, with the number of rows, HMAC-SHA256 under the repository's key.
 */
import { createHmac } from 'node:crypto';
import type { FingerprintEntry } from '../../../contracts/backup.ts';
import { formatSample, type Stripe } from './fingerprint-plan.ts';
import { quoteName, type SqlSession } from './sql-session.ts';

/** How values are written as text depends on these; so both sides say them. */
export const digestSettings = `SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex';
  SET xmlbinary = 'base64'; SET search_path = 'pg_catalog'; SET row_security = off; SET lc_monetary = 'C'; SET statement_timeout = 0; SET jit = off`;

const digestTimeoutMs = 4 * 3_600_000;

export interface DigestRequest {
  /** As the fingerprint names it. */
  readonly name: string;
  readonly schema: string;
  readonly table: string;
  readonly stripes: readonly Stripe[] | undefined;
  readonly blocks: number;
}

export async function digestTable(session: SqlSession, request: DigestRequest, key: Uint8Array): Promise<FingerprintEntry> {
  const { name, schema, table, stripes, blocks } = request;
  const where = stripes === undefined ? '' : ` WHERE ${stripes.map(rangeOf).join(' OR ')}`;
  const rows =
    stripes === undefined || stripes.length < 2
      ? rowsOf(schema, table, where)
      : stripes.map((stripe) => rowsOf(schema, table, ` WHERE ${rangeOf(stripe)}`)).join(' UNION ALL ');
  const [first, second] = seeds(key);
  const sums = await session.row(
    `SELECT count(*)::text AS count, coalesce(sum(hashtextextended(content, ${first})), 0)::text AS first,
       coalesce(sum(hashtextextended(content, ${second})), 0)::text AS second FROM (${rows}) AS contents`,
    [],
    digestTimeoutMs,
  );
  const count = Number(sums['count']);
  return {
    name,
    count,
    digest: createHmac('sha256', key)
      .update(JSON.stringify([name, count, sums['first'], sums['second']]))
      .digest('hex'),
    ...(stripes === undefined ? {} : { sample: formatSample(stripes, blocks) }),
  };
}

export async function countTable(
  session: SqlSession,
  { schema, table }: Pick<DigestRequest, 'schema' | 'table'>,
): Promise<{ readonly count: number }> {
  const row = await session.row(`SELECT count(*)::text AS count FROM ONLY ${quoteName(schema)}.${quoteName(table)}`, [], digestTimeoutMs);
  return { count: Number(row['count']) };
}

/** OFFSET 0 keeps the text of a row from being made twice, once for each sum. */
function rowsOf(schema: string, table: string, where: string): string {
  return `(SELECT holdfast_row::text AS content FROM ONLY ${quoteName(schema)}.${quoteName(table)} AS holdfast_row${where} OFFSET 0)`;
}

function rangeOf({ from, to, rows }: Stripe): string {
  if (rows !== undefined) return `(ctid >= '(${from},0)'::tid AND ctid <= '(${from},${rows})'::tid)`;
  return `(ctid >= '(${from},0)'::tid AND ctid < '(${to},0)'::tid)`;
}

function seeds(key: Uint8Array): readonly [bigint, bigint] {
  const bytes = createHmac('sha256', key).update('seeds of a fingerprint').digest();
  return [bytes.readBigInt64BE(0), bytes.readBigInt64BE(8)];
}
