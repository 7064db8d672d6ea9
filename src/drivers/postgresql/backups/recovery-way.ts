/**
 * Which log files a recovery reads, in order: along the newest timeline that the backup (and the target) lies on, up to the end of the archive or the first hole.
 *
 * PostgreSQL takes a missing segment for the end of the log: it would promote there and report success. So holes are found here, before anything is restored, and the recovery
 * never gets to see what lies behind one.
 */
import type { ArchiveReader } from '../../../contracts/backup.ts';
import type { Lsn } from '../lsn.ts';
import {
  formatSegmentName,
  historyName,
  isSegmentName,
  parseSegmentName,
  segmentNumberAt,
  type TimelineStretch,
  timelineOfHistory,
  timelineOfSegment,
  wayTo,
} from './wal-names.ts';

export interface Hole {
  readonly from: string;
  readonly to: string;
  readonly why: string;
}

export interface RecoveryWay {
  readonly timeline: number;
  readonly way: readonly TimelineStretch[];
  /** Names of segments without a hole between them. */
  readonly segments: readonly string[];
  /** What ends them, where more lies behind it. */
  readonly hole: Hole | undefined;
  readonly histories: ReadonlyMap<string, Uint8Array>;
}

export interface WayRequest {
  readonly archive: ArchiveReader;
  readonly timeline: number;
  readonly firstSegment: string;
  readonly segmentBytes: number;
  /** Places, each on a timeline, that the way has to pass: the end of the backup, a fingerprint. */
  readonly through: readonly { readonly timeline: number; readonly lsn: Lsn }[];
}

export async function findRecoveryWay(request: WayRequest): Promise<RecoveryWay> {
  const { archive, timeline, firstSegment, segmentBytes } = request;
  const names = new Set<string>();
  const historyNames = new Set<string>(timeline > 1 ? [historyName(timeline)] : []);
  for await (const name of archive.list(firstSegment)) {
    if (isSegmentName(name)) names.add(name);
    else if (timelineOfHistory(name) !== undefined) historyNames.add(name);
  }
  const histories = new Map<string, Uint8Array>();
  for (const name of historyNames) {
    const found = await archive.fetch(name);
    if (found) histories.set(name, found.bytes);
  }
  const chosen = chooseTimeline(request, histories);
  const found = follow(chosen.way, parseSegmentName(firstSegment, segmentBytes).number, names, segmentBytes);
  const recorded = (await archive.gaps()).map((gap) => cutAt(found.segments, chosen.way, gap, segmentBytes));
  // The earliest one ends the way.
  const cut = recorded.filter((each) => each !== undefined).sort((a, b) => a.index - b.index)[0];
  return {
    timeline: chosen.timeline,
    way: chosen.way,
    segments: cut === undefined ? found.segments : found.segments.slice(0, cut.index),
    hole: cut?.hole ?? found.hole,
    histories,
  };
}

function chooseTimeline(
  { timeline, through }: WayRequest,
  histories: ReadonlyMap<string, Uint8Array>,
): { readonly timeline: number; readonly way: readonly TimelineStretch[] } {
  const textOf = (each: number) => Buffer.from(histories.get(historyName(each)) ?? []).toString('utf8');
  const passes = (way: readonly TimelineStretch[]) =>
    through.every((place) =>
      way.some((stretch) => stretch.timeline === place.timeline && (stretch.end === undefined || place.lsn <= stretch.end)),
    );
  const newer = [...histories.keys()]
    .map((name) => timelineOfHistory(name) as number)
    .filter((each) => each > timeline)
    .sort((a, b) => b - a);
  for (const each of newer) {
    const way = wayTo(each, textOf(each));
    if (passes(way)) return { timeline: each, way };
  }
  return { timeline, way: wayTo(timeline, textOf(timeline)) };
}

function follow(
  way: readonly TimelineStretch[],
  first: bigint,
  names: ReadonlySet<string>,
  segmentBytes: number,
): { readonly segments: readonly string[]; readonly hole: Hole | undefined } {
  const nameOf = (number: bigint) => formatSegmentName({ timeline: timelineOfSegment(way, number, segmentBytes), number }, segmentBytes);
  let last = first - 1n;
  for (const name of names) {
    const { number } = parseSegmentName(name, segmentBytes);
    if (number > last && nameOf(number) === name) last = number;
  }
  const segments: string[] = [];
  let number = first;
  for (; names.has(nameOf(number)); number += 1n) segments.push(nameOf(number));
  if (number > last) {
    // A server that was lost right after its promotion may have archived the end of the old timeline only.
    const older = olderName(way, number, names, segmentBytes);
    return { segments: older === undefined ? segments : [...segments, older], hole: undefined };
  }
  const from = number;
  while (number < last && !names.has(nameOf(number))) number += 1n;
  return { segments, hole: { from: nameOf(from), to: nameOf(number - 1n), why: 'these log segments are not in the archive' } };
}

function olderName(way: readonly TimelineStretch[], number: bigint, names: ReadonlySet<string>, segmentBytes: number): string | undefined {
  const wanted = timelineOfSegment(way, number, segmentBytes);
  return way
    .filter(({ timeline, end }) => timeline < wanted && end !== undefined && segmentNumberAt(end, segmentBytes) >= number)
    .map(({ timeline }) => formatSegmentName({ timeline, number }, segmentBytes))
    .findLast((name) => names.has(name));
}

function cutAt(
  segments: readonly string[],
  way: readonly TimelineStretch[],
  gap: Hole,
  segmentBytes: number,
): { readonly index: number; readonly hole: Hole } | undefined {
  if (!isSegmentName(gap.from) || !isSegmentName(gap.to)) return undefined;
  const from = parseSegmentName(gap.from, segmentBytes);
  const to = parseSegmentName(gap.to, segmentBytes);
  const index = segments.findIndex((name) => {
    const { number } = parseSegmentName(name, segmentBytes);
    return number >= from.number && number <= to.number;
  });
  // What was archived afterwards all the same closes a gap only where it is all of it; and one behind the end of the segments begins where they end.
  const onWay = way.some(({ timeline }) => timeline === from.timeline);
  if (!onWay) return undefined;
  if (index >= 0) return { index, hole: gap };
  const end = segments.at(-1);
  return end !== undefined && parseSegmentName(end, segmentBytes).number + 1n === from.number
    ? { index: segments.length, hole: gap }
    : undefined;
}
