/**
 * Archives a server's log continuously: streamed under a permanent slot, whole segments as they fill and the unfinished one in pieces every second.
 *
 * Where it begins follows from the archive alone: at the first segment that is not whole there, on the server's own way (the timelines that it came by). So it survives any restart without a
 * hole and without a second copy: what is sent twice is the same. A server that restarts or is promoted is waited for, and followed onto its new timeline.
 *
 * Invariant: a hole is never passed over in silence: where the server no longer has what comes next, the hole is recorded in the archive and this ends with ARCHIVE_GAP; the next run goes
 * on behind it. When the process dies, the slot keeps the log at the server (up to its max_slot_wal_keep_size).
 */
import { fail, HoldfastError } from '../../../base/errors.ts';
import type { ArchiveOptions, ArchiveWriter, BackupContext } from '../../../contracts/backup.ts';
import { formatLsn, parseLsn, positionAt } from '../lsn.ts';
import { addressOf } from '../options.ts';
import { type PostgresqlSite, replicationAddress } from './postgresql-site.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { findResume, type Resume } from './resume-archive.ts';
import { readServerFacts, type ServerFacts } from './server-facts.ts';
import { refusalState, SqlSession } from './sql-session.ts';
import { formatSegmentName, historyName, segmentNumberAt, segmentStart, type TimelineStretch, wayTo } from './wal-names.ts';
import { type TimelineEnd, WalStream } from './wal-stream.ts';

const againFirstMs = 200;
const againMostMs = 5_000;
/** A stream that held for so long has shown that it works: the next failure is waited for shortly again. */
const heldMs = 10_000;
/** It is asked for a sign of life every second. */
const silenceMaxMs = 20_000;

type OpenArchive = (identity: string) => Promise<ArchiveWriter>;

export function archiveSlot({ component, options }: Pick<PostgresqlSite, 'component' | 'options'>): string {
  return options['archive-slot'] ?? `holdfast_archive_${component.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

export async function archiveLog(
  site: PostgresqlSite,
  openArchive: OpenArchive,
  options: ArchiveOptions,
  context: BackupContext,
): Promise<void> {
  const { clock } = site.host;
  let waitMs = againFirstMs;
  while (!context.signal.aborted) {
    const beganMs = clock.monotonicMs();
    try {
      await archiveOnce(site, openArchive, options, context);
    } catch (error) {
      if (context.signal.aborted) return;
      if (!isPassing(error)) throw error;
      context.log.warn('archiving-interrupted', { component: site.component, region: site.region, message: (error as Error).message });
      waitMs = clock.monotonicMs() - beganMs > heldMs ? againFirstMs : waitMs;
      await clock.sleep(waitMs, context.signal).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, againMostMs);
    }
  }
}

/** The server is away, or somebody else still streams under our slot: what a restart or another controller's death looks like. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false;
  return error.kind === 'transient' || error.code === 'SYSTEM_UNREACHABLE' || refusalState(error) === '55006';
}

async function archiveOnce(site: PostgresqlSite, openArchive: OpenArchive, options: ArchiveOptions, context: BackupContext): Promise<void> {
  const { host } = site;
  const control = await ReplicationConnection.open(host, replicationAddress(site.site), context.signal);
  try {
    const [identity] = await control.command('IDENTIFY_SYSTEM');
    const systemIdentifier = identity?.[0] ?? '';
    const timeline = Number(identity?.[1]);
    const archive = await openArchive(systemIdentifier);
    const { segmentBytes, inRecovery } = await readServer(site, context.signal);
    const way = await readWay(control, timeline, archive);
    const slot = archiveSlot(site);
    const slotLsn = await ensureSlot(control, slot);
    const resume = await findResume(archive, way, segmentBytes, slotLsn);
    const from = segmentStart(resume.number, segmentBytes);
    // Asked for anew: it has gone on writing since.
    const written = parseLsn((await control.command('IDENTIFY_SYSTEM'))[0]?.[2] ?? '0/0');
    if (resume.timeline === timeline && from > written) throw isBehind(site, formatLsn(from), formatLsn(written), inRecovery);
    await follow({ site, archive, options, context, systemIdentifier, segmentBytes, slot, way }, control, resume);
  } finally {
    control.close();
  }
}

function isBehind(site: PostgresqlSite, archived: string, written: string, inRecovery: boolean): Error {
  const message = `${site.component} in ${site.region} has written its log up to ${written}, and the archive has it up to ${archived} already`;
  // A standby comes there by itself. A primary does not: it is an older state of the same server, and goes another way from here.
  if (inRecovery) return fail('SYSTEM_UNREACHABLE', { message });
  return fail('ARCHIVE_CONFLICT', {
    message,
    hint: 'This server is an older copy: promote it onto a timeline of its own, or archive it as another component.',
    subject: site.component,
  });
}

interface Following {
  readonly site: PostgresqlSite;
  readonly archive: ArchiveWriter;
  readonly options: ArchiveOptions;
  readonly context: BackupContext;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
  readonly slot: string;
  readonly way: readonly TimelineStretch[];
}

/** Timeline after timeline, until the connection ends. */
async function follow(following: Following, control: ReplicationConnection, resume: Resume): Promise<void> {
  const { segmentBytes, archive } = following;
  let { timeline, number } = resume;
  for (;;) {
    let ended: TimelineEnd | undefined;
    try {
      ended = await stream(following, timeline, number);
    } catch (error) {
      if (!isRemoved(error)) throw error;
      throw await recordHole(following, control, timeline, number, error);
    }
    if (ended === undefined) return;
    await keepHistory(control, ended.nextTimeline, archive);
    timeline = ended.nextTimeline;
    number = segmentNumberAt(ended.nextStart, segmentBytes);
  }
}

async function stream(following: Following, timeline: number, number: bigint): Promise<TimelineEnd | undefined> {
  const { site, archive, options, context, systemIdentifier, segmentBytes, slot } = following;
  const connection = await ReplicationConnection.open(site.host, replicationAddress(site.site), context.signal, silenceMaxMs);
  return new WalStream(connection, {
    clock: site.host.clock,
    target: archive,
    systemIdentifier,
    segmentBytes,
    slot,
    timeline,
    from: segmentStart(number, segmentBytes),
    onSafe: ({ lsn, atMs }) => options.onArchived({ position: positionAt(systemIdentifier, timeline, lsn), atMs }),
  }).run();
}

/** 58P01: the file is not there any more. 55000: the slot was given up because it held back too much. */
function isRemoved(error: unknown): boolean {
  const state = refusalState(error);
  return state === '58P01' || state === '55000';
}

/** Takes a fresh slot, so that at least everything from now on is kept, and writes down what was lost. */
async function recordHole(
  { archive, site, segmentBytes, slot }: Following,
  control: ReplicationConnection,
  timeline: number,
  number: bigint,
  cause: unknown,
): Promise<Error> {
  await control.command(`DROP_REPLICATION_SLOT "${slot}"`);
  const begins = segmentNumberAt(await ensureSlot(control, slot), segmentBytes);
  const from = formatSegmentName({ timeline, number }, segmentBytes);
  if (begins <= number) return cause instanceof Error ? cause : fail('ARCHIVE_GAP');
  const to = formatSegmentName({ timeline, number: begins - 1n }, segmentBytes);
  const why = `the server had removed them before they were archived: ${(cause as Error).message}`;
  await archive.recordGap(from, to, why);
  return fail('ARCHIVE_GAP', {
    message: `the log of ${site.component} from ${from} to ${to} is lost: ${why}`,
    hint: 'Take a base backup now: nothing can be recovered across the hole. Allow the slot to keep more (max_slot_wal_keep_size).',
    subject: site.component,
    details: { from, to },
  });
}

async function ensureSlot(control: ReplicationConnection, slot: string): Promise<bigint> {
  const read = async () => (await control.command(`READ_REPLICATION_SLOT "${slot}"`))[0];
  const there = await read();
  if (there?.[0] == null) {
    await control.command(`CREATE_REPLICATION_SLOT "${slot}" PHYSICAL RESERVE_WAL`);
    return parseLsn((await read())?.[1] ?? '0/0');
  }
  // A slot without a place was given up by the server; streaming says so, in its own words.
  return parseLsn(there[1] ?? '0/0');
}

async function readServer(site: PostgresqlSite, signal: AbortSignal): Promise<ServerFacts> {
  const session = await SqlSession.open(site.host, addressOf(site.site), signal);
  try {
    return await readServerFacts(session);
  } finally {
    session.close();
  }
}

async function readWay(control: ReplicationConnection, timeline: number, archive: ArchiveWriter): Promise<readonly TimelineStretch[]> {
  return wayTo(timeline, timeline === 1 ? '' : await keepHistory(control, timeline, archive));
}

async function keepHistory(control: ReplicationConnection, timeline: number, archive: ArchiveWriter): Promise<string> {
  const [row] = await control.command(`TIMELINE_HISTORY ${timeline}`);
  const text = row?.[1] ?? '';
  await archive.push(historyName(timeline), Buffer.from(text, 'utf8'));
  return text;
}
