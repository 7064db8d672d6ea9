import { describe, expect, it } from 'vitest';
import { fakeCatalog } from '../../test/fakes/driver-catalog.ts';
import { fakeHost } from '../../test/fakes/host.ts';
import type { Observation } from '../contracts/observation.ts';
import { loadSpec } from '../spec/load-spec.ts';
import { chooseTarget, computeReadiness, computeRpoNowMs, computeTargetFaults, type ReadinessInput } from './readiness.ts';
import { type SiteKey, siteKey } from './site-key.ts';

const nowMs = 100_000;

async function specOf(replication: 'synchronous' | 'asynchronous') {
  const text = `
holdfast: v1
name: orders
objectives: { rto: 1m, rpo: 5s }
regions: { west: { role: standby }, east: { role: active }, tie: { role: witness } }
components:
  db:
    driver: memory-store
    replication: ${replication}
    sites: { east: { url: "store://east" }, west: { url: "store://west" } }
  api:
    driver: fake-workload
    needs: [db]
    replicas: { full: 4 }
    start: [api]
    sites: { east: {}, west: {} }
`;
  return loadSpec(['a.yaml'], { catalog: fakeCatalog, host: fakeHost({ files: { 'a.yaml': text } }) });
}

const site = (component: string, region: string, parts: Partial<Observation> = {}): [SiteKey, Observation] => [
  siteKey(component, region),
  { component, region, health: 'up', evidence: { kind: 'answered', detail: 'ok' }, atMs: nowMs, tookMs: 1, failures: 0, ...parts },
];
const primary: Partial<Observation> = { role: 'primary', identity: 'a', replication: { synchronous: true } };
const standby: Partial<Observation> = { role: 'standby', identity: 'a', replication: { upstream: { link: 'up' } } };
const gone: Partial<Observation> = { health: 'down', evidence: { kind: 'refused', detail: 'connection refused' }, failures: 4 };
const ack = (number: number, atMs: number) => ({ number, atMs, epoch: 1, region: 'east', acknowledgedAtMs: atMs + 10 });

async function input(replication: 'synchronous' | 'asynchronous', parts: Partial<ReadinessInput> = {}): Promise<ReadinessInput> {
  const observations = new Map([site('db', 'east', primary), site('db', 'west', standby), site('api', 'east'), site('api', 'west')]);
  return {
    spec: await specOf(replication),
    activeRegion: 'east',
    nowMs,
    observations,
    lastUp: observations,
    acknowledged: new Map([['db', ack(50, 99_000)]]),
    standbyCanaries: new Map([[siteKey('db', 'west'), { number: 50, atMs: 99_000, readAtMs: 99_010 }]]),
    provenRtoMs: new Map([['west', 4_000]]),
    ...parts,
  };
}
const changed = (base: ReadinessInput, ...sites: [SiteKey, Observation][]): ReadinessInput => ({
  ...base,
  observations: new Map([...base.observations, ...sites]),
});
const problems = (faults: readonly { severity: string; message: string }[]) =>
  faults.filter((fault) => fault.severity === 'problem').map((fault) => fault.message);

describe('readiness', () => {
  it('goes to a standby region, never to the one that is lost nor to a witness', async () => {
    const spec = await specOf('synchronous');
    expect(chooseTarget(spec, 'east')).toBe('west');
    expect(chooseTarget(spec, 'west')).toBe('east');
  });
  it.each<[string, Partial<Observation>, RegExp]>([
    ['takes no writes', { ...primary, writable: false }, /db in east, the active region, takes no writes now/],
    [
      'is gone',
      { ...gone, evidence: { kind: 'refused', detail: 'connection refused' } },
      /db in east, the active region, is down: connection refused/,
    ],
    ['is a standby', standby, /db in east, the active region, is a standby$/],
  ])('is red where the active site itself %s, however good the standby is', async (_what, parts, message) => {
    const readiness = computeReadiness('east', changed(await input('asynchronous'), site('db', 'east', parts)));
    expect(readiness.ready).toBe(false);
    expect(problems(readiness.faults)).toEqual([expect.stringMatching(message)]);
  });
  it('names the region where the primary is, where the roles were changed by hand', async () => {
    const swapped = changed(await input('asynchronous'), site('db', 'east', standby), site('db', 'west', primary));
    expect(problems(computeReadiness('east', swapped).faults)).toContain(
      'db in east, the active region, is a standby; the primary is in west',
    );
  });
  it('is green where everything was measured', async () => {
    expect(computeReadiness('east', await input('synchronous'))).toEqual({
      losing: 'east',
      target: 'west',
      ready: true,
      rpoNowMs: 0,
      rtoMs: 4_000,
      faults: [],
    });
  });
  it('what was not measured is unproven, and never zero', async () => {
    const base = await input('asynchronous', { standbyCanaries: new Map(), provenRtoMs: new Map() });
    const readiness = computeReadiness('east', base);
    expect(readiness).not.toHaveProperty('rpoNowMs');
    expect(readiness).not.toHaveProperty('rtoMs');
    expect(readiness.faults.map((fault) => [fault.severity, fault.message])).toEqual([
      ['warning', 'what would be lost of db is unproven: no canary has been seen on both sides'],
      ['warning', 'the recovery time to west is unproven: no failover there has been measured'],
    ]);
  });
  it('what was not looked at is a problem, not a guess', async () => {
    const base = await input('synchronous');
    const observations = new Map(base.observations);
    observations.delete(siteKey('db', 'west'));
    expect(problems(computeReadiness('east', { ...base, observations }).faults)).toEqual(['db in west has not been looked at yet']);
  });
  it('each thing in the way is named, with a hint', async () => {
    const base = await input('synchronous');
    const cases: [ReadinessInput, string][] = [
      [changed(base, site('db', 'west', gone)), 'db in west is down: connection refused'],
      [
        changed(base, site('db', 'west', { ...standby, replication: { upstream: { link: 'down' } } })),
        'db in west does not receive from its primary (link down)',
      ],
      [
        changed(base, site('db', 'west', { ...standby, replication: {} })),
        'nothing came to db in west from its primary lately: whether it still receives is unproven',
      ],
      [changed(base, site('db', 'west', primary)), 'db is a primary in both east and west'],
      [
        changed(base, site('db', 'east', { ...primary, replication: { synchronous: false } })),
        'db should be replicated synchronously and is not: acknowledged writes may be lost',
      ],
      [{ ...base, provenRtoMs: new Map([['west', 120_000]]) }, 'the last failover to west took 2 min; the objective is 1 min'],
    ];
    for (const [each, message] of cases) {
      const readiness = computeReadiness('east', each);
      expect(problems(readiness.faults)).toContain(message);
      expect(readiness.ready).toBe(false);
      for (const fault of readiness.faults) expect(fault.hint.length).toBeGreaterThan(10);
    }
  });
  it('a lag above the objective is a problem', async () => {
    const base = await input('asynchronous', {
      standbyCanaries: new Map([[siteKey('db', 'west'), { number: 40, atMs: 89_000, readAtMs: 99_010 }]]),
    });
    expect(problems(computeReadiness('east', base).faults)).toEqual(['db would lose 10 s now; the objective is 5.00 s']);
  });
  it('a workload that waits at nothing is a warning only', async () => {
    const readiness = computeReadiness('east', changed(await input('synchronous'), site('api', 'west', gone)));
    expect(readiness.ready).toBe(true);
    expect(readiness.faults).toMatchObject([{ severity: 'warning', message: 'api in west is down: connection refused' }]);
  });
  it('losing a region that carries nothing leaves the platform as it is', async () => {
    const readiness = computeReadiness('west', changed(await input('synchronous'), site('db', 'west', gone)));
    expect(readiness).toMatchObject({ losing: 'west', ready: true });
    expect(readiness.faults).toMatchObject([{ severity: 'warning' }]);
  });
  it('the loss of a synchronous store is nothing only where its standby was seen in sync, or has the newest canary', async () => {
    const db = (await input('synchronous')).spec.components.get('db');
    if (!db) throw new Error('no db');
    const lossOf = async (replication: Observation['replication'], standbyCanaries: ReadinessInput['standbyCanaries']) => {
      const lastUp = new Map([site('db', 'east', { ...primary, ...(replication ? { replication } : {}) })]);
      return computeRpoNowMs(db, 'west', { ...(await input('synchronous', { standbyCanaries })), lastUp });
    };
    const newest = new Map([[siteKey('db', 'west'), { number: 50, atMs: 99_000, readAtMs: 99_010 }]]);
    const inSync = { synchronous: true, standbys: [{ member: 'west', link: 'up', inSync: true }] } as const;
    expect(await lossOf(inSync, new Map())).toBe(0);
    // The moment between the end of the link and the end of the server: it waits, and acknowledges nothing alone.
    expect(await lossOf({ synchronous: true, standbys: [] }, newest)).toBe(0);
    expect(await lossOf({ synchronous: true, standbys: [] }, new Map())).toBeUndefined();
    expect(await lossOf({ synchronous: false }, new Map())).toBeUndefined();
  });
  it('the loss of an asynchronous store is never less than a canary can see', async () => {
    const at = await input('asynchronous');
    const db = at.spec.components.get('db');
    expect(db && computeRpoNowMs(db, 'west', at)).toBe(db?.canaryEveryMs);
  });
  it('a clock on the wall that was set back does not hide it: rows are counted too', async () => {
    const standbyCanaries = new Map([[siteKey('db', 'west'), { number: 40, atMs: 89_000, readAtMs: 99_005 }]]);
    const at = await input('asynchronous', { standbyCanaries });
    const db = at.spec.components.get('db');
    const newest = at.acknowledged.get('db');
    if (!db || !newest) throw new Error('the spec has a db, and a row of it is known');
    const acknowledged = new Map([['db', { ...newest, atMs: newest.atMs - 60_000, acknowledgedAtMs: newest.acknowledgedAtMs - 60_000 }]]);
    expect(computeRpoNowMs(db, 'west', { ...at, acknowledged })).toBe(10 * db.canaryEveryMs);
  });
});

describe('the target of a failover', () => {
  it('may have lost its link, for the active region is gone', async () => {
    const base = changed(
      await input('synchronous'),
      site('db', 'east', gone),
      site('db', 'west', { ...standby, replication: { upstream: { link: 'down' } } }),
    );
    expect(computeTargetFaults('west', base)).toEqual([]);
  });
  it('must be up, of the same history, and a standby', async () => {
    const base = await input('synchronous');
    const faultsWith = (parts: Partial<Observation>) =>
      computeTargetFaults('west', changed(base, site('db', 'west', { ...standby, ...parts }))).map((fault) => fault.message);
    expect(faultsWith(gone)).toEqual(['db in west is not up: connection refused']);
    expect(faultsWith({ identity: 'b' })).toEqual(['db in west holds another history (b) than east did (a)']);
    expect(faultsWith({ role: 'primary' })).toEqual(['db in west is a primary itself, not a standby of east']);
  });
});

describe('a look at the standby from before a gap in watching', () => {
  const before = (readAtMs: number) => ({ standbyCanaries: new Map([[siteKey('db', 'west'), { number: 40, atMs: 89_000, readAtMs }]]) });
  const lossOf = async (readAtMs: number) => {
    const at = await input('asynchronous', before(readAtMs));
    const db = at.spec.components.get('db');
    if (!db) throw new Error('the spec has a db');
    return computeRpoNowMs(db, 'west', at);
  };
  it('shows no lag: nobody knows yet', async () => expect(await lossOf(89_010)).toBeUndefined());
  it('but one that is fresh does', async () => expect(await lossOf(99_005)).toBe(10_010));
});
