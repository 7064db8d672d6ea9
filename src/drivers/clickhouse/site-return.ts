/**
 * Brings the tables of a backup into the server of another region: its files are handed over by the HTTP interface, then its own RESTORE takes them in.
 *
 * Invariant: a table that is there already is never touched, unless the record in `holdfast.restores` says that this very restore had begun to bring it. The record is written before the first
 * table is, and says `done` last: whoever comes after a death takes away what was half there and brings it anew.
 */
import { fail } from '../../base/errors.ts';
import type { BackupReader } from '../../contracts/backup.ts';
import type { CallsReturn } from '../../contracts/site-return.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { emptyFile, findFiles, writeFile } from './backup-files.ts';
import { archivePart, type BackedUpTable } from './backup-source.ts';
import { canaryTable } from './canary.ts';
import { type ClickhouseClient, exceptionOf, literal, type QueryLimits, tableOf } from './client.ts';
import { isOwnInstant, openBase, otherInstant } from './restore.ts';
import { restoreTables, tablesOf } from './restore-tables.ts';
import { type ClickhouseContext, openClient } from './site-parts.ts';
import { nameOf } from './table-patterns.ts';

const callMs = 120_000;
const unknownTables = new Set([60, 81]);

type Progress = 'begun' | 'done';

export function openReturn(context: ClickhouseContext): CallsReturn {
  return {
    kind: 'calls',
    holds: async (restoreId, step) => (await readRecord(await openClient(context), restoreId, limitsOf(step))) === 'done',
    bring: async (backup, target, restoreId, step) => {
      if (!isOwnInstant(target)) throw fail('RESTORE_TARGET_UNREACHABLE', otherInstant(backup));
      await bring(context, await openClient(context), backup, restoreId, step);
    },
  };
}

const limitsOf = ({ signal }: StepContext): QueryLimits => ({ timeoutMs: callMs, signal });

async function bring(
  context: ClickhouseContext,
  client: ClickhouseClient,
  backup: BackupReader,
  restoreId: string,
  step: StepContext,
): Promise<void> {
  const limits = limitsOf(step);
  const tables = tablesOf(backup);
  const ours = await readRecord(client, restoreId, limits);
  if (ours === undefined) {
    await refuseOthers(client, context.region, tables, limits);
    await writeRecord(client, restoreId, 'begun', limits);
  } else for (const table of tables) await client.run(`DROP TABLE IF EXISTS ${tableOf(table)} SYNC`, limits);
  // Holdfast's own: the rows of the backup tell how much came back.
  await client.run(`DROP TABLE IF EXISTS ${tableOf(canaryTable)} SYNC`, limits);
  const attempt = Buffer.from(context.host.random.bytes(4)).toString('hex');
  const prefix = `${context.site['backups-directory']}/holdfast-return.${context.component}.`;
  // What an attempt before was handing over when it died.
  for (const { path } of await findFiles(client, `${prefix}*.tar`, limits)) await emptyFile(client, path, limits);
  const place = `${prefix}${attempt}`;
  const base = await openBase(backup);
  const files = { archive: `${place}.tar`, base: base && `${place}.base.tar` };
  step.progress('handing the backup over');
  await writeFile(client, files.archive, backup.readPart(archivePart), limits);
  if (base && files.base) await writeFile(client, files.base, base.readPart(archivePart), limits);
  await restoreTables(context.host, client, tables, files, {
    id: `holdfast-return-${attempt}`,
    timeoutMs: context.options['backup-timeout'],
    signal: step.signal,
    progress: (message) => step.progress(message),
    withoutReplication: false,
  });
  for (const file of [files.archive, files.base]) if (file) await emptyFile(client, file, limits);
  await writeRecord(client, restoreId, 'done', limits);
}

async function refuseOthers(
  client: ClickhouseClient,
  region: string,
  tables: readonly BackedUpTable[],
  limits: QueryLimits,
): Promise<void> {
  const wanted = new Set(tables.filter(({ database }) => database !== canaryTable.database).map(nameOf));
  const rows = await client.query('SELECT database, name FROM system.tables WHERE NOT is_temporary', {
    ...limits,
    maxBodyBytes: 64 * 1_048_576,
  });
  const there = rows
    .map(({ database, name }) => nameOf({ database: String(database), name: String(name) }))
    .filter((name) => wanted.has(name));
  if (there.length > 0)
    throw fail('RESTORE_TARGET_NOT_EMPTY', {
      subject: region,
      message: `${client.name} has ${there.length} of the tables already (${there[0]} is one)`,
      hint: 'Look at what they hold; rename or drop them there, then holdfast retry.',
    });
}

async function readRecord(client: ClickhouseClient, restoreId: string, limits: QueryLimits): Promise<Progress | undefined> {
  try {
    const rows = await client.query(`SELECT progress FROM holdfast.restores WHERE id = ${literal(restoreId)}`, limits);
    const seen = rows.map(({ progress }) => progress);
    return seen.includes('done') ? 'done' : seen.includes('begun') ? 'begun' : undefined;
  } catch (error) {
    if (unknownTables.has(exceptionOf(error))) return undefined;
    throw error;
  }
}

async function writeRecord(client: ClickhouseClient, restoreId: string, progress: Progress, limits: QueryLimits): Promise<void> {
  await client.run('CREATE DATABASE IF NOT EXISTS holdfast', limits);
  await client.run('CREATE TABLE IF NOT EXISTS holdfast.restores (id String, progress String) ENGINE = MergeTree ORDER BY id', limits);
  await client.run(`INSERT INTO holdfast.restores SELECT ${literal(restoreId)}, ${literal(progress)}`, limits);
}
