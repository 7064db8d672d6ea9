/**
 * What every driver of a workload must do, written once and run on its fake and on the real thing. A fake may be trusted only because the same tests pass on the real one.
 *
 * A driver's test builds a `WorkloadHarness`; the harness knows the system, the tests know only the contracts and what can be seen from outside.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Site } from '../../src/contracts/driver.ts';
import type { EvidenceKind, Health } from '../../src/contracts/observation.ts';
import type { Host } from '../../src/host/host.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

export type Trouble = 'checking' | 'failing' | 'html' | 'hung' | 'slow' | 'reset';

export interface WorkloadSubject {
  readonly host: Host;
  /** Opens the site as a controller does; a second one remembers nothing of the first. */
  openSite(options?: { readonly hands?: boolean; readonly probeTimeoutMs?: number }): Site;
  /** How many replicas or processes make up the full size. */
  readonly full: number;
  /** Undefined where this workload is not looked at over HTTP. */
  readonly become?: (mood: Trouble | 'healthy') => Promise<void>;
  /** How many run, by looking at the system and not at Holdfast. */
  running(): Promise<number>;
  /** Everything dies at once. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Whether the site can count what runs. */
  readonly counts: boolean;
  /** Whether a fence bars starts under older epochs. */
  readonly barsOlderEpochs: boolean;
  dispose(): Promise<void>;
}

export interface WorkloadHarness {
  readonly name: string;
  /** Whether it is looked at over HTTP and so can be in trouble there: then `become` must be there too. */
  readonly overHttp: boolean;
  /** What is seen once everything is dead. Default: a host that refuses. What is looked at through somebody else gets an answer all the same. */
  readonly deadEvidence?: EvidenceKind;
  /** Whether scaling and fencing take hands. Default: they do. */
  readonly needsHands?: boolean;
  /** With nothing running. */
  start(): Promise<WorkloadSubject>;
}

export function describeWorkload(harness: WorkloadHarness): void {
  describe(`a workload: ${harness.name}`, () => {
    const begun: WorkloadSubject[] = [];
    const begin = async (size?: 'full'): Promise<WorkloadSubject> => {
      const subject = await harness.start();
      begun.push(subject);
      if (size) {
        const site = subject.openSite();
        await runStep(subject.host, site, 'scale', { size });
        await runStep(subject.host, site, 'await-ready', { size, share: 1 });
        await site.close();
      }
      return subject;
    };
    const look = (subject: WorkloadSubject, probeTimeoutMs = 1_000) =>
      subject.openSite({ probeTimeoutMs }).observe(AbortSignal.timeout(5_000));
    const trouble = async (subject: WorkloadSubject, mood: Trouble | 'healthy') => {
      if (!subject.become) throw new Error('the harness says overHttp and can not change the mood');
      await subject.become(mood);
    };
    afterEach(async () => {
      for (const subject of begun.splice(0)) await subject.dispose();
    });

    it('is up while it answers and refused once it is dead', async () => {
      const subject = await begin('full');
      expect(await look(subject)).toMatchObject({ health: 'up', evidence: { kind: 'answered' } });
      await subject.kill();
      expect(await look(subject)).toMatchObject({ health: 'down', evidence: { kind: harness.deadEvidence ?? 'refused' } });
    });

    if (harness.overHttp) {
      const troubles: readonly (readonly [Trouble, Health, EvidenceKind])[] = [
        ['failing', 'down', 'wrong-answer'],
        ['html', 'down', 'wrong-answer'],
        ['checking', 'down', 'wrong-answer'],
        ['reset', 'down', 'connection-lost'],
        ['hung', 'unknown', 'timeout'],
      ];
      it.each(troubles)('[S3-05] gives the right evidence of a service that is %s', async (mood, health, kind) => {
        const subject = await begin('full');
        await trouble(subject, mood);
        const before = subject.host.clock.monotonicMs();
        expect(await look(subject, 300)).toMatchObject({ health, evidence: { kind } });
        expect(subject.host.clock.monotonicMs() - before).toBeLessThan(1_500);
        await trouble(subject, 'healthy');
        expect(await look(subject)).toMatchObject({ health: 'up' });
      });

      it('[S3-05] calls a slow service up within the time limit and silent beyond it', async () => {
        const subject = await begin('full');
        await trouble(subject, 'slow');
        expect(await look(subject, 2_000)).toMatchObject({ health: 'up' });
        expect(await look(subject, 50)).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
      });

      it('ends a probe soon after its signal is aborted', async () => {
        const subject = await begin('full');
        await trouble(subject, 'hung');
        const abort = new AbortController();
        const probe = subject.openSite({ probeTimeoutMs: 15_000 }).observe(abort.signal);
        subject.host.clock.after(30, () => abort.abort());
        const before = subject.host.clock.monotonicMs();
        expect((await probe).health).toBe('unknown');
        expect(subject.host.clock.monotonicMs() - before).toBeLessThan(1_000);
      });
    }

    it('scales to full and to none, and doing it again changes nothing', async () => {
      const subject = await begin();
      const { host, full } = subject;
      const site = subject.openSite();
      expect(await runStep(host, site, 'scale', { size: 'full' })).toMatchObject({ wanted: full, previous: 0 });
      expect(await runStep(host, site, 'scale', { size: 'full' })).toMatchObject({ wanted: full });
      expect(await runStep(host, site, 'await-ready', { size: 'full', share: 0.8 })).toMatchObject({ wanted: full });
      expect(await subject.running()).toBe(full);
      expect(await runStep(host, site, 'scale', { size: 'none' })).toMatchObject({ wanted: 0, previous: subject.counts ? full : null });
      expect(await runStep(host, site, 'await-ready', { size: 'none' })).toEqual({ wanted: 0, ready: 0 });
      expect(await runStep(host, site, 'scale', { size: 'none' })).toMatchObject({ wanted: 0 });
      expect(await subject.running()).toBe(0);
    });

    it('applied twice in a row has one effect', async () => {
      const subject = await begin();
      for (const site of [subject.openSite(), subject.openSite()]) {
        await site.verbs.scale?.apply({ size: 'full' }, stepContext(subject.host, newJournal()));
      }
      expect(await subject.running()).toBe(subject.full);
    });

    it.each([1, 2])('goes on after its controller died at note %d of scaling', async (dieAtNote) => {
      const subject = await begin();
      const journal = newJournal();
      const dying = subject.openSite().verbs.scale;
      await expect(dying?.apply({ size: 'full' }, stepContext(subject.host, journal, { dieAtNote }))).rejects.toThrow(
        'the controller died',
      );
      expect(await runStep(subject.host, subject.openSite(), 'scale', { size: 'full' }, journal)).toMatchObject({
        wanted: subject.full,
        previous: 0,
      });
      expect(await subject.running()).toBe(subject.full);
    });

    it('is not ready before it answers', async () => {
      const subject = await begin();
      const ready = await subject
        .openSite()
        .verbs['await-ready']?.inspect({ size: 'full', share: 0.8 }, stepContext(subject.host, newJournal()));
      expect(ready?.state).toBe('pending');
    });

    it('is fenced only once this very step has stopped it and nothing runs', async () => {
      const subject = await begin('full');
      const site = subject.openSite();
      const journal = newJournal(7);
      expect((await site.verbs.fence?.inspect({}, stepContext(subject.host, journal)))?.state).toBe('absent');
      const proof = await runStep(subject.host, site, 'fence', {}, journal);
      expect(proof).toMatchObject({ proof: 'stopped', evidence: expect.any(String), sinceMs: expect.any(Number) });
      expect(await subject.running()).toBe(0);
      if (!subject.barsOlderEpochs) return;
      const stale = site.verbs.scale?.apply({ size: 'full' }, stepContext(subject.host, newJournal(6)));
      await expect(stale).rejects.toMatchObject({ kind: 'refused' });
      expect(await subject.running()).toBe(0);
      await runStep(subject.host, site, 'scale', { size: 'full' }, newJournal(8));
      expect(await subject.running()).toBe(subject.full);
    });

    it('fences what is found stopped as well', async () => {
      const subject = await begin();
      expect(await runStep(subject.host, subject.openSite(), 'fence', {})).toMatchObject({ proof: 'stopped' });
    });

    it('[S5-24] passes its check only while it works', async () => {
      const subject = await begin('full');
      const site = subject.openSite();
      expect(await runStep(subject.host, site, 'check', {})).toMatchObject({ detail: expect.any(String) });
      await subject.kill();
      expect((await site.verbs.check?.inspect({}, stepContext(subject.host, newJournal())))?.state).toBe('pending');
    });

    if (harness.needsHands !== false) {
      it('without hands can be watched and checked, not scaled or fenced', async () => {
        const subject = await begin('full');
        const { verbs } = subject.openSite({ hands: false });
        expect(Object.keys(verbs).sort()).toEqual(['await-ready', 'check']);
      });
    }
  });
}
