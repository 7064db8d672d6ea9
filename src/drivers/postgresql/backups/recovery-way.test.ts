import { expect, test } from 'vitest';
import type { ArchiveReader } from '../../../contracts/backup.ts';
import { findRecoveryWay } from './recovery-way.ts';
import { findResume } from './resume-archive.ts';
import { wayTo } from './wal-names.ts';

const segmentBytes = 16 * 1024 * 1024;
const name = (timeline: number, number: number) => `0000000${timeline}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;
const lsn = (number: number, offset = 0) => BigInt(number * segmentBytes + offset);
/** The server left timeline 1 in segment 5. */
const second = '1\t0/5000100\tno recovery target specified\n';

function archiveOf(
  names: readonly string[],
  more: { histories?: Record<string, string>; gaps?: [string, string][]; unfinished?: string } = {},
): ArchiveReader {
  const histories = more.histories ?? {};
  const all = [...names, ...Object.keys(histories)].sort();
  return {
    async *list(from = '') {
      for (const each of all) if (each >= from) yield each;
    },
    fetch: async (each) =>
      histories[each] !== undefined
        ? { bytes: Buffer.from(histories[each] as string), whole: true }
        : names.includes(each)
          ? { bytes: new Uint8Array(1), whole: each !== more.unfinished }
          : undefined,
    gaps: async () => (more.gaps ?? []).map(([from, to]) => ({ from, to, why: 'lost' })),
  };
}

const find = (archive: ArchiveReader, through = [{ timeline: 1, lsn: lsn(3, 256) }]) =>
  findRecoveryWay({ archive, timeline: 1, firstSegment: name(1, 3), segmentBytes, through });

test('from the first segment needed to the newest', async () => {
  const { segments, hole, timeline } = await find(archiveOf([2, 3, 4, 5].map((each) => name(1, each))));
  expect({ segments, hole, timeline }).toEqual({ segments: [3, 4, 5].map((each) => name(1, each)), hole: undefined, timeline: 1 });
});

test('what lies behind a missing segment is never reached, and the hole is named', async () => {
  const { segments, hole } = await find(archiveOf([3, 4, 7, 8].map((each) => name(1, each))));
  expect(segments).toEqual([name(1, 3), name(1, 4)]);
  expect(hole).toMatchObject({ from: name(1, 5), to: name(1, 6) });
});

test('a recorded hole counts, in the middle, at the end, and not on another way', async () => {
  const names = [3, 4, 5, 6].map((each) => name(1, each));
  expect((await find(archiveOf(names, { gaps: [[name(1, 5), name(1, 5)]] }))).segments).toEqual(names.slice(0, 2));
  expect((await find(archiveOf(names, { gaps: [[name(1, 7), name(1, 9)]] }))).hole).toMatchObject({ from: name(1, 7) });
  expect((await find(archiveOf(names, { gaps: [[name(2, 4), name(2, 4)]] }))).hole).toBeUndefined();
});

test('follows a promotion: the segment of the switch is taken from the newer timeline', async () => {
  const names = [name(1, 3), name(1, 4), name(1, 5), name(2, 5), name(2, 6)];
  const found = await find(archiveOf(names, { histories: { '00000002.history': second } }));
  expect(found.timeline).toBe(2);
  expect(found.segments).toEqual([name(1, 3), name(1, 4), name(2, 5), name(2, 6)]);
});

test('a backup that was taken behind the switch stays on its own timeline', async () => {
  const names = [name(1, 3), name(1, 4), name(1, 5), name(1, 6), name(2, 5), name(2, 6)];
  const found = await find(archiveOf(names, { histories: { '00000002.history': second } }), [{ timeline: 1, lsn: lsn(5, 0x200) }]);
  expect(found.timeline).toBe(1);
  expect(found.segments).toEqual([3, 4, 5, 6].map((each) => name(1, each)));
});

test('archiving goes on with the segment that is not whole, behind the newest one, or behind a hole', async () => {
  const way = wayTo(1, '');
  const names = [3, 4, 5].map((each) => name(1, each));
  const resume = async (archive: ArchiveReader, on = way) => {
    const { timeline, number } = await findResume(archive, on, segmentBytes, lsn(9, 40));
    return name(timeline, Number(number));
  };
  expect(await resume(archiveOf([]))).toBe(name(1, 9));
  expect(await resume(archiveOf(names))).toBe(name(1, 6));
  expect(await resume(archiveOf(names, { unfinished: name(1, 5) }))).toBe(name(1, 5));
  expect(await resume(archiveOf(names, { gaps: [[name(1, 6), name(1, 8)]] }))).toBe(name(1, 9));
  // What the former primary archived behind the switch is not on the way of the new one.
  expect(await resume(archiveOf([...names, name(1, 6)]), wayTo(2, second))).toBe(name(2, 5));
});
