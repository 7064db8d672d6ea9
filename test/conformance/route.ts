/**
 * What every driver of a route must do, written once and run on its fake and on the real system. A fake may be trusted only because the same tests pass on the real one.
 *
 * A driver's test builds a `RouteHarness`; the harness knows the system, the tests know only the contracts and where a client that asks anew is sent.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Host } from '../../src/host/host.ts';
import { watchChanges } from './change-watch.ts';
import { newJournal, runStep, type StepJournal, stepContext } from './step-runner.ts';

export type RouteRegion = 'east' | 'west';

/** A route that leads to east at first, with nothing that Holdfast ever did to it. */
export interface RouteSubject {
  readonly host: Host;
  /** Opens the site as a controller does; a second one remembers nothing of the first. */
  openSite(region: RouteRegion, options?: { readonly host?: Host; readonly credentials?: 'wrong'; readonly probeTimeoutMs?: number }): Site;
  /** Where a client that asks anew is sent; undefined where it gets no answer. */
  clientRegion(): Promise<RouteRegion | undefined>;
  /** How often the route was changed, by the system's own count; undefined where it keeps none. */
  changes(): Promise<number | undefined>;
  /** Somebody else changes the route, with the system's own tools. */
  routeByHand(to: RouteRegion): Promise<void>;
  /** Bytes on their way to the system that ask for a change. */
  isChange(data: Uint8Array): boolean;
  /** The system dies: its host refuses connections. */
  kill(): Promise<void>;
  /** The system goes silent. */
  hang(): void;
  dispose(): Promise<void>;
}

export interface RouteHarness {
  readonly name: string;
  readonly traits: {
    /** Traffic can be shared by weight. */
    readonly weights: boolean;
    /** A change that crosses somebody else's is refused. */
    readonly compareAndSwap: boolean;
  };
  /** Requirement ids that these tests prove on this system, put in front of the test's name. */
  readonly proves?: Readonly<Partial<Record<'route', string>>>;
  start(): Promise<RouteSubject>;
}

export function describeRoute(harness: RouteHarness): void {
  describe(`a route: ${harness.name}`, () => {
    const begun: RouteSubject[] = [];
    const begin = async () => {
      const subject = await harness.start();
      begun.push(subject);
      return subject;
    };
    const route = (subject: RouteSubject, to: RouteRegion, journal?: StepJournal) =>
      runStep(subject.host, subject.openSite('east'), 'route', { to }, journal);
    afterEach(async () => {
      for (const subject of begun.splice(0)) await subject.dispose();
    });

    it(`${harness.proves?.route ?? ''} leads clients there and back`.trim(), async () => {
      const subject = await begin();
      expect(await subject.clientRegion()).toBe('east');
      const output = await route(subject, 'west', newJournal(1));
      expect(await subject.clientRegion()).toBe('west');
      expect(output.confirmedBy).not.toHaveLength(0);
      await route(subject, 'east', newJournal(2));
      expect(await subject.clientRegion()).toBe('east');
    });

    it('says which region traffic goes to', async () => {
      const subject = await begin();
      await route(subject, 'west');
      const roles = await Promise.all(
        (['east', 'west'] as const).map(async (region) => (await subject.openSite(region).observe(AbortSignal.timeout(5_000))).role),
      );
      expect(roles).toEqual(['standby', 'primary']);
    });

    it('changes the system once, however often it is asked', async () => {
      const subject = await begin();
      const before = await subject.changes();
      const watch = watchChanges(subject.host, subject.isChange);
      const site = subject.openSite('east', { host: watch.host });
      const journal = newJournal();
      await runStep(subject.host, site, 'route', { to: 'west' }, journal);
      const once = watch.sent();
      expect(once).toBeGreaterThan(0);
      await runStep(subject.host, site, 'route', { to: 'west' }, journal);
      await site.verbs.route?.apply({ to: 'west' }, stepContext(subject.host, journal));
      expect(watch.sent()).toBe(once);
      const after = await subject.changes();
      if (before !== undefined) expect(after).toBe(before + 1);
    });

    it('is found done by a controller that starts after the change', async () => {
      const subject = await begin();
      const journal = newJournal();
      await subject.openSite('east').verbs.route?.apply({ to: 'west' }, stepContext(subject.host, journal));
      const seen = await subject.openSite('east').verbs.route?.inspect({ to: 'west' }, stepContext(subject.host, journal));
      expect(seen?.state).toBe('done');
    });

    it('does not guess when the answer to a change is lost, and finds the effect', async () => {
      const subject = await begin();
      const watch = watchChanges(subject.host, subject.isChange, { loseAnswers: true });
      const journal = newJournal();
      const lost = subject.openSite('east', { host: watch.host }).verbs.route?.apply({ to: 'west' }, stepContext(subject.host, journal));
      await expect(lost).rejects.toMatchObject({ code: 'SYSTEM_OUTCOME_UNKNOWN', kind: 'unknown-outcome' });
      await route(subject, 'west', journal);
      expect(await subject.clientRegion()).toBe('west');
    });

    it('lets no older execution move it', async () => {
      const subject = await begin();
      await route(subject, 'west', newJournal(5));
      const verb = subject.openSite('east').verbs.route;
      expect(await subject.openSite('east').readEpoch?.(AbortSignal.timeout(5_000))).toBe(5);
      const older = () => stepContext(subject.host, newJournal(4));
      await expect(verb?.inspect({ to: 'east' }, older())).rejects.toMatchObject({ code: 'EPOCH_SUPERSEDED' });
      await expect(verb?.apply({ to: 'east' }, older())).rejects.toMatchObject({ code: 'EPOCH_SUPERSEDED', kind: 'refused' });
      expect(await subject.clientRegion()).toBe('west');
    });

    it('notices that somebody else has changed it since, and mends it', async () => {
      const subject = await begin();
      const journal = newJournal();
      await route(subject, 'west', journal);
      await subject.routeByHand('east');
      const verb = subject.openSite('east').verbs.route;
      expect((await verb?.inspect({ to: 'west' }, stepContext(subject.host, journal)))?.state).toBe('absent');
      await route(subject, 'west', journal);
      expect(await subject.clientRegion()).toBe('west');
    });

    it.runIf(harness.traits.compareAndSwap)('changes nothing when somebody else was faster by a moment', async () => {
      const subject = await begin();
      await route(subject, 'west', newJournal(1));
      const watch = watchChanges(subject.host, subject.isChange, { beforeChange: () => subject.routeByHand('east') });
      const crossed = subject
        .openSite('east', { host: watch.host })
        .verbs.route?.apply({ to: 'west' }, stepContext(subject.host, newJournal(2)));
      await expect(crossed).rejects.toMatchObject({ code: 'STATE_CONFLICT', kind: 'transient' });
      expect(await subject.clientRegion()).toBe('east');
    });

    it('says that the credentials are wrong', async () => {
      const subject = await begin();
      const apply = subject
        .openSite('east', { credentials: 'wrong' })
        .verbs.route?.apply({ to: 'west' }, stepContext(subject.host, newJournal()));
      await expect(apply).rejects.toMatchObject({ code: 'SYSTEM_WRONG_CREDENTIALS', kind: 'refused' });
      expect(await subject.clientRegion()).toBe('east');
    });

    it('is down at once when its host refuses, and changing it may be tried again', async () => {
      const subject = await begin();
      const site = subject.openSite('east');
      await subject.kill();
      expect(await site.observe(AbortSignal.timeout(5_000))).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
      const error = await site.verbs.route
        ?.inspect({ to: 'west' }, stepContext(subject.host, newJournal()))
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(HoldfastError);
      expect(error).toMatchObject({ kind: 'transient' });
    });

    it('is unknown when it is silent, within the time of a probe', async () => {
      const subject = await begin();
      subject.hang();
      const site = subject.openSite('east', { probeTimeoutMs: 300 });
      const begunMs = performance.now();
      expect(await site.observe(AbortSignal.timeout(5_000))).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
      // Far from the 5 s of the signal; not near the 300 ms, for the machine may be busy.
      expect(performance.now() - begunMs).toBeLessThan(4_000);
      const apply = site.verbs.route?.apply({ to: 'west' }, stepContext(subject.host, newJournal()));
      await expect(apply).rejects.toMatchObject({ kind: 'transient' });
    });

    it('ends soon after it is interrupted', async () => {
      const subject = await begin();
      subject.hang();
      const interruption = AbortSignal.timeout(100);
      const begunMs = performance.now();
      const site = subject.openSite('east', { probeTimeoutMs: 20_000 });
      expect((await site.observe(interruption)).health).toBe('unknown');
      const apply = site.verbs.route?.apply({ to: 'west' }, stepContext(subject.host, newJournal(), { signal: interruption }));
      await expect(apply).rejects.toBeInstanceOf(HoldfastError);
      expect(performance.now() - begunMs).toBeLessThan(10_000);
    });

    it.each([
      { to: 'nowhere' },
      { weights: { nowhere: 1 } },
      { weights: { east: 0, west: 0 } },
      { weights: { east: -1, west: 5 } },
      {},
    ] as JsonObject[])('refuses what can not be: %j', async (want) => {
      const subject = await begin();
      const verb = subject.openSite('east').verbs.route;
      await expect(verb?.inspect(want, stepContext(subject.host, newJournal()))).rejects.toMatchObject({ code: 'PLAN_IMPOSSIBLE' });
    });

    it.runIf(!harness.traits.weights)('refuses to share traffic, and does not pretend', async () => {
      const subject = await begin();
      const verb = subject.openSite('east').verbs.route;
      const want = { weights: { east: 90, west: 10 } };
      await expect(verb?.inspect(want, stepContext(subject.host, newJournal()))).rejects.toMatchObject({
        code: 'PLAN_IMPOSSIBLE',
        kind: 'refused',
      });
      await expect(verb?.apply(want, stepContext(subject.host, newJournal()))).rejects.toMatchObject({ code: 'PLAN_IMPOSSIBLE' });
    });

    it('takes all of the weight on one region as a route to it', async () => {
      const subject = await begin();
      await runStep(subject.host, subject.openSite('west'), 'route', { weights: { east: 0, west: 100 } });
      expect(await subject.clientRegion()).toBe('west');
    });
  });
}
