/**
 * A part of the kill -9 sweep that fits into the suite: every so many-th boundary, starting elsewhere each day, so that in some weeks the suite has visited them all. The
 * whole sweep is `npm run sweep`.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeSystem } from '../systems/requirement.ts';
import { chooseSample } from './crash-tasks.ts';
import { KillSweep } from './kill-sweep.ts';

const sample = 12;
const seed = Number(process.env.HOLDFAST_SWEEP_SEED ?? Math.floor(Date.now() / 86_400_000));
const quarterOfAnHourMs = 900_000;

// Once only: what differs after a kill differs, however rarely.
describeSystem(['postgresql', 'redis', 'bind', 'sshd'], `kill -9 sweep (HOLDFAST_SWEEP_SEED=${seed})`, () => {
  const lines: string[] = [];
  const sweep = new KillSweep((line) => lines.push(line));
  const said = () => lines.join('\n');

  beforeAll(() => sweep.runUndisturbed(), quarterOfAnHourMs);
  afterAll(() => sweep.close(), 60_000);

  it('[X-02] [I4] killed at a boundary of its journal and started again, the controller ends in the same state and repeats no destructive step', {
    timeout: quarterOfAnHourMs,
    retry: 0,
  }, async () => {
    const report = await sweep.runBoundaries(chooseSample(sweep.commits, sample, seed));
    expect(sweep.findings, said()).toEqual([]);
    expect(report.killed, said()).toBeGreaterThan(0);
    expect(report.sameEndState, said()).toBe(report.boundaries);
    expect(report.duplicateEffects).toBe(0);
  });

  it('is able to fail: with a journal that acknowledges events and forgets them, the sweep finds the difference', {
    timeout: quarterOfAnHourMs,
    retry: 0,
  }, async () => {
    const finding = await sweep.runForgetting('switchover', { moment: 'after', commit: 30 });
    expect(finding, said()).toBeDefined();
    expect(finding?.differences.join('\n')).toMatch(/acknowledged events are not in the journal/);
  });
});
