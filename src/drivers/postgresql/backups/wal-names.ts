/**
 * Names and headers of log segments. `00000002` `0000000A` `000000FE`: timeline, and the segment's number in two halves whose size depends on the size of a segment.
 * Layout of the first page: XLogLongPageHeaderData, https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/access/xlog_internal.h
 */
import { fail } from '../../../base/errors.ts';
import { type Lsn, parseLsn } from '../lsn.ts';

export interface SegmentName {
  readonly timeline: number;
  readonly number: bigint;
}

const segmentPattern = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/;
const historyPattern = /^([0-9A-F]{8})\.history$/;

const hex = (value: bigint | number) => value.toString(16).toUpperCase().padStart(8, '0');
const segmentsPerHalf = (segmentBytes: number) => 0x1_0000_0000n / BigInt(segmentBytes);

export function isSegmentName(name: string): boolean {
  return segmentPattern.test(name);
}

export function isHistoryName(name: string): boolean {
  return historyPattern.test(name);
}

export function historyName(timeline: number): string {
  return `${hex(timeline)}.history`;
}

export function timelineOfHistory(name: string): number | undefined {
  const match = historyPattern.exec(name);
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}

export function parseSegmentName(name: string, segmentBytes: number): SegmentName {
  const match = segmentPattern.exec(name);
  if (!match) throw fail('SYSTEM_WRONG_ANSWER', { message: `"${name}" is not the name of a log segment` });
  const [, timeline, high, low] = match;
  return {
    timeline: Number.parseInt(timeline as string, 16),
    number: BigInt(`0x${high}`) * segmentsPerHalf(segmentBytes) + BigInt(`0x${low}`),
  };
}

export function formatSegmentName({ timeline, number }: SegmentName, segmentBytes: number): string {
  const perHalf = segmentsPerHalf(segmentBytes);
  return `${hex(timeline)}${hex(number / perHalf)}${hex(number % perHalf)}`;
}

/** The segment that the byte at this place lies in. */
export function segmentNumberAt(lsn: Lsn, segmentBytes: number): bigint {
  return lsn / BigInt(segmentBytes);
}

export function segmentStart(number: bigint, segmentBytes: number): Lsn {
  return number * BigInt(segmentBytes);
}

/** One stretch of a server's way: it was on the timeline from `begin` (of the first: from the beginning) to `end` (of the last: still). */
export interface TimelineStretch {
  readonly timeline: number;
  readonly begin: Lsn;
  readonly end: Lsn | undefined;
}

/** The way to a timeline, oldest first, from the text of its history file (empty for the first timeline). */
export function wayTo(timeline: number, history: string): readonly TimelineStretch[] {
  const way: TimelineStretch[] = [];
  let begin = 0n;
  for (const line of history.split('\n')) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (!match?.[1] || !match[2]) continue;
    const end = parseLsn(match[2]);
    way.push({ timeline: Number(match[1]), begin, end });
    begin = end;
  }
  return [...way, { timeline, begin, end: undefined }];
}

/** The file that holds a segment on a way. Where the timeline changes inside of a segment, the newer timeline's file has all of it. */
export function timelineOfSegment(way: readonly TimelineStretch[], number: bigint, segmentBytes: number): number {
  let found = way[0]?.timeline ?? 1;
  for (const { timeline, begin } of way) if (segmentNumberAt(begin, segmentBytes) <= number) found = timeline;
  return found;
}

export interface SegmentHeader {
  readonly timeline: number;
  readonly start: Lsn;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
}

const longHeaderFlag = 0x0002;
const magicOf15 = 0xd110;
const magicNewest = 0xd1ff;

/** Throws where these bytes are not the beginning of a log segment. Little-endian, as every machine that PostgreSQL is packaged for today (the magic number tells). */
export function readSegmentHeader(bytes: Uint8Array, subject: string): SegmentHeader {
  const wrong = (why: string) => fail('SYSTEM_WRONG_ANSWER', { subject, message: `${subject} is not a log segment: ${why}` });
  if (bytes.length < 40) throw wrong(`it has only ${bytes.length} bytes`);
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, 40);
  const magic = view.readUInt16LE(0);
  if (magic < magicOf15 || magic > magicNewest) throw wrong(`it begins with ${magic.toString(16)}`);
  if ((view.readUInt16LE(2) & longHeaderFlag) === 0) throw wrong('its first page has no long header');
  return {
    timeline: view.readUInt32LE(4),
    start: view.readBigUInt64LE(8),
    systemIdentifier: view.readBigUInt64LE(24).toString(),
    segmentBytes: view.readUInt32LE(32),
  };
}
