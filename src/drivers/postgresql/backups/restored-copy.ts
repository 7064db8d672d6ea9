/**
 * A restored directory: checked while nothing runs in it, then started and recovered to its target.
 *
 * Invariant: a copy that did not get to its target is never handed on: PostgreSQL says in its log why a recovery stopped, and where the log of the archive ended early it is
 * RECOVERY_FELL_SHORT, even where PostgreSQL itself was content.
 */

import { fail } from '../../../base/errors.ts';
import { formatInstant } from '../../../base/instants.ts';
import type { CheckResult, RestoredCopy, RunningCopy } from '../../../contracts/backup.ts';
import { formatLsn, parseLsn, positionAt } from '../lsn.ts';
import type { CopyRequest } from './copy-request.ts';
import { CopyServer, copyPort } from './copy-server.ts';
import { giveToOwner } from './programs.ts';
import { describeTarget, stoppedAtTarget, targetSettings } from './recovery-target.ts';
import { PostgresqlRunningCopy } from './running-copy.ts';
import { SegmentFeed } from './segment-feed.ts';
import { lastWords } from './server-log.ts';
import { SqlSession } from './sql-session.ts';
import { checkStoppedCopy } from './stopped-checks.ts';
import { parseSegmentName, segmentStart } from './wal-names.ts';

export class PostgresqlRestoredCopy implements RestoredCopy {
  readonly directory: string;
  readonly #request: CopyRequest;

  constructor(request: CopyRequest) {
    this.#request = request;
    this.directory = request.directory;
  }

  get startHint(): string {
    const { programs, directory } = this.#request;
    const as = programs.owner === undefined ? '' : ` as the user ${programs.owner}`;
    return `${programs.directory}/pg_ctl -D '${directory}' start${as}; it archives nothing until archive_mode is taken out of postgresql.auto.conf`;
  }

  checkStopped(): Promise<readonly CheckResult[]> {
    return checkStoppedCopy(this.#request);
  }

  async start(): Promise<RunningCopy> {
    const { context, archive, way, details, runDirectory, programs, target } = this.#request;
    const { host } = context;
    const feed = new SegmentFeed(host, archive, way, details.segmentBytes, `${runDirectory}/spool`, context.log);
    await feed.prepare();
    await giveToOwner(host, programs, runDirectory);
    feed.start();
    let server: CopyServer | undefined;
    try {
      server = await CopyServer.start({
        host,
        programs,
        details,
        directory: this.directory,
        runDirectory,
        settings: { restore_command: feed.restoreCommand, ...targetSettings(target, way.timeline) },
        signal: context.signal,
      });
      context.progress(`recovering to ${describeTarget(target, way.timeline)}`);
      const ready = await server.isReady(() => {});
      const log = await server.readLog();
      if (!ready) throw this.#whyNot(log, feed.failure);
      const copy = await this.#open(server, log);
      await feed.stop();
      return copy;
    } catch (error) {
      await server?.stop();
      await feed.stop();
      throw error;
    }
  }

  #whyNot(log: string, feedFailure: unknown): Error {
    if (feedFailure instanceof Error) return feedFailure;
    const { target, way } = this.#request;
    const words = lastWords(log);
    if (/recovery ended before configured recovery target was reached/.test(log)) {
      const came = /last completed transaction was at log time ([^\n]+)/.exec(log)?.[1] ?? /redo done at (\S+)/.exec(log)?.[1];
      return fail('RECOVERY_FELL_SHORT', {
        message: `the recovery was to come to ${describeTarget(target, way.timeline)}, and the log ended before${came === undefined ? '' : `, at ${came}`}`,
        details: { log: words },
      });
    }
    return fail('BACKUP_TOOL_FAILED', { message: `the restored server did not start: ${words}` });
  }

  async #open(server: CopyServer, log: string): Promise<RunningCopy> {
    const { context, details, runDirectory, target, way } = this.#request;
    const address = {
      host: runDirectory,
      port: copyPort,
      user: details.superuser,
      database: details.database,
      password: undefined,
      tls: { mode: 'disable' as const, ca: undefined },
    };
    const session = await SqlSession.open(context.host, address, context.signal);
    try {
      const row = await session.row(`SELECT pg_last_wal_replay_lsn()::text AS lsn,
        floor(extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000)::float8 AS at_ms, pg_is_in_recovery() AS standby`);
      const replayed = parseLsn(String(row['lsn'] ?? formatLsn(details.stopLsn)));
      // It stopped before the record that begins there: what lies between that and the end of the one before is padding of a page or a segment.
      const lsn = target.kind === 'position' && stoppedAtTarget(target, log) ? parseLsn(target.text) : replayed;
      const timeline = way.way.findLast(({ begin }) => begin < lsn)?.timeline ?? way.timeline;
      const atMs = row['at_ms'] === null ? undefined : Number(row['at_ms']);
      const came = `${formatLsn(lsn)} on timeline ${timeline}${atMs === undefined ? '' : `, last transaction ${formatInstant(atMs)}`}`;
      this.#assertReached(replayed, log, came);
      return new PostgresqlRunningCopy({
        context,
        details,
        programs: this.#request.programs,
        target,
        server,
        session,
        address,
        reached: {
          position: positionAt(details.systemIdentifier, timeline, lsn),
          ...(atMs === undefined ? {} : { atMs }),
          detail: `came to ${came}; asked for: ${describeTarget(target, way.timeline)}`,
        },
      });
    } catch (error) {
      session.close();
      throw error;
    }
  }

  #assertReached(lsn: bigint, log: string, came: string): void {
    const { target, way, details } = this.#request;
    const short = (why: string) => fail('RECOVERY_FELL_SHORT', { message: `the recovery ended at ${came}: ${why}` });
    if (lsn < details.stopLsn) throw short(`the backup is consistent only from ${formatLsn(details.stopLsn)} on`);
    if (target.kind === 'newest') {
      // All of the last segment but one has to be behind us; of the last one, as far as its records go.
      const last = way.segments.at(-1);
      if (last !== undefined && lsn < segmentStart(parseSegmentName(last, details.segmentBytes).number, details.segmentBytes))
        throw short(`the archive goes on to ${last}`);
      return;
    }
    if (!stoppedAtTarget(target, log)) throw short(`it did not stop at ${describeTarget(target, way.timeline)}`);
    if (target.kind === 'position' && lsn > parseLsn(target.text)) throw short(`that is behind ${target.text}`);
  }
}
