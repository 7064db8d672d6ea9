/** Negative controls on real systems: a few of what "npm run sabotage" tries. A proof that passes over damage is worth nothing where it passes without. */
import { describe, expect, it } from 'vitest';
import { type ControlOutcome, computeCatchRate } from '../../src/backups/sabotage.ts';
import { describeSystem } from '../systems/requirement.ts';
import { sabotage } from './sabotage-run.ts';
import { type SubjectKind, subjectKinds } from './sabotage-subjects.ts';

const kindOf = (name: string): SubjectKind => {
  const kind = subjectKinds.find((each) => each.name === name);
  if (!kind) throw new Error(`there is no ${name}`);
  return kind;
};

const summary = (outcomes: readonly ControlOutcome[]) =>
  outcomes.map(({ damage, result, caughtAt }) => `${damage}: ${result} ${caughtAt ?? ''}`.trim());

async function catchAll(name: string, choose?: readonly string[]): Promise<readonly ControlOutcome[]> {
  const outcomes = await sabotage(kindOf(name), {
    seed: 1,
    say: () => undefined,
    ...(choose ? { choose: (damage) => choose.includes(damage.name) } : {}),
  });
  const { tried, caught } = computeCatchRate(outcomes);
  expect(summary(outcomes).filter((line) => !line.includes(': caught'))).toEqual([]);
  expect(caught).toBe(tried);
  if (choose) expect(tried).toBe(choose.length);
  return outcomes;
}

describe('files', () => {
  it('[S4-45] every damage to a copy of files is caught', async () => {
    const outcomes = await catchAll('files');
    expect(outcomes.length).toBeGreaterThanOrEqual(15);
    expect(summary(outcomes)).toContain('change a vector: caught P4');
  });
});

describeSystem('redis', 'redis', () => {
  it('[S4-45] every damage to a copy of Redis is caught', async () => {
    const outcomes = await catchAll('redis');
    expect(outcomes.length).toBeGreaterThanOrEqual(15);
    expect(summary(outcomes)).toEqual(
      expect.arrayContaining(['drop a key: caught P4', 'empty a database: caught P4', 'lose a stored piece: caught P1']),
    );
  });
});

describeSystem('etcd', 'etcd', () => {
  it('[S4-45] every damage to a copy of etcd is caught', async () => {
    const outcomes = await catchAll('etcd');
    expect(outcomes.length).toBeGreaterThanOrEqual(14);
    expect(summary(outcomes)).toEqual(
      expect.arrayContaining(['drop a key: caught P4', 'change a value: caught P4', 'drop a prefix: caught P4']),
    );
  });
});

describeSystem('postgresql', 'postgresql', () => {
  it('[S4-45] [S4-49] [S5-07] rows deleted, a table emptied, a log segment lost, a file damaged and pieces swapped are caught', async () => {
    const outcomes = await catchAll('postgresql', [
      'swap two stored pieces',
      'lose a log segment',
      'flip a byte of a restored file',
      'delete rows',
      'empty a table',
    ]);
    expect(summary(outcomes)).toEqual(
      expect.arrayContaining(['lose a log segment: caught P5', 'delete rows: caught P4', 'flip a byte of a restored file: caught P3']),
    );
  });
});
