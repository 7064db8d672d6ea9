import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import type { Clock } from '../../host/host.ts';
import { Guard } from './guard.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, with: () => silent };

function start(own: (clock: Clock) => Clock = (clock) => clock) {
  const clock = fakeClock(0);
  const fences: number[] = [];
  const trouble = { failures: 0 };
  const guard = new Guard({
    clock: own(clock),
    log: silent,
    fence: async () => {
      await clock.sleep(100);
      if (trouble.failures > 0) {
        trouble.failures -= 1;
        throw new Error('hands slipped');
      }
      fences.push(clock.monotonicMs());
      return { orders: 'it is stopped' };
    },
  });
  return { clock, guard, fences, trouble };
}

describe('the guard', () => {
  it('fences at the deadline, and not before; armed again in time, not at all', async () => {
    const { clock, guard, fences } = start();
    guard.arm(1, 'keeper', 4_000);
    await clock.advance(3_500);
    guard.arm(1, 'keeper', 8_000);
    await clock.advance(4_400);
    expect(fences).toEqual([]);
    await clock.advance(300);
    expect(fences).toEqual([8_100]);
    expect(guard.state).toBe('fenced');
  });

  it('acts on a deadline that has passed before it hears anything newer', async () => {
    let frozenUntilMs = 0;
    // Its timers do not fire while it is frozen, and what was sent to it waits.
    const { clock, guard, fences } = start((inner) => ({
      ...inner,
      nowMs: inner.nowMs,
      monotonicMs: inner.monotonicMs,
      sleep: inner.sleep,
      after: (durationMs, callback) => inner.after(Math.max(durationMs, frozenUntilMs - inner.monotonicMs()), callback),
    }));
    frozenUntilMs = 20_000;
    guard.arm(1, 'keeper', 4_000);
    await clock.advance(10_000);
    expect(fences).toEqual([]);
    expect(() => guard.arm(1, 'keeper', 14_000)).toThrow(/being fenced/);
    await clock.advance(200);
    expect(fences).toEqual([10_100]);
    expect(() => guard.arm(1, 'keeper', 14_000)).toThrow(/fenced under this lease/);
  });

  it('counts the time in which the machine was suspended', async () => {
    let suspendedMs = 0;
    const { clock, guard, fences } = start((inner) => ({
      nowMs: inner.nowMs,
      monotonicMs: inner.monotonicMs,
      sleep: inner.sleep,
      after: inner.after,
      bootMs: () => inner.monotonicMs() + suspendedMs,
    }));
    guard.arm(1, 'keeper', 4_000);
    await clock.advance(1_000);
    suspendedMs = 60_000;
    await clock.advance(150);
    await clock.advance(100);
    expect(fences).toHaveLength(1);
    expect(fences[0]).toBeLessThan(1_250);
  });

  it('never moves a deadline back under one token, and takes no older token', async () => {
    const { clock, guard, fences } = start();
    guard.arm(3, 'keeper', 4_000);
    guard.arm(3, 'keeper', 2_000);
    await clock.advance(3_000);
    expect(fences).toEqual([]);
    expect(() => guard.arm(2, 'another', 9_000)).toThrow(/token 3/);
    await clock.advance(1_200);
    expect(fences).toHaveLength(1);
  });

  it('goes on until the fence is proven, and may be armed again only under a later lease', async () => {
    const { clock, guard, fences, trouble } = start();
    trouble.failures = 3;
    guard.arm(1, 'keeper', 1_000);
    await clock.advance(1_100);
    expect(guard.state).toBe('fencing');
    expect(() => guard.dismiss()).toThrow(/being fenced/);
    await clock.advance(1_000);
    expect(fences).toHaveLength(1);
    guard.arm(2, 'keeper', clock.monotonicMs() + 1_000);
    expect(guard.state).toBe('armed');
    await clock.advance(1_200);
    expect(fences).toHaveLength(2);
  });

  it('fences once, however often it is told', async () => {
    const { clock, guard, fences } = start();
    guard.arm(1, 'keeper', 4_000);
    const told = [guard.fenceNow('a bar'), guard.fenceNow('a bar')];
    await clock.advance(150);
    const reports = await Promise.all([...told, guard.fenceNow('again')]);
    expect(fences).toHaveLength(1);
    expect(reports[2]).toMatchObject({ why: 'a bar', tookMs: 100, evidence: { orders: 'it is stopped' } });
  });

  it('is dismissed in time, or not at all', async () => {
    const { clock, guard, fences } = start();
    guard.arm(1, 'keeper', 4_000);
    guard.dismiss();
    await clock.advance(10_000);
    expect(fences).toEqual([]);
    guard.arm(2, 'keeper', 12_000);
    await clock.advance(2_050);
    expect(() => guard.dismiss()).toThrow(/being fenced/);
  });
});
