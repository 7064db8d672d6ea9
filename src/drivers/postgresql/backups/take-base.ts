/**
 * A base backup from beginning to end: the files, the log that makes them consistent, the fingerprint of the content at an exact place of the log, and what a restorer has to know.
 *
 * Invariant: resolves only when a restore needs nothing that was not seen to be kept: with an archive the log is read back from there, without one it is part of the backup. When the
 * process dies, the server ends the backup by itself, temporary slots go with their connections, and nothing was committed.
 */
import { fail } from '../../../base/errors.ts';
import type { JsonObject } from '../../../base/json.ts';
import type { BackupContext, BackupFacts, BackupSink, Fingerprint, TakeOptions } from '../../../contracts/backup.ts';
import { parseLsn, positionAt } from '../lsn.ts';
import { addressOf } from '../options.ts';
import { type ArchivedRange, awaitArchived, firstSegment, lastSegment } from './await-archived.ts';
import { type BaseBackupResult, takeBaseBackup } from './base-backup.ts';
import { ConsistencyWatch } from './consistency-watch.ts';
import { type IncrementTaken, takeIncrement } from './increment.ts';
import { OwnWal } from './own-wal.ts';
import { type PostgresqlSite, replicationAddress } from './postgresql-site.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { readExtensions, readServerFacts, type ServerFacts, switchSegment } from './server-facts.ts';
import { SqlSession } from './sql-session.ts';
import { markLog, OpenFingerprint } from './take-fingerprint.ts';

export async function takeBase(
  site: PostgresqlSite,
  sink: BackupSink,
  options: TakeOptions,
  context: BackupContext,
  { increment = false } = {},
): Promise<BackupFacts> {
  const { host } = site;
  const opened: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(each: T): T => {
    opened.push(each);
    return each;
  };
  let watch: ConsistencyWatch | undefined;
  try {
    const session = keep(await SqlSession.open(host, addressOf(site.site), context.signal));
    const connection = keep(await ReplicationConnection.open(host, replicationAddress(site.site), context.signal));
    const server = await readServerFacts(session);
    const [identified] = await connection.command('IDENTIFY_SYSTEM');
    const systemIdentifier = identified?.[0] ?? '';
    const archive = await options.openArchive?.(systemIdentifier);
    const ownWal = archive === undefined ? keep(await OwnWal.open(host, replicationAddress(site.site), sink, context.signal)) : undefined;
    watch = await ConsistencyWatch.start(session, host.clock, site.component, server.inRecovery, context.log);
    const label = `holdfast ${sink.backupId}`.replace(/[^\w .:-]/g, '_');
    const take = (incremental: boolean) =>
      takeBaseBackup(connection, label, incremental, sink, context, (lsn, timeline) =>
        ownWal?.begin({ lsn, timeline, systemIdentifier, segmentBytes: server.segmentBytes }),
      );
    const asked = { connection, session, server, systemIdentifier, timeline: Number(identified?.[1]), basis: options.basis, context };
    const taken: IncrementTaken = increment ? await takeIncrement(asked, take) : { base: await take(false) };
    const { base } = taken;
    await watch.stop();
    const after = await watch.read();
    if (base.stopTimeline !== base.startTimeline)
      throw fail('BACKUP_INCOMPLETE', { message: 'the server changed its timeline while it was backed up' });
    const range: ArchivedRange = {
      timeline: base.stopTimeline,
      from: parseLsn(base.startLsn),
      to: parseLsn(base.stopLsn),
      systemIdentifier,
      segmentBytes: server.segmentBytes,
    };
    const request = {
      site,
      control: session,
      databases: server.databases.map(({ name }) => name),
      systemIdentifier,
      timeline: range.timeline,
      key: options.fingerprintKey,
      signal: context.signal,
      moment: 'exact' as const,
    };
    const opening = server.inRecovery || site.options.fingerprint === 0 ? undefined : keep(await OpenFingerprint.open(request));
    const marked = server.inRecovery ? undefined : await markLog(session);
    const needed = { ...range, to: marked !== undefined && marked > range.to ? marked : range.to };
    if (!server.inRecovery) await switchSegment(session);
    context.progress('waiting for the log');
    const kept = archive
      ? awaitArchived(archive, needed, host.clock, site.options['archive-wait'], context.signal)
      : (ownWal?.finish(needed.to) ?? Promise.resolve());
    const [fingerprint] = await Promise.all([opening?.digest(), kept]);
    const more = describe(server, base, after.atMs, addressOf(site.site).database, await readExtensions(session));
    return facts(server, taken, needed, watch.newestBefore(range.to), fingerprint, more);
  } finally {
    await watch?.stop();
    for (const each of opened.reverse()) each.close();
  }
}

function facts(
  server: ServerFacts,
  { base, needs, fullBecause }: IncrementTaken,
  range: ArchivedRange,
  consistent: ReturnType<ConsistencyWatch['newestBefore']>,
  fingerprint: Fingerprint | undefined,
  more: JsonObject,
): BackupFacts {
  if (!consistent) throw fail('BACKUP_INCOMPLETE', { message: 'the clock of the server was not read before the backup ended' });
  return {
    engine: 'postgresql',
    engineVersion: server.version,
    identity: range.systemIdentifier,
    consistentAtMs: consistent.atMs,
    position: positionAt(range.systemIdentifier, range.timeline, parseLsn(base.stopLsn)),
    archive: { timeline: range.timeline, first: firstSegment(range), last: lastSegment(range) },
    dataBytes: base.dataBytes,
    ...(needs === undefined ? {} : { needs: [needs] }),
    ...(fingerprint ? { fingerprint } : {}),
    ...(consistent.canary ? { canary: { ...consistent.canary } } : {}),
    more: fullBecause === undefined ? more : { ...more, fullBecause },
  };
}

/** Of our own, for the restorer: see `backupDetails`. */
function describe(
  server: ServerFacts,
  base: BaseBackupResult,
  consistentByMs: number,
  database: string,
  extensions: JsonObject,
): JsonObject {
  return {
    major: server.major,
    superuser: server.superuser,
    database,
    segmentBytes: server.segmentBytes,
    startLsn: base.startLsn,
    consistentByMs,
    compression: base.compression,
    tablespaces: base.tablespaces.map(({ oid, path }) => ({ oid, path })),
    settings: { ...server.settings },
    databases: server.databases.map((each) => ({ ...each })),
    extensions: { ...extensions },
    takenFrom: server.inRecovery ? 'standby' : 'primary',
  };
}
