/**
 * Increments: base backups that hold only the blocks that have changed since another backup, by the server's own summaries of its log.
 * https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-INCREMENTAL-BACKUP
 *
 * Invariant: an increment never rests on something that may be wrong. The manifest that the server compares with is read from the repository with its digests checked; across a change of
 * history or of timeline nothing is built upon; and where the server does not have the summaries any more, all files are taken. So a backup that was asked for is there afterwards,
 * at worst a large one, and its facts say why.
 */
import { fail, type HoldfastError } from '../../../base/errors.ts';
import type { BackupContext, BackupReader } from '../../../contracts/backup.ts';
import type { BaseBackupResult } from './base-backup.ts';
import type { ReplicationConnection } from './replication-connection.ts';
import type { ServerFacts } from './server-facts.ts';
import { refusalState, type SqlSession } from './sql-session.ts';

const majorLeast = 17;
export const manifestPart = 'backup_manifest';

export interface IncrementRequest {
  readonly connection: ReplicationConnection;
  readonly session: SqlSession;
  readonly server: ServerFacts;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly basis: BackupReader | undefined;
  readonly context: BackupContext;
}

export interface IncrementTaken {
  readonly base: BaseBackupResult;
  /** What it builds on; absent where all files were taken after all. */
  readonly needs?: string;
  readonly fullBecause?: string;
}

export async function takeIncrement(
  request: IncrementRequest,
  take: (incremental: boolean) => Promise<BaseBackupResult>,
): Promise<IncrementTaken> {
  await requireSummaries(request);
  const { basis, connection, context } = request;
  const why = cannotBuildOn(request);
  if (basis === undefined || why !== undefined) return takeFull(request, take, why ?? 'there is nothing yet that it could build on');
  context.progress(`telling the server what is in ${basis.backupId}`);
  try {
    await connection.copyIn('UPLOAD_MANIFEST', basis.readPart(manifestPart));
    return { base: await take(true), needs: basis.backupId };
  } catch (error) {
    // 55000: the summaries of the log since then are not all there, or the server has another past. Nothing was sent yet, and the connection goes on.
    if (refusalState(error)?.startsWith('55') !== true) throw error;
    await connection.ready();
    return takeFull(request, take, (error as HoldfastError).message);
  }
}

async function takeFull(
  request: IncrementRequest,
  take: (incremental: boolean) => Promise<BaseBackupResult>,
  why: string,
): Promise<IncrementTaken> {
  request.context.progress(`taking all files: ${why}`);
  request.context.log.warn('postgresql.increment-is-full', { why });
  return { base: await take(false), fullBecause: why };
}

async function requireSummaries({ server, session }: IncrementRequest): Promise<void> {
  if (server.major < majorLeast)
    throw fail('BACKUP_INCOMPLETE', {
      message: `PostgreSQL ${server.version} can not tell what has changed since a backup; ${majorLeast} can`,
      hint: 'Take what: increment out of the spec, and base backups more often.',
    });
  const { setting } = await session.row("SELECT setting FROM pg_settings WHERE name = 'summarize_wal'");
  if (setting !== 'on')
    throw fail('BACKUP_INCOMPLETE', {
      message: 'the server keeps no summaries of its log, so it can not tell what has changed since a backup (summarize_wal is off)',
      hint: "On every server of the component: ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf(). No restart is needed; the first increment after it may take all files.",
    });
}

function cannotBuildOn({ basis, systemIdentifier, timeline, server }: IncrementRequest): string | undefined {
  if (basis === undefined) return undefined;
  const { facts, backupId, parts } = basis;
  if (facts.identity !== systemIdentifier) return `${backupId} is of another history (${facts.identity})`;
  if (facts.archive?.timeline !== timeline)
    return `${backupId} was taken on timeline ${facts.archive?.timeline}, and the server has gone over to ${timeline} since`;
  if (Number(facts.more?.['major']) !== server.major) return `${backupId} is of PostgreSQL ${facts.engineVersion}`;
  return parts.some(({ name }) => name === manifestPart) ? undefined : `${backupId} has no manifest`;
}
