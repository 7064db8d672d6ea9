/**
 * A base backup from beginning to end: the files, the log that makes them consistent, the fingerprint of the content at an exact place of the log, and what a restorer has to know.
 *
 * Invariant: resolves only when a restore needs nothing that was not seen to be kept: with an archive the log is read back from there, without one it is part of the backup. When the
 * process dies, the server ends the backup by itself, temporary slots go with their connections, and nothing was committed.
 */
import { fail } from '../../../base/errors.ts';
import type { JsonObject } from '../../../base/json.ts';
import type { BackupContext, BackupFacts, BackupSink, TakeOptions } from '../../../contracts/backup.ts';
import type { SiteContext } from '../../../contracts/site-context.ts';
import { type Lsn, parseLsn, positionAt } from '../lsn.ts';
import { addressOf, type ComponentOptions, type SiteOptions } from '../options.ts';
import type { Address } from '../ports.ts';
import { type ArchivedRange, awaitArchived, firstSegment, lastSegment } from './await-archived.ts';
import { type BaseBackupResult, takeBaseBackup } from './base-backup.ts';
import { ConsistencyWatch } from './consistency-watch.ts';
import { OwnWal } from './own-wal.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { readExtensions, readServerFacts, type ServerFacts, switchSegment } from './server-facts.ts';
import { SqlSession } from './sql-session.ts';

export type PostgresqlSite = SiteContext<ComponentOptions, SiteOptions>;

/** How we come in for the replication protocol. */
export function replicationAddress(site: SiteOptions): Address {
  const address = addressOf(site);
  return site.replication ? { ...address, user: site.replication.user, password: site.replication.password } : address;
}

export async function takeBase(site: PostgresqlSite, sink: BackupSink, options: TakeOptions, context: BackupContext): Promise<BackupFacts> {
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
    const systemIdentifier = (await connection.command('IDENTIFY_SYSTEM'))[0]?.[0] ?? '';
    const archive = await options.openArchive?.(systemIdentifier);
    const ownWal = archive === undefined ? keep(await OwnWal.open(host, replicationAddress(site.site), sink, context.signal)) : undefined;
    watch = await ConsistencyWatch.start(session, host.clock, site.component, server.inRecovery, context.log);
    const label = `holdfast ${sink.backupId}`.replace(/[^\w .:-]/g, '_');
    const base = await takeBaseBackup(connection, label, sink, context, (lsn, timeline) =>
      ownWal?.begin({ lsn, timeline, systemIdentifier, segmentBytes: server.segmentBytes }),
    );
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
    if (!server.inRecovery) await switchSegment(session);
    context.progress('waiting for the log');
    if (archive) await awaitArchived(archive, range, host.clock, site.options['archive-wait'], context.signal);
    else await ownWal?.finish(range.to);
    const more = describe(server, base, after.atMs, await readExtensions(session));
    return facts(server, base, range, watch.newestBefore(range.to), more);
  } finally {
    await watch?.stop();
    for (const each of opened.reverse()) each.close();
  }
}

function facts(
  server: ServerFacts,
  base: BaseBackupResult,
  range: ArchivedRange,
  consistent: ReturnType<ConsistencyWatch['newestBefore']>,
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
    ...(consistent.canary ? { canary: { ...consistent.canary } } : {}),
    more,
  };
}

/** Of our own, for the restorer: see `backupDetails`. */
function describe(server: ServerFacts, base: BaseBackupResult, consistentByMs: number, extensions: JsonObject): JsonObject {
  return {
    major: server.major,
    superuser: server.superuser,
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

export type { Lsn };
