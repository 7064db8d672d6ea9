/** The tables of a database that a fingerprint can cover, and those that it can't, in words. */

import type { TableSize } from './fingerprint-plan.ts';
import type { SqlSession } from './sql-session.ts';

export interface FingerprintTable extends TableSize {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  readonly materialized: boolean;
}

/** Names are as a person writes them in the component's own database; those of others carry the database's name. */
export function entryName(database: string, home: string, schema: string, table: string): string {
  return `${database === home ? '' : `${database}/`}${schema}.${table}`;
}

export async function readTables(
  session: SqlSession,
  database: string,
  home: string,
): Promise<{ readonly tables: readonly FingerprintTable[]; readonly limits: readonly string[] }> {
  const rows = await session.query(`
    SELECT namespace.nspname AS schema, relation.relname AS name, relation.relkind::text AS kind, relation.relpersistence::text AS persistence,
      pg_table_size(relation.oid)::float8 AS bytes, (pg_relation_size(relation.oid) / current_setting('block_size')::int)::float8 AS blocks, relation.reltuples::float8 AS rows,
      has_schema_privilege(namespace.oid, 'USAGE') AND has_table_privilege(relation.oid, 'SELECT') AS readable, relation.relispopulated AS populated
    FROM pg_class relation JOIN pg_namespace namespace ON namespace.oid = relation.relnamespace
    WHERE relation.relkind IN ('r', 'm') AND relation.relpersistence <> 't'
      AND namespace.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND namespace.nspname !~ '^pg_(temp|toast_temp)_'`);
  const unreadable = rows.filter((row) => row['readable'] !== true).length;
  // Empty in every copy: a recovery resets them.
  const unlogged = rows.filter((row) => row['persistence'] === 'u').length;
  const where = database === home ? '' : ` of the database ${database}`;
  const limits = [
    ...(unreadable === 0 ? [] : [`${unreadable} tables${where} may not be read by our role`]),
    ...(unlogged === 0 ? [] : [`${unlogged} unlogged tables${where} are empty in every copy and were left out`]),
  ];
  const tables = rows
    .filter((row) => row['readable'] === true && row['persistence'] !== 'u' && row['populated'] === true)
    .map((row) => ({
      database,
      schema: String(row['schema']),
      table: String(row['name']),
      name: entryName(database, home, String(row['schema']), String(row['name'])),
      materialized: row['kind'] === 'm',
      bytes: Number(row['bytes']),
      blocks: Number(row['blocks']),
      ...(Number(row['rows']) > 0 ? { rows: Number(row['rows']) } : {}),
    }));
  return { tables, limits };
}
