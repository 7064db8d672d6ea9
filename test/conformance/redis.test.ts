/** Redis on its fake and on real servers: what the common suite for data stores does not ask, because only Redis has it. */
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Evidence } from '../../src/contracts/observation.ts';
import type { FenceProof, SalvageReport, SiteVerb } from '../../src/contracts/verbs.ts';
import { driver } from '../../src/drivers/redis/driver.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type DataStoreHarness, describeDataStore } from './data-store.ts';
import { directive, maxLagSeconds, type RedisPair, type RedisPairOptions, startFakePair, startRealPair } from './redis-pair.ts';
import { async1, fenceWant, needsReplica, soon, until, withHands } from './redis-steps.ts';
import { newJournal, runStep, type StepJournal, stepContext } from './step-runner.ts';

type StartPair = (options: RedisPairOptions) => Promise<RedisPair>;

function suite(start: StartPair): void {
  const test = (name: string, options: RedisPairOptions, body: (pair: RedisPair) => Promise<void>) =>
    it(name, async () => {
      const pair = await start(options);
      try {
        await body(pair);
      } finally {
        await pair.dispose();
      }
    });
  const run = (pair: RedisPair, site: Site, verb: SiteVerb, want: JsonObject = {}, journal: StepJournal = newJournal()) =>
    runStep(pair.host, site, verb, want, journal);

  describe('observing', () => {
    test('[S3-35, E3-12] tells role, upstream and position from both ends, and that they are equal', async1, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await pair.write('east', 'one');
      await pair.settle();
      const primary = await until(
        () => east.observe(soon()),
        (seen) => seen.replication?.standbys?.[0]?.lagBytes === '0',
      );
      const standby = await west.observe(soon());
      expect(primary).toMatchObject({ health: 'up', role: 'primary', writable: true, evidence: { kind: 'answered' } });
      expect(primary.replication?.standbys).toMatchObject([{ member: 'west', link: 'up', inSync: true }]);
      expect(primary.replication?.synchronous).toBe(false);
      expect(standby).toMatchObject({
        health: 'up',
        role: 'standby',
        writable: false,
        replication: { upstream: { link: 'up', region: 'east' } },
      });
      expect(standby.position?.history).toBe(primary.position?.history);
    });

    test('[S3-34] a replica refuses a write; one that does not is reported, and follow corrects it', async1, async (pair) => {
      expect(await pair.write('west', 'stray')).toBe('refused');
      await pair.editConfig('west', 'replica-read-only', 'no');
      const west = pair.openSite('west');
      const reading = await west.observe(soon());
      expect(reading.writable).toBe(true);
      expect(reading.faults?.map((fault) => fault.message).join()).toContain('replica-read-only is no');
      await run(pair, west, 'follow', { upstream: 'east' });
      expect(await pair.write('west', 'stray')).toBe('refused');
      expect(await directive(pair, 'west', 'replica-read-only')).not.toBe('no');
    });

    test('a dead server is down at once and refused; a hung one is silent and unknown', async1, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      expect((await east.observe(soon())).health).toBe('up');
      expect((await west.observe(soon())).health).toBe('up');
      await pair.kill('east');
      const dead = await east.observe(soon());
      expect(dead.health).toBe('down');
      expect(['refused', 'connection-lost']).toContain(dead.evidence.kind);
      expect((await east.observe(soon())).evidence.kind).toBe('refused');
      pair.hang('west');
      const began = performance.now();
      expect(await west.observe(soon())).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
      expect(performance.now() - began).toBeLessThan(1_500);
      expect((await west.observe(soon())).evidence.kind).toBe('timeout');
      pair.unhang('west');
      expect((await west.observe(soon())).health).toBe('up');
    });

    test('a wrong password says nothing about health, and is not printed', async1, async (pair) => {
      const reading = await pair.openWithWrongPassword('east').observe(soon());
      expect(reading).toMatchObject({ health: 'unknown', evidence: { kind: 'not-allowed' } });
      expect(JSON.stringify(reading)).not.toContain('wrong"');
    });

    test('an address that accepts and never answers is silence', async1, async (pair) => {
      expect((await (await pair.openSilent()).observe(soon())).evidence.kind).toBe('timeout');
    });

    test('a broken connection is called out at once, and only once', async1, async (pair) => {
      const east = pair.openSite('east');
      const heard: Evidence[] = [];
      const unsubscribe = east.subscribe?.((evidence) => heard.push(evidence));
      await until(async () => (await pair.command('east', 'INFO')) !== '', Boolean);
      await new Promise((resolve) => setTimeout(resolve, 100));
      const began = performance.now();
      await pair.kill('east');
      await until(
        async () => heard.length,
        (count) => count > 0,
      );
      expect(performance.now() - began).toBeLessThan(500);
      expect(heard).toMatchObject([{ kind: 'connection-lost' }]);
      unsubscribe?.();
    });

    test('a frozen replica, which Redis calls online, is not called in sync', async1, async (pair) => {
      const east = pair.openSite('east');
      pair.hang('west');
      await pair.write('east', 'behind');
      const reading = await until(
        () => east.observe(soon()),
        (seen) => seen.replication?.standbys?.[0]?.link !== 'up',
      );
      expect(reading.replication?.standbys?.[0]).toMatchObject({ link: 'unknown', inSync: false });
    });
  });

  describe('canary', () => {
    test('what was acknowledged is read at the primary and at the standby, also when its link is cut', async1, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      expect(await east.canary?.read(soon())).toBeUndefined();
      await east.canary?.write({ number: 7, atMs: 1_000, epoch: 3 }, soon());
      await pair.settle();
      expect(await west.canary?.read(soon())).toEqual({ number: 7, atMs: 1_000, epoch: 3 });
      await pair.kill('east');
      expect(await west.canary?.read(soon())).toEqual({ number: 7, atMs: 1_000, epoch: 3 });
      await expect(west.canary?.write({ number: 8, atMs: 2_000, epoch: 3 }, soon())).rejects.toMatchObject({ code: 'SYSTEM_WRONG_ROLE' });
    });

    test('names the data set, equal at both ends', async1, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      expect((await east.observe(soon())).identity).toBeUndefined();
      await east.canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      await pair.settle();
      const { identity } = await east.observe(soon());
      expect(identity).toMatch(/^[0-9a-f]{32}$/);
      expect((await west.observe(soon())).identity).toBe(identity);
    });

    test('of a pair that is to count its replicas, is acknowledged only once a replica has it', {
      replication: 'synchronous',
      hands: false,
    }, async (pair) => {
      const east = pair.openSite('east');
      await east.canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      pair.hang('west');
      await expect(east.canary?.write({ number: 2, atMs: 2, epoch: 1 }, soon())).rejects.toMatchObject({
        code: expect.stringMatching(/SYSTEM_OUTCOME_UNKNOWN|SYSTEM_REFUSED/),
      });
    });
  });

  describe('fence', () => {
    test('of an answering primary keeps its data, refuses writes at once and after a restart', async1, async (pair) => {
      await pair.write('east', 'kept');
      const east = pair.openSite('east');
      const proof = (await run(pair, east, 'fence', await fenceWant(east))) as FenceProof;
      expect(proof).toMatchObject({ proof: 'revoked', position: { history: expect.any(String) } });
      expect(await pair.write('east', 'late')).toBe('refused');
      await pair.kill('east');
      await pair.boot('east');
      expect(await pair.write('east', 'late')).toBe('refused');
      expect(await pair.records('east')).toEqual(['kept']);
      expect((await east.observe(soon())).writable).toBe(false);
    });

    test('is found again by another controller, and done once', async1, async (pair) => {
      const journal = newJournal();
      const first = pair.openSite('east');
      const want = await fenceWant(first);
      const dying = stepContext(pair.host, journal, { dieAtNote: 1 });
      await expect(first.verbs.fence?.apply(want, dying)).rejects.toThrow('died');
      expect(await pair.write('east', 'late')).toBe('refused');
      const proof = await run(pair, pair.openSite('east'), 'fence', want, journal);
      expect(proof).toMatchObject({ proof: 'revoked' });
      const value = await directive(pair, 'east', 'min-replicas-to-write');
      await run(pair, pair.openSite('east'), 'fence', want);
      expect(await directive(pair, 'east', 'min-replicas-to-write')).toBe(value);
    });

    test(
      'of a dead primary that needs a replica: nothing listens, without waiting, and what is started by hand acknowledges nothing',
      needsReplica,
      async (pair) => {
        const east = pair.openSite('east');
        const want = await fenceWant(east);
        await pair.write('east', 'kept');
        await pair.settle();
        await pair.kill('east');
        const began = performance.now();
        const proof = await run(pair, east, 'fence', want);
        // Without waiting for the last word of the replica to grow old; the rest depends on how busy the machine is.
        expect(performance.now() - began).toBeLessThan(maxLagSeconds * 1_000);
        expect(proof).toMatchObject({ proof: 'nothing-listens' });
        expect(await pair.records('west')).toEqual(['kept']);
        await pair.boot('east');
        expect(await pair.write('east', 'late')).toBe('refused');
        // It answers again: from now on only the barrier is proof enough.
        expect(await run(pair, east, 'fence', want)).toMatchObject({ proof: 'revoked' });
      },
    );

    test('of a primary that runs on, cut off: can not acknowledge, from the moment of the proof on', needsReplica, async (pair) => {
      const want = await fenceWant(pair.openSite('east'));
      await pair.cutReplication();
      const began = performance.now();
      const proof = (await run(pair, pair.openCutOff('east'), 'fence', want)) as FenceProof;
      expect(proof).toMatchObject({ proof: 'cannot-acknowledge' });
      expect(performance.now() - began).toBeGreaterThan(maxLagSeconds * 1_000);
      expect(await pair.write('east', 'late')).toBe('refused');
    });

    test(
      'of a primary that was paused says how long it may acknowledge after it wakes, and it is no longer than that',
      needsReplica,
      async (pair) => {
        const east = pair.openSite('east');
        const want = await fenceWant(east);
        await pair.cutReplication();
        pair.hang('east');
        const proof = (await run(pair, east, 'fence', want)) as FenceProof;
        expect(proof).toMatchObject({ proof: 'cannot-acknowledge', evidence: expect.stringContaining('up to 1 s after it wakes') });
        await run(pair, pair.openSite('west'), 'promote', { epoch: 2, standbys: [] });
        pair.unhang('east');
        await until(
          () => pair.write('east', 'late'),
          (outcome) => outcome === 'refused',
          2_000,
        );
      },
    );

    test('of a dead primary that needs no replica is not proven without hands', async1, async (pair) => {
      const east = pair.openSite('east');
      const want = await fenceWant(east);
      await pair.kill('east');
      await expect(run(pair, east, 'fence', want)).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
    });

    test('of a dead primary that had a replica nobody can cut is not proven', needsReplica, async (pair) => {
      const east = pair.openSite('east');
      const want = await fenceWant(east);
      const lastKnown = { ...(want.lastKnown as JsonObject), standbys: ['west', '10.9.9.9:6379'] };
      await pair.kill('east');
      await expect(run(pair, east, 'fence', { ...want, lastKnown })).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
    });

    test('by hands bars the file of a dead primary, so that one started by hand refuses writes', withHands, async (pair) => {
      const east = pair.openSite('east');
      const want = await fenceWant(east);
      await pair.kill('east');
      expect(await run(pair, east, 'fence', want)).toMatchObject({ proof: 'stopped' });
      await pair.boot('east');
      expect(await pair.write('east', 'late')).toBe('refused');
    });

    test('by hands stops a hung primary', withHands, async (pair) => {
      const east = pair.openSite('east');
      const want = await fenceWant(east);
      pair.hang('east');
      expect(await run(pair, east, 'fence', want)).toMatchObject({ proof: 'stopped' });
      expect(pair.runs('east')).toBe(false);
    });

    test('with a wrong password and without hands is not proven', async1, async (pair) => {
      const want = await fenceWant(pair.openSite('east'));
      await expect(run(pair, pair.openWithWrongPassword('east'), 'fence', want)).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
    });

    test('in an orderly way is refused when the primary does not answer, and cuts nobody', needsReplica, async (pair) => {
      const east = pair.openSite('east');
      const want = await fenceWant(east, true);
      await pair.kill('east');
      await expect(run(pair, east, 'fence', want)).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
      expect(await pair.command('west', 'INFO', 'replication')).not.toContain('master_port:0');
    });
  });

  describe('promote', () => {
    test('[S3-17, S3-33] takes writes, waits for nobody, and is still the primary after a restart', needsReplica, async (pair) => {
      await pair.write('east', 'before');
      await pair.settle();
      const east = pair.openSite('east');
      const want = await fenceWant(east);
      await pair.kill('east');
      await run(pair, east, 'fence', want);
      const west = pair.openSite('west');
      expect(await run(pair, west, 'promote', { epoch: 2, standbys: [] })).toMatchObject({ timeline: 2 });
      expect(await pair.write('west', 'after')).toBe('acknowledged');
      await pair.kill('west');
      await pair.boot('west');
      expect(await pair.write('west', 'restarted')).toBe('acknowledged');
      expect(await pair.records('west')).toEqual(['after', 'before', 'restarted']);
      expect(await west.observe(soon())).toMatchObject({ role: 'primary', writable: true, facts: { epoch: 2 } });
    });

    test('is resumed when the controller died after it and before its note', async1, async (pair) => {
      const west = pair.openSite('west');
      const journal = newJournal();
      await expect(
        west.verbs.promote?.apply({ epoch: 2, standbys: [] }, stepContext(pair.host, journal, { dieAtNote: 1 })),
      ).rejects.toThrow('died');
      expect(await run(pair, pair.openSite('west'), 'promote', { epoch: 2, standbys: [] }, journal)).toMatchObject({ timeline: 2 });
    });

    test('refuses an epoch below the recorded one', async1, async (pair) => {
      await run(pair, pair.openSite('west'), 'promote', { epoch: 5, standbys: [] });
      await expect(run(pair, pair.openSite('west'), 'promote', { epoch: 4, standbys: [] })).rejects.toMatchObject({
        code: 'SYSTEM_REFUSED',
      });
    });
  });

  describe('changing hands without loss', () => {
    test('freeze holds until thaw, also over a restart, and gives back the former setting', needsReplica, async (pair) => {
      const east = pair.openSite('east');
      const { position } = await run(pair, east, 'freeze');
      expect(await pair.write('east', 'no')).toBe('refused');
      expect(await run(pair, pair.openSite('west'), 'await-position', { position } as JsonObject)).toMatchObject({
        position: { history: expect.any(String) },
      });
      await pair.kill('east');
      await pair.boot('east');
      expect(await pair.write('east', 'no')).toBe('refused');
      await run(pair, east, 'thaw');
      expect(await directive(pair, 'east', 'min-replicas-to-write')).toBe('1');
      await until(
        () => pair.write('east', 'again'),
        (outcome) => outcome === 'acknowledged',
      );
    });

    test('thaw takes back a fence, but not one over which another site was promoted', async1, async (pair) => {
      const east = pair.openSite('east');
      await run(pair, east, 'fence', await fenceWant(east, true));
      await run(pair, east, 'thaw');
      expect(await pair.write('east', 'again')).toBe('acknowledged');
      await run(pair, east, 'fence', await fenceWant(east, true));
      await run(pair, pair.openSite('west'), 'promote', { epoch: 2, standbys: [] });
      await expect(run(pair, east, 'thaw')).rejects.toMatchObject({ code: 'SYSTEM_WRONG_ROLE' });
      expect(await pair.write('east', 'late')).toBe('refused');
    });

    test('[S3-36] a switchover there and back loses no key', needsReplica, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await east.canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      for (const [from, to, source, target, epoch] of [
        ['east', 'west', east, west, 2],
        ['west', 'east', west, east, 3],
      ] as const) {
        expect(await pair.write(from, `of-${from}`)).toBe('acknowledged');
        const frozen = await run(pair, source, 'freeze');
        await run(pair, target, 'await-position', { position: frozen.position } as JsonObject);
        const fenced = await run(pair, source, 'fence', { survivors: [to], clean: true });
        await run(pair, target, 'await-position', { position: fenced.position } as JsonObject);
        await run(pair, target, 'promote', { epoch, standbys: [] });
        expect(await pair.write(to, `new-${to}`)).toBe('acknowledged');
        await run(pair, source, 'follow', { upstream: to });
        expect(await run(pair, target, 'protect', { standbys: [from], mode: 'asynchronous' })).toEqual({ inSync: [from] });
        expect(await directive(pair, to, 'min-replicas-to-write')).toBe('1');
      }
      await until(
        () => pair.records('west'),
        (records) => records.join() === 'new-east,new-west,of-east,of-west',
      );
      expect(await pair.records('east')).toEqual(['new-east', 'new-west', 'of-east', 'of-west']);
    });
  });

  describe('coming back', () => {
    test('[S3-36] what only the former primary has is kept aside, then it follows, also after a restart', {
      ...withHands,
      minReplicas: 0,
    }, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await east.canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      await pair.write('east', 'common');
      await pair.settle();
      const want = await fenceWant(east);
      const mend = await pair.cutReplication();
      await pair.write('east', 'lost-1');
      await pair.write('east', 'lost-2');
      await pair.kill('east');
      await run(pair, east, 'fence', want);
      await run(pair, west, 'promote', { epoch: 2, standbys: [] });
      await pair.write('west', 'new');
      await mend();
      const into = await pair.salvageDirectory('east');
      const report = (await run(pair, east, 'salvage', { survivor: 'west', into })) as SalvageReport;
      expect(report).toMatchObject({ diverged: true, writes: 2 });
      expect(await pair.salvaged(report.files)).toEqual(['lost-1', 'lost-2']);
      expect(await pair.write('east', 'while-salvaged')).toBe('refused');
      await run(pair, east, 'follow', { upstream: 'west' });
      expect(await pair.records('east')).toEqual(['common', 'new']);
      await pair.kill('east');
      await pair.boot('east');
      await until(
        () => east.observe(soon()),
        (seen) => seen.role === 'standby' && seen.replication?.upstream?.link === 'up',
      );
      expect(await pair.write('east', 'late')).toBe('refused');
    });

    test('a former primary without anything of its own is not called diverged', withHands, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await pair.write('east', 'common');
      await pair.settle();
      await run(pair, east, 'fence', { survivors: ['west'], clean: true });
      await run(pair, west, 'promote', { epoch: 2, standbys: [] });
      const report = await run(pair, east, 'salvage', { survivor: 'west', into: await pair.salvageDirectory('east') });
      expect(report).toMatchObject({ diverged: false, files: [] });
    });

    test('[S3-36, E3-12] an empty upstream is never followed by a site that holds data', async1, async (pair) => {
      await pair.write('east', 'precious');
      await pair.settle();
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await run(pair, west, 'promote', { epoch: 2, standbys: [] });
      await pair.command('east', 'FLUSHALL');
      await expect(run(pair, west, 'follow', { upstream: 'east' })).rejects.toMatchObject({ code: 'SYSTEM_REFUSED' });
      expect(await pair.records('west')).toEqual(['precious']);
      await run(pair, east, 'follow', { upstream: 'west' });
      expect(await pair.records('east')).toEqual(['precious']);
    });

    test('another data set at the address of the upstream is never followed', async1, async (pair) => {
      const [east, west] = [pair.openSite('east'), pair.openSite('west')];
      await east.canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      await pair.settle();
      await run(pair, west, 'promote', { epoch: 2, standbys: [] });
      await pair.command('east', 'FLUSHALL');
      await pair.write('east', 'strange');
      await expect(run(pair, west, 'follow', { upstream: 'east' })).rejects.toMatchObject({ code: 'SYSTEM_WRONG_IDENTITY' });
      await expect(run(pair, east, 'follow', { upstream: 'west' })).resolves.toMatchObject({ method: expect.any(String) });
    });

    test('[E3-12] a primary without persistence is reported', async1, async (pair) => {
      await pair.editConfig('east', 'appendonly', 'no');
      const { faults } = await pair.openSite('east').observe(soon());
      expect(
        faults
          ?.filter((fault) => fault.severity === 'problem')
          .map((fault) => fault.message)
          .join(),
      ).toContain('persistence is off');
    });

    test('protect waits until the standby is really there', needsReplica, async (pair) => {
      const east = pair.openSite('east');
      pair.hang('west');
      const context = stepContext(pair.host, newJournal());
      const want = { standbys: ['west'], mode: 'synchronous' };
      expect(await east.verbs.protect?.inspect(want, context)).toMatchObject({ state: 'pending' });
      pair.unhang('west');
      expect(await run(pair, east, 'protect', want)).toEqual({ inSync: ['west'] });
    });
  });
}

const harness = (name: string, start: StartPair): DataStoreHarness => ({
  name,
  traits: {
    // Redis acknowledges before a replica has the write, however it is set up.
    synchronous: false,
    keepsEpoch: true,
    salvageListsRecords: true,
    fenceLeavesRunning: true,
    resumeMethod: 'continued',
    verbs: driver.verbs.map(({ verb }) => verb),
  },
  proves: { promote: ['S3-17'], return: ['S3-36'], switchover: ['S3-36'] },
  start,
});

describe('Redis itself (fake)', () => suite(startFakePair));
describeSystem('redis', 'Redis itself (real)', () => suite(startRealPair));
describeDataStore(harness('Redis (fake)', startFakePair));
describeSystem('redis', () => describeDataStore(harness('Redis (real)', startRealPair)));
