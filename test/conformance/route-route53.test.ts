/** Route 53 as a route: the suite of every route, and what is special to it. All of it on a stand-in. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/route53/driver.ts';
import { type RunningBind, startBind } from '../systems/bind.ts';
import { type FaultyHttp, startFaultyHttp } from '../systems/faulty-http.ts';
import { startMoto } from '../systems/moto.ts';
import type { ObjectStoreServer } from '../systems/object-store.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type RunningRoute53, startRoute53 } from '../systems/route53.ts';
import { addresses, realHost, record } from './dns-route-subjects.ts';
import { openRouteSite } from './open-route-site.ts';
import { describeRoute } from './route.ts';
import { answerOf, changeByHand, motoRoute53, openRoute53Site, recordsOf, simpleRecord, sites } from './route53-subjects.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(5_000);
const messagesOf = (reading: { readonly faults?: readonly { readonly message: string }[] }) =>
  (reading.faults ?? []).map(({ message }) => message).join('\n');

describeSystem('moto', () => {
  let moto: ObjectStoreServer;
  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto?.stop());

  describeRoute(motoRoute53(() => moto));

  describe('a route by Route 53 (stand-in)', () => {
    const running: { stop(): Promise<void> }[] = [];
    const start = async (...first: Parameters<typeof changeByHand>[1]): Promise<RunningRoute53> => {
      const service = await startRoute53(moto);
      running.push(service);
      await changeByHand(service, first.length > 0 ? first : [['CREATE', simpleRecord('east')]]);
      return service;
    };
    afterEach(async () => {
      for (const each of running.splice(0)) await each.stop();
    });

    it('[S3-26] [S4-24] [S5-23] is done only when the change is in sync, and asks until it is', async () => {
      const service = await start();
      service.pendingAnswers = 3;
      const journal = newJournal();
      const site = openRoute53Site('east', service);
      await site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, journal));
      expect(await site.verbs.route?.inspect({ to: 'west' }, stepContext(realHost, journal))).toMatchObject({
        state: 'pending',
        why: expect.stringContaining('PENDING'),
      });
      expect(await runStep(realHost, site, 'route', { to: 'west' }, journal)).toMatchObject({
        weights: { east: 0, west: 100 },
        ttlSeconds: 30,
        changeId: expect.stringContaining('/change/'),
      });
    });

    it('[S3-02] makes one weighted record for each region, and keeps the epoch in the same batch', async () => {
      const service = await start();
      await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'west' }, newJournal(7));
      const all = await service.records();
      expect(all.filter(({ Type }) => Type === 'A').map(({ SetIdentifier, Weight, TTL }) => [SetIdentifier, Weight, TTL])).toEqual([
        ['east', 0, 30],
        ['west', 100, 30],
      ]);
      expect(all.find(({ Type }) => Type === 'TXT')).toMatchObject({
        Name: `_holdfast.${record}.`,
        ResourceRecords: [{ Value: '"epoch=7 to=west"' }],
      });
      expect(service.takeSeen().filter((operation) => operation === 'POST rrset')).toHaveLength(2); // the first one by hand
    });

    it.each([
      [{ east: 90, west: 10 }, 0.1],
      [{ east: 50, west: 50 }, 0.5],
      [{ east: 99.5, west: 0.5 }, 0.005],
    ])('[S3-20] [S3-22] [E3-08] shares traffic by weight: %j', async (weights, expected) => {
      const service = await start();
      await runStep(realHost, openRoute53Site('east', service), 'route', { weights });
      const sets = await recordsOf(service);
      const answers = Array.from({ length: 2_000 }, (_, index) => answerOf(sets, (index + 0.5) / 2_000));
      expect(answers.filter((region) => region === 'west').length / 2_000).toBeCloseTo(expected, 2);
      expect(answers).toContain('west');
      await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'west' }, newJournal(2));
      expect(answerOf(await recordsOf(service), 0)).toBe('west');
    });

    it('[S3-13] [E3-03] sees a TTL that is too high before a failover, and mends it without moving traffic', async () => {
      const service = await start(['CREATE', simpleRecord('east', 3_600)]);
      expect(messagesOf(await openRoute53Site('east', service).observe(probe()))).toContain(`TTL of ${record} is 3600 s instead of 30 s`);
      await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'east' });
      expect(messagesOf(await openRoute53Site('east', service).observe(probe()))).toBe('');
      expect(answerOf(await recordsOf(service), 0.999)).toBe('east');
    });

    it('says that weights which are all 0 mean equal shares', async () => {
      const weighted = (region: 'east' | 'west') => ({ ...simpleRecord(region), SetIdentifier: region, Weight: 0 });
      const service = await start(['CREATE', weighted('east')], ['CREATE', weighted('west')]);
      const reading = await openRoute53Site('east', service).observe(probe());
      expect(reading).toMatchObject({ health: 'up', role: 'unknown' });
      expect(messagesOf(reading)).toContain('equal shares');
    });

    it('[E1-07] names a health check that would decide by itself, and routes without it', async () => {
      const service = await start(['CREATE', { ...simpleRecord('east'), HealthCheckId: '11111111-2222-3333-4444-555555555555' }]);
      expect(messagesOf(await openRoute53Site('east', service).observe(probe()))).toContain(
        'health check 11111111-2222-3333-4444-555555555555',
      );
      await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'west' });
      expect((await recordsOf(service)).every(({ HealthCheckId }) => HealthCheckId === undefined)).toBe(true);
      expect(messagesOf(await openRoute53Site('east', service).observe(probe()))).toBe('');
    });

    it('says that a record is missing, and creates it', async () => {
      const service = await start(['CREATE', { ...simpleRecord('east'), Name: 'other.example.test' }]);
      const reading = await openRoute53Site('west', service).observe(probe());
      expect(reading.role).toBe('none');
      expect(messagesOf(reading)).toContain('has no record of type A');
      await runStep(realHost, openRoute53Site('west', service), 'route', { to: 'west' });
      expect(answerOf(await recordsOf(service), 0)).toBe('west');
    });

    it('does not throw away records that follow other rules', async () => {
      const service = await start(['CREATE', { ...simpleRecord('east'), SetIdentifier: 'first', Failover: 'PRIMARY' }]);
      const site = openRoute53Site('east', service);
      expect(messagesOf(await site.observe(probe()))).toContain('another routing policy');
      await expect(site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()))).rejects.toMatchObject({
        code: 'SYSTEM_REFUSED',
      });
      expect(await recordsOf(service)).toHaveLength(1);
    });

    it.each(['Throttling', 'PriorRequestNotComplete'] as const)('waits %s out, and gives up after a while', async (code) => {
      const service = await start();
      const hurried = { ...realHost, clock: { ...realHost.clock, sleep: async () => {} } };
      const site = openRoute53Site('east', service, { host: hurried });
      service.refuse(code, 2);
      await site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()));
      expect(answerOf(await recordsOf(service), 0)).toBe('west');
      service.refuse(code, 100);
      await expect(site.verbs.route?.inspect({ to: 'west' }, stepContext(realHost, newJournal()))).rejects.toMatchObject({
        code: 'SYSTEM_NOT_SERVING',
        kind: 'transient',
      });
      expect(await site.observe(probe())).toMatchObject({ health: 'unknown' });
    });

    it('asks no more often than the account can bear', async () => {
      const service = await start();
      const site = openRoute53Site('east', service);
      service.takeSeen();
      for (let time = 0; time < 20; time += 1) expect((await site.observe(probe())).health).toBe('up');
      expect(service.takeSeen()).toHaveLength(2);
    });

    it('finds what it did when its change is not known any more', async () => {
      const service = await start();
      const journal = newJournal();
      await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'west' }, journal);
      journal.note = undefined;
      const output = await runStep(realHost, openRoute53Site('east', service), 'route', { to: 'west' }, journal);
      expect(output.changeId).toEqual(expect.any(String));
      expect((await service.records()).filter(({ Type }) => Type === 'TXT')).toHaveLength(1);
    });

    describeSystem('bind', () => {
      it('[S1-18] asks the name servers that it was given, too', async () => {
        const service = await start();
        const bind: RunningBind = await startBind({ records: [`api 30 IN A ${addresses.east}`] });
        running.push(bind);
        const site = openRoute53Site('east', service, { more: { 'confirm-at': [`${bind.address}:${bind.port}`] } });
        const journal = newJournal();
        await site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, journal));
        expect(await site.verbs.route?.inspect({ to: 'west' }, stepContext(realHost, journal))).toMatchObject({
          state: 'pending',
          why: expect.stringContaining(`still answers ${addresses.east}`),
        });
        await bind.update(`update delete ${record} A`, `update add ${record} 30 A ${addresses.west}`);
        expect(await runStep(realHost, site, 'route', { to: 'west' }, journal)).toMatchObject({
          confirmedBy: [expect.stringContaining(service.zoneId), `${bind.address}:${bind.port}`],
        });
      });
    });
  });
});

describe('answers that are not those of Route 53 (stand-in)', () => {
  let server: FaultyHttp;
  beforeAll(async () => {
    server = await startFaultyHttp('server-error');
  });
  afterAll(() => server?.stop());
  const open = (url: string) =>
    openRouteSite(driver, {
      host: realHost,
      region: 'east',
      probeTimeoutMs: 300,
      options: {
        'zone-id': 'Z1',
        record,
        endpoint: url,
        'access-key-id': new Secret('AKIATEST', 'env:A'),
        'secret-access-key': new Secret('secret-of-the-test', 'env:B'),
      },
      sites,
    });

  it.each([
    ['too-many-requests', 'unknown', 'error', 'SYSTEM_NOT_SERVING'],
    ['server-error', 'unknown', 'error', 'SYSTEM_NOT_SERVING'],
    ['web-page', 'unknown', 'error', 'SYSTEM_WRONG_ANSWER'],
    ['forbidden', 'unknown', 'error', 'SYSTEM_WRONG_ANSWER'],
    ['empty-body', 'unknown', 'error', 'SYSTEM_WRONG_ANSWER'],
    ['half-json', 'unknown', 'error', 'SYSTEM_WRONG_ANSWER'],
    ['cut-off', 'down', 'connection-lost', 'SYSTEM_UNREACHABLE'],
    ['hang', 'unknown', 'timeout', 'TIMED_OUT'],
  ] as const)('%s is %s, and no secret is told', async (answer, health, kind, code) => {
    server.become(answer);
    const reading = await open(server.url).observe(AbortSignal.timeout(5_000));
    expect(reading).toMatchObject({ health, evidence: { kind } });
    expect(JSON.stringify(reading)).not.toContain('secret-of-the-test');
    await expect(open(server.url).verbs.route?.inspect({ to: 'west' }, stepContext(realHost, newJournal()))).rejects.toMatchObject({
      code,
    });
  });

  it('a certificate that is not trusted is no health', async () => {
    const tls = await startFaultyHttp('web-page', { tls: true });
    try {
      expect(await open(tls.url).observe(AbortSignal.timeout(5_000))).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    } finally {
      await tls.stop();
    }
  });
});

describe('Route 53: what a spec may not say', () => {
  const open = (more: object, given: Readonly<Record<string, unknown>> = sites) =>
    openRouteSite(driver, {
      host: realHost,
      region: 'east',
      probeTimeoutMs: 300,
      options: { 'zone-id': 'Z1', record, ...more },
      sites: given,
    });
  it.each([
    [{ ttl: '1500ms' }, sites, 'whole number of seconds'],
    [{ type: 'AAAA' }, sites, 'is not a value of a record of type AAAA'],
    [{ 'access-key-id': new Secret('A', 'env:A') }, sites, 'secret-access-key is missing'],
    [{}, { east: sites.east, west: sites.east }, 'is named twice'],
  ])('%j', (more, given, message) => {
    expect(() => open(more, given)).toThrow(message);
  });
});
