import { expect, it } from 'vitest';
import type { TestSpecification, Vitest } from 'vitest/node';
import { longestFirst } from './longest-first.ts';

const sizes: Readonly<Record<string, number>> = {
  '/r/big.test.ts': 900,
  '/r/small.test.ts': 10,
  '/r/long.test.ts': 1,
  '/r/longer.test.ts': 1,
};
const context = {
  config: { root: '/r' },
  cache: {
    getFileTestResults: () => undefined,
    getFileStats: (key: string) => ({ size: sizes[key.replace(/^.*:/, '/r/')] }),
  },
} as unknown as Vitest;
const specification = (moduleId: string, groupOrder: number) =>
  ({
    moduleId,
    project: { name: `group-${groupOrder}`, config: { isolate: true, sequence: { groupOrder } } },
  }) as unknown as TestSpecification;

it('the named files begin their group, in their order; the others follow by size; no file leaves its group', async () => {
  const Sequencer = longestFirst(['longer.test.ts', 'long.test.ts']);
  const files = [
    specification('/r/small.test.ts', 1),
    specification('/r/long.test.ts', 1),
    specification('/r/big.test.ts', 1),
    specification('/r/longer.test.ts', 1),
    specification('/r/small.test.ts', 0),
  ];
  const sorted = await new Sequencer(context).sort(files);
  expect(sorted.map(({ moduleId, project }) => `${project.name} ${moduleId}`)).toEqual([
    'group-0 /r/small.test.ts',
    'group-1 /r/longer.test.ts',
    'group-1 /r/long.test.ts',
    'group-1 /r/big.test.ts',
    'group-1 /r/small.test.ts',
  ]);
});
