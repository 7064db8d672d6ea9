/**
 * A backup counts only with the log that it needs: here that log is seen to be in the archive, read back from there.
 *
 * A database that nobody writes to must not wait for ever: the server has finished its segment before this is called, so there is something to arrive.
 */
import { fail } from '../../../base/errors.ts';
import type { ArchiveReader } from '../../../contracts/backup.ts';
import type { Clock } from '../../../host/host.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { formatSegmentName, parseSegmentName, readSegmentHeader, segmentNumberAt, segmentStart } from './wal-names.ts';

export interface ArchivedRange {
  readonly timeline: number;
  readonly from: Lsn;
  /** The log before this place is needed. */
  readonly to: Lsn;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
}

const waitFirstMs = 50;
const waitMostMs = 1_000;

export function firstSegment({ timeline, from, segmentBytes }: ArchivedRange): string {
  return formatSegmentName({ timeline, number: segmentNumberAt(from, segmentBytes) }, segmentBytes);
}

/** The segment that holds the last byte needed. */
export function lastSegment({ timeline, to, segmentBytes }: ArchivedRange): string {
  return formatSegmentName({ timeline, number: segmentNumberAt(to - 1n, segmentBytes) }, segmentBytes);
}

export async function awaitArchived(
  archive: ArchiveReader,
  range: ArchivedRange,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const last = lastSegment(range);
  const giveUpMs = clock.monotonicMs() + timeoutMs;
  for (let waitMs = waitFirstMs; !(await hasArrived(archive, range, last)); waitMs = Math.min(waitMs * 2, waitMostMs)) {
    if (clock.monotonicMs() > giveUpMs) {
      throw fail('BACKUP_INCOMPLETE', {
        message: `the log segment ${last}, which the backup needs up to ${formatLsn(range.to)}, was not in the archive within ${Math.round(timeoutMs / 1000)} s`,
        hint: 'Look at whether the archiving of this component runs (holdfast status), or at archive_command and pg_stat_archiver.',
        subject: last,
      });
    }
    await clock.sleep(waitMs, signal);
  }
  await assertUnbroken(archive, range, last);
}

async function hasArrived(archive: ArchiveReader, range: ArchivedRange, last: string): Promise<boolean> {
  const found = await archive.fetch(last);
  if (!found) return false;
  const needed = Number(range.to - segmentStart(parseSegmentName(last, range.segmentBytes).number, range.segmentBytes));
  if (found.bytes.length < (found.whole ? range.segmentBytes : needed)) return false;
  const { systemIdentifier } = readSegmentHeader(found.bytes, last);
  if (systemIdentifier !== range.systemIdentifier)
    throw fail('ARCHIVE_CONFLICT', {
      message: `${last} in the archive is of the server ${systemIdentifier}, not of ${range.systemIdentifier}`,
      subject: last,
    });
  return true;
}

async function assertUnbroken(archive: ArchiveReader, range: ArchivedRange, last: string): Promise<void> {
  const first = firstSegment(range);
  const there = new Set<string>();
  for await (const name of archive.list(first)) {
    if (name > last) break;
    there.add(name);
  }
  const { segmentBytes, timeline } = range;
  for (let number = segmentNumberAt(range.from, segmentBytes); number <= segmentNumberAt(range.to - 1n, segmentBytes); number += 1n) {
    const name = formatSegmentName({ timeline, number }, segmentBytes);
    if (!there.has(name))
      throw fail('BACKUP_INCOMPLETE', {
        message: `the log segment ${name}, which the backup needs, is missing from the archive`,
        subject: name,
      });
  }
}
