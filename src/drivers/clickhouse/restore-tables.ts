/**
 * RESTORE of the tables of a backup from files that lie where the server may read them.
 *
 * BACKUP of tables keeps no definitions of their databases: those are made first. A replicated table can't be made on a server without Keeper, and beside the live one it would meet its own path
 * there: for a copy it is made with the engine that it is without replication, and takes the parts from the backup.
 */
import { fail } from '../../base/errors.ts';
import type { BackupReader } from '../../contracts/backup.ts';
import type { Host } from '../../host/host.ts';
import type { BackedUpTable } from './backup-source.ts';
import { type ClickhouseClient, identifier, literal, tableOf } from './client.ts';
import { type Operation, runOperation } from './operation.ts';

const callMs = 60_000;

export interface RestoreFiles {
  readonly archive: string;
  /** Of the backup that an increment builds on. */
  readonly base: string | undefined;
}

export function tablesOf({ facts, backupId }: BackupReader): readonly BackedUpTable[] {
  const tables = facts.more?.tables;
  if (!Array.isArray(tables) || tables.length === 0) throw fail('BACKUP_DAMAGED', { message: `the facts of ${backupId} name no tables` });
  return tables as unknown as readonly BackedUpTable[];
}

export async function restoreTables(
  host: Host,
  client: ClickhouseClient,
  tables: readonly BackedUpTable[],
  files: RestoreFiles,
  operation: Omit<Operation, 'statement' | 'settings'> & { readonly withoutReplication: boolean },
): Promise<void> {
  const limits = { timeoutMs: callMs, signal: operation.signal };
  for (const database of new Set(tables.map((table) => table.database)))
    await client.run(`CREATE DATABASE IF NOT EXISTS ${identifier(database)}`, limits);
  const isReplicated = ({ engine }: BackedUpTable): boolean => operation.withoutReplication && engine.startsWith('Replicated');
  for (const table of tables.filter(isReplicated)) {
    const path = `metadata/${escapeName(table.database)}/${escapeName(table.name)}.sql`;
    const [row] = await client.query(
      `SELECT content FROM file(${literal(`${files.archive} :: ${path}`)}, 'RawBLOB', 'content String')`,
      limits,
    );
    await client.run(withoutReplication(String(row?.content)), limits);
  }
  const settings = [
    ...(files.base === undefined ? [] : [`base_backup = File(${literal(files.base)})`]),
    ...(tables.some(isReplicated) ? ['allow_different_table_def = 1'] : []),
  ];
  await runOperation(host, client, {
    ...operation,
    statement: `RESTORE ${tables.map((table) => `TABLE ${tableOf(table)}`).join(', ')} FROM File(${literal(files.archive)})`,
    settings,
  });
}

/** `ENGINE = ReplicatedReplacingMergeTree('/path', 'replica', version)` becomes `ENGINE = ReplacingMergeTree(version)`. */
export function withoutReplication(definition: string): string {
  const text = `'(?:[^'\\\\]|\\\\.)*'`;
  const withPath = new RegExp(`(ENGINE\\s*=\\s*)Replicated(\\w*MergeTree)\\(\\s*${text}\\s*,\\s*${text}\\s*,?\\s*`);
  if (withPath.test(definition)) return definition.replace(withPath, '$1$2(');
  return definition.replace(/(ENGINE\s*=\s*)Replicated(\w*MergeTree)/, '$1$2');
}

/** As ClickHouse writes a name in a path. */
const escapeName = (name: string): string =>
  [...Buffer.from(name)]
    .map((byte) =>
      /\w/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
