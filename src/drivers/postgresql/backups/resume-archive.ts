/** Where archiving goes on: behind the newest whole segment of the archive that lies on the server's way, and behind every recorded hole; in an empty archive where the slot begins. */
import { fail } from '../../../base/errors.ts';
import type { ArchiveReader } from '../../../contracts/backup.ts';
import type { Lsn } from '../lsn.ts';
import { isSegmentName, parseSegmentName, segmentNumberAt, type TimelineStretch, timelineOfSegment } from './wal-names.ts';

export interface Resume {
  readonly timeline: number;
  readonly number: bigint;
}

export async function findResume(
  archive: ArchiveReader,
  way: readonly TimelineStretch[],
  segmentBytes: number,
  slotLsn: Lsn,
): Promise<Resume> {
  const onWay = (name: string) => {
    const { timeline, number } = parseSegmentName(name, segmentBytes);
    return timelineOfSegment(way, number, segmentBytes) === timeline ? number : undefined;
  };
  let newest: { name: string; number: bigint } | undefined;
  for await (const name of archive.list()) {
    const number = isSegmentName(name) ? onWay(name) : undefined;
    if (number !== undefined && (newest === undefined || number > newest.number)) newest = { name, number };
  }
  const whole = newest !== undefined && (await archive.fetch(newest.name))?.whole === true;
  let number = newest === undefined ? segmentNumberAt(slotLsn, segmentBytes) : whole ? newest.number + 1n : newest.number;
  for (const { from, to } of await archive.gaps()) {
    if (!isSegmentName(from) || !isSegmentName(to)) continue;
    const last = parseSegmentName(to, segmentBytes);
    if (way.some(({ timeline }) => timeline === last.timeline) && last.number >= number) number = last.number + 1n;
  }
  const stretch = way.at(-1);
  if (stretch === undefined) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the server named no timeline' });
  return { timeline: timelineOfSegment(way, number, segmentBytes), number };
}
