/**
 * Restores a backup into a directory that a ClickHouse of our own works in, and runs it walled off.
 *
 * Invariant: nothing that exists is written over: the directory is empty before, and what dies on the way leaves one that is not.
 */
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { Json } from '../../base/json.ts';
import type {
  BackupReader,
  CheckResult,
  FingerprintEntry,
  RecoveryTarget,
  RestoredCopy,
  Restorer,
  RestorerContext,
  RunningCopy,
} from '../../contracts/backup.ts';
import { makeRestoreTarget, writePartToFile } from '../../contracts/restore-files.ts';
import { archivePart, type BackedUpTable } from './backup-source.ts';
import { canaryTable, readCanary } from './canary.ts';
import { type QueryLimits, tableOf } from './client.ts';
import { compareEntries, digestTable, isMergeTree } from './fingerprint.ts';
import type { ClickhouseOptions } from './options.ts';
import { restoreTables, tablesOf } from './restore-tables.ts';
import { configIn, filesIn, type ScratchClickhouse, startScratchClickhouse } from './scratch-clickhouse.ts';
import { nameOf } from './table-patterns.ts';

type Context = RestorerContext<ClickhouseOptions>;

const checkMs = 6 * 3_600_000;

export function openRestorer(context: Context): Restorer {
  return {
    preview: async (backup, target) => ({
      target: `the tables of ${formatInstant(backup.facts.consistentAtMs)}`,
      newestMs: backup.facts.consistentAtMs,
      bytes: backup.parts.reduce((sum, { bytes }) => sum + bytes, 0),
      problems: [...(await programProblems(context)), ...(isOwnInstant(target) ? [] : [otherInstant(backup)])],
    }),
    restore: async (backup, target, into) => {
      if (!isOwnInstant(target)) throw fail('RESTORE_TARGET_UNREACHABLE', otherInstant(backup));
      const { host, signal, options } = context;
      const base = await openBase(backup);
      await makeRestoreTarget(host, into);
      await host.files.makeDirectory(filesIn(into), { mode: 0o700 });
      const archive = `${filesIn(into)}/${archivePart}`;
      const baseFile = base && `${filesIn(into)}/base-${archivePart}`;
      await writePartToFile(host, backup, archivePart, archive, signal);
      if (base && baseFile) await writePartToFile(host, base, archivePart, baseFile, signal);
      const scratch = await startScratchClickhouse(host, options.program, into, signal);
      try {
        const operation = {
          id: 'holdfast-restore',
          timeoutMs: options['backup-timeout'],
          signal,
          progress: context.progress,
          withoutReplication: true,
        };
        await restoreTables(host, scratch.client, tablesOf(backup), { archive, base: baseFile }, operation);
      } finally {
        await scratch.stop();
      }
      // All of it is in the tables now, and only what is in them is checked.
      await host.files.remove(filesIn(into));
      return restoredCopy(context, backup, into);
    },
  };
}

export const isOwnInstant = ({ kind }: RecoveryTarget): boolean => kind === 'newest' || kind === 'consistent';

export const otherInstant = ({ facts }: BackupReader) => ({
  message: `a backup of ClickHouse comes back to its own instant only, ${formatInstant(facts.consistentAtMs)}`,
  hint: 'Take the newest backup before the instant that is wanted: holdfast backups lists them.',
});

/** What an increment builds on. */
export async function openBase(backup: BackupReader): Promise<BackupReader | undefined> {
  const [needed] = backup.facts.needs ?? [];
  if (needed === undefined) return undefined;
  if (backup.openNeeded === undefined)
    throw fail('BACKUP_DAMAGED', { message: `${backup.backupId} builds on ${needed}, which can't be opened` });
  return await backup.openNeeded(needed);
}

async function programProblems({ host, options, signal }: Context) {
  const [program, ...words] = options.program;
  try {
    await host.processes.run({ program: program as string, args: [...words, 'server', '--version'], timeoutMs: 20_000, signal });
    return [];
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'HANDS_NO_PROGRAM') throw error;
    return [
      { message: `${program} is not installed on this machine`, hint: 'Install ClickHouse here, or set program to how it is called.' },
    ];
  }
}

function restoredCopy(context: Context, backup: BackupReader, directory: string): RestoredCopy {
  const { host, options, signal } = context;
  return {
    directory,
    // Its own checks need it running.
    checkStopped: async () => [],
    start: async () => runningCopy(context, backup, await startScratchClickhouse(host, options.program, directory, signal)),
    startHint: `${options.program.join(' ')} server --config-file=${configIn(directory)}; its user and the digest of its password are in there, to be changed`,
  };
}

function runningCopy({ component, signal }: Context, backup: BackupReader, scratch: ScratchClickhouse): RunningCopy {
  const { client } = scratch;
  const limits: QueryLimits = { timeoutMs: checkMs, signal };
  const tables = tablesOf(backup);
  return {
    reached: { atMs: backup.facts.consistentAtMs, detail: `came to the backup of ${formatInstant(backup.facts.consistentAtMs)}` },
    check: async () => {
      const results: CheckResult[] = [await checkParts(scratch, limits)];
      for (const table of tables.filter(({ engine }) => isMergeTree(engine))) results.push(await checkTable(scratch, table, limits));
      return results;
    },
    compare: async (expected, key) => {
      const seen: FingerprintEntry[] = [];
      for (const table of tables.filter(({ engine, database }) => isMergeTree(engine) && database !== canaryTable.database)) {
        const entry = await digestTable(client, table, key, undefined, limits);
        if (entry) seen.push(entry);
      }
      return compareEntries(expected, seen);
    },
    readCanary: () => readCanary(client, component, limits),
    ask: async (question) => {
      const [row] = await client.query(question.trim().replace(/;$/, ''), limits);
      return row === undefined ? null : (Object.values(row)[0] as Json);
    },
    address: `${scratch.url}, with the user and password of its config.xml`,
    stop: () => scratch.stop(),
  };
}

/** What is broken is set aside when the server starts, and its rows are missing: CHECK TABLE sees only what is left. */
async function checkParts({ client }: ScratchClickhouse, limits: QueryLimits): Promise<CheckResult> {
  const broken = await client.query(
    "SELECT concat(database, '.', table) AS place, name FROM system.detached_parts WHERE reason LIKE 'broken%'",
    limits,
  );
  const detail =
    broken.length === 0
      ? 'all parts were taken'
      : `${broken.length} parts are broken, ${String(broken[0]?.name)} of ${String(broken[0]?.place)} is one`;
  return { name: 'no part was set aside', level: 'P3', ok: broken.length === 0, detail };
}

async function checkTable({ client }: ScratchClickhouse, table: BackedUpTable, limits: QueryLimits): Promise<CheckResult> {
  const rows = await client.query(`CHECK TABLE ${tableOf(table)} SETTINGS check_query_single_value_result = 0`, limits);
  const bad = rows.filter(({ is_passed }) => is_passed !== true && Number(is_passed) !== 1);
  return {
    name: `CHECK TABLE ${nameOf(table)}`,
    level: 'P3',
    ok: bad.length === 0,
    detail:
      bad.length === 0 ? `${rows.length} parts are whole` : `${bad.length} of ${rows.length} parts are not: ${String(bad[0]?.message)}`,
  };
}
