/**
 * What every driver that only looks and checks must do, written once and run on its fake and on the real system: those of kind `check`, and data stores without a standby. A fake may be
 * trusted only because the same tests pass on the real one.
 *
 * A driver's test builds an `ObservedHarness`; the harness knows the system, the tests know only the contracts and what can be seen from outside.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Site } from '../../src/contracts/driver.ts';
import type { EvidenceKind, Health, Reading } from '../../src/contracts/observation.ts';
import type { Host } from '../../src/host/host.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

/**
 * What may be wrong with a system.
 *   ill           it answers, and says itself that not all is well
 *   garbled       it answers what no such system answers, or half of it
 *   other-system  another one of its kind answers there
 *   locked-out    it does not take our credentials
 *   hung          it accepts connections, and never says a word
 *   reset         it cuts connections off
 */
export type Trouble = 'ill' | 'garbled' | 'other-system' | 'locked-out' | 'hung' | 'reset';

const signs: Readonly<Record<Trouble, readonly [Health, EvidenceKind]>> = {
  ill: ['down', 'wrong-answer'],
  garbled: ['down', 'wrong-answer'],
  'other-system': ['unknown', 'error'],
  'locked-out': ['unknown', 'not-allowed'],
  hung: ['unknown', 'timeout'],
  reset: ['down', 'connection-lost'],
};

export interface ObservedSubject {
  readonly host: Host;
  /** Opens the site as a controller does; a second one remembers nothing of the first. */
  openSite(options?: { readonly probeTimeoutMs?: number }): Site;
  /** Brings it into one of the harness's troubles, or out of all of them. */
  become(mood: Trouble | 'healthy'): Promise<void>;
  /** It dies: its host refuses connections. */
  kill(): Promise<void>;
  dispose(): Promise<void>;
}

export interface ObservedHarness {
  /** With `(fake)` or `(real)`. */
  readonly name: string;
  /** Those that this system can be brought into. `hung` is one that each can. */
  readonly troubles: readonly Trouble[];
  /** What each reading holds while all is well, besides health and evidence. */
  readonly reading?: Partial<Reading>;
  /** With all well. */
  start(): Promise<ObservedSubject>;
}

export function describeObserved(harness: ObservedHarness): void {
  describe(`looked at: ${harness.name}`, () => {
    const begun: ObservedSubject[] = [];
    const begin = async (): Promise<ObservedSubject> => {
      const subject = await harness.start();
      begun.push(subject);
      return subject;
    };
    const look = (subject: ObservedSubject, probeTimeoutMs = 1_000) =>
      subject.openSite({ probeTimeoutMs }).observe(AbortSignal.timeout(5_000));
    const checked = (subject: ObservedSubject) => subject.openSite().verbs.check?.inspect({}, stepContext(subject.host, newJournal()));
    afterEach(async () => {
      for (const subject of begun.splice(0)) await subject.dispose();
    });

    it('is up while all is well, and says why', async () => {
      const reading = await look(await begin());
      expect(reading).toMatchObject({ health: 'up', evidence: { kind: 'answered' }, ...harness.reading });
      expect(reading.evidence.detail).not.toBe('');
    });

    it('is down at once when its host refuses', async () => {
      const subject = await begin();
      await subject.kill();
      expect(await look(subject)).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
    });

    it.each(harness.troubles)('tells what is wrong where it is %s, in time, and is up again afterwards', async (trouble) => {
      const subject = await begin();
      await subject.become(trouble);
      const [health, kind] = signs[trouble];
      const beginMs = subject.host.clock.monotonicMs();
      expect(await look(subject, 300)).toMatchObject({ health, evidence: { kind } });
      expect(subject.host.clock.monotonicMs() - beginMs).toBeLessThan(3_000);
      expect((await checked(subject))?.state, 'not checked while there is trouble').toBe('pending');
      await subject.become('healthy');
      expect(await look(subject)).toMatchObject({ health: 'up' });
    });

    it('can be hung, and a probe of it ends soon after its signal is aborted', async () => {
      const subject = await begin();
      await subject.become('hung');
      const abort = new AbortController();
      const probe = subject.openSite({ probeTimeoutMs: 15_000 }).observe(abort.signal);
      subject.host.clock.after(50, () => abort.abort());
      const beginMs = subject.host.clock.monotonicMs();
      expect((await probe).health).toBe('unknown');
      expect(subject.host.clock.monotonicMs() - beginMs).toBeLessThan(3_000);
    });

    it('passes its check only while it works, and finds nothing to apply', async () => {
      const subject = await begin();
      expect(await runStep(subject.host, subject.openSite(), 'check', {})).toMatchObject({ detail: expect.any(String) });
      const applied = subject.openSite().verbs.check?.apply({}, stepContext(subject.host, newJournal()));
      await expect(applied).rejects.toMatchObject({ kind: 'bug' });
      await subject.kill();
      expect((await checked(subject))?.state).toBe('pending');
    });
  });
}
