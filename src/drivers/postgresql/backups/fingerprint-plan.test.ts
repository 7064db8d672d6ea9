import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatSample, parseSample, planFingerprint } from './fingerprint-plan.ts';

const mib = 1024 * 1024;

test('small tables are taken whole, and what is left goes to the large ones in stripes all over them', () => {
  const plan = planFingerprint(
    [
      { name: 'large', bytes: 800 * mib, blocks: 102_400 },
      { name: 'small', bytes: mib, blocks: 128 },
    ],
    9 * mib,
  );
  expect(plan[0]).toEqual({ name: 'small', blocks: 128, stripes: undefined });
  const stripes = plan[1]?.stripes ?? [];
  expect(stripes).toHaveLength(8);
  expect(stripes[0]).toEqual({ from: 0, to: 128 });
  expect(stripes.at(-1)?.from).toBe(89_600);
});

test('a table whose rows lie mostly out of line is not read beyond its share for having few blocks', () => {
  const [share] = planFingerprint([{ name: 'documents', bytes: 1_000 * mib, blocks: 1_000 }], 10 * mib);
  expect(share?.stripes?.reduce((sum, { from, to }) => sum + to - from, 0)).toBeLessThanOrEqual(10);
});

test('a table of few blocks and long rows out of line is sampled by rows: a block of it would be more than its share', () => {
  const [share] = planFingerprint([{ name: 'noise', bytes: 500 * mib, blocks: 4, rows: 500 }], 32 * mib);
  expect(share?.stripes).toEqual([0, 1, 2, 3].map((from) => ({ from, to: from + 1, rows: 8 })));
  expect(formatSample(share?.stripes ?? [], 4)).toBe('blocks 0-0, 1-1, 2-2, 3-3 of 4, rows 1-8 of each');
});

test('whatever the sizes: within the budget, inside of each table, and a sample reads back as it was written', () => {
  const table = fc.record({ bytes: fc.integer({ min: 0, max: 10_000 * mib }), blocks: fc.integer({ min: 0, max: 1_000_000 }) });
  fc.assert(
    fc.property(fc.array(table, { maxLength: 20 }), fc.integer({ min: 1, max: 500 * mib }), (sizes, budget) => {
      const tables = sizes.map((size, index) => ({ ...size, blocks: size.bytes === 0 ? 0 : Math.max(1, size.blocks), name: `t${index}` }));
      const plan = planFingerprint(tables, budget);
      expect(plan).toHaveLength(tables.length);
      const whole = plan.filter(({ stripes }) => stripes === undefined);
      expect(whole.reduce((sum, { name }) => sum + (tables.find((each) => each.name === name)?.bytes ?? 0), 0)).toBeLessThanOrEqual(
        budget + 1,
      );
      for (const { stripes, blocks } of plan) {
        if (stripes === undefined) continue;
        for (const [index, { from, to }] of stripes.entries()) {
          expect(from).toBeLessThan(to);
          expect(to).toBeLessThanOrEqual(stripes[index + 1]?.from ?? blocks);
        }
        expect(parseSample(formatSample(stripes, blocks))).toEqual(stripes);
      }
    }),
  );
});

test('a sample that was tampered with is not read', () => {
  for (const text of ['', 'all', 'blocks 1-2', 'blocks 0-1) OR (true of 3', 'blocks 0-x of 3', 'blocks 0-1 of 3, rows 1-x of each'])
    expect(parseSample(text)).toBeUndefined();
});
