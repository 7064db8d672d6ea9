/** OpenSearch on a stand-in for clusters with the replication plugin: follow, lag, promotion, fence, return, and what the plugin refuses. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { SiteVerb } from '../../src/contracts/verbs.ts';
import { driver } from '../../src/drivers/opensearch/driver.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { type BadAnswer, badAnswers, startFaultyHttp } from '../systems/faulty-http.ts';
import { newWorld } from '../systems/opensearch/model.ts';
import { newIndex, type OpensearchStandIn, startOpensearchStandIn } from '../systems/opensearch/opensearch.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, type StepJournal, stepContext } from './step-runner.ts';

const index = 'genai-documents';
const now = () => host.clock.nowMs();

describe('OpenSearch clusters (stand-in)', () => {
  let east: OpensearchStandIn;
  let west: OpensearchStandIn;
  beforeEach(async () => {
    const world = newWorld();
    [east, west] = await Promise.all([startOpensearchStandIn(world, 'east'), startOpensearchStandIn(world, 'west')]);
    east.dataNodes = 3;
    east.indices.set(index, newIndex());
    await write(east, 'one');
  });
  afterEach(async () => {
    await Promise.all([east.stop(), west.stop()]);
  });

  const ask = async (
    cluster: OpensearchStandIn,
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; body: JsonObject }> => {
    const response = await fetch(cluster.url + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, body: (await response.json()) as JsonObject };
  };
  const write = async (cluster: OpensearchStandIn, id: string): Promise<number> =>
    (await ask(cluster, 'PUT', `/${index}/_doc/${id}`, { id })).status;
  const open = (region: 'east' | 'west', options: object = {}, site: object = {}): Site =>
    openAt(
      driver,
      { indices: [index], ...options },
      {
        east: {
          url: east.url,
          'transport-addresses': [east.transport],
          'connection-name': 'us-east-1',
          ...(region === 'east' ? site : {}),
        },
        west: { url: west.url, 'transport-addresses': [west.transport], ...(region === 'west' ? site : {}) },
      },
      { region },
    );
  const step = (region: 'east' | 'west', verb: SiteVerb, want: JsonObject, journal?: StepJournal) =>
    runStep(host, open(region), verb, want, journal);
  /** As the engine does it, with replication going on meanwhile. */
  async function follow(region: 'east' | 'west', upstream: string): Promise<JsonObject> {
    const cluster = region === 'east' ? east : west;
    const timer = setInterval(() => cluster.replicate(), 5);
    try {
      return await step(region, 'follow', { upstream });
    } finally {
      clearInterval(timer);
    }
  }
  const heartbeat = (region: 'east' | 'west', number: number, atMs = now()) =>
    open(region).canary?.write({ number, atMs, epoch: 1 }, probe());
  const code = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => 'done',
      (error: { code?: string }) => error.code ?? String(error),
    );

  it('[S3-29, E3-10] starts the replication on the follower only, with the connection set and the body that the plugin takes', async () => {
    west.takeSeen();
    east.takeSeen();
    expect(await follow('west', 'east')).toEqual({ method: 'copied' });
    expect(west.takeSeen().filter((line) => line.startsWith('PUT'))).toEqual([
      'PUT /_cluster/settings',
      `PUT /_plugins/_replication/${index}/_start`,
      'PUT /_plugins/_replication/holdfast-canary/_start',
    ]);
    expect(east.takeSeen().filter((line) => line.includes('_replication'))).toEqual([]);
    expect(west.settings.get('cluster.remote.us-east-1.seeds')).toEqual(['east.internal:9300']);
    expect(await step('west', 'follow', { upstream: 'east' })).toEqual({ method: 'found in place' });
    expect(await step('east', 'protect', { standbys: ['west'], mode: 'asynchronous' })).toEqual({ inSync: [] });
    expect(await open('west').observe(probe())).toMatchObject({
      health: 'up',
      role: 'standby',
      writable: false,
      identity: 'uuid-of-west',
      replication: { upstream: { link: 'up', region: 'east' } },
    });
    expect(await open('east').observe(probe())).toMatchObject({ health: 'up', role: 'primary', writable: true, identity: 'uuid-of-east' });
  });

  it('[S3-28] tells the health of each cluster, why a single node is yellow, nodes that are missing, and red as down', async () => {
    await follow('west', 'east');
    expect(await open('east', {}, { nodes: 3 }).observe(probe())).toMatchObject({
      health: 'up',
      facts: { status: 'green', nodes: 3 },
      faults: [],
    });
    const yellow = await open('west', {}, { nodes: 1 }).observe(probe());
    expect(yellow).toMatchObject({ health: 'up', facts: { status: 'yellow', cause: expect.stringContaining('there is one data node') } });
    expect(yellow.faults).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('a replica never lies beside its primary') },
    ]);
    east.dataNodes = 2;
    expect((await open('east', {}, { nodes: 3 }).observe(probe())).faults).toMatchObject([
      { severity: 'problem', message: 'it has 2 of 3 nodes' },
    ]);
    (east.indices.get(index) as { health: string }).health = 'red';
    expect(await open('east').observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining(`red: ${index}`) },
    });
  });

  it('[S3-30] tells syncing from bootstrapping, paused and failed, and a leader that is out of reach', async () => {
    await follow('west', 'east');
    const seen = async () => {
      const { faults = [], replication } = await open('west').observe(probe());
      return { link: replication?.upstream?.link, problems: faults.filter(({ message }) => message.includes('replication is')) };
    };
    expect(await seen()).toEqual({ link: 'up', problems: [] });
    const follower = west.indices.get(index);
    for (const [state, severity] of [
      ['PAUSED', 'problem'],
      ['FAILED', 'problem'],
      ['BOOTSTRAPPING', 'warning'],
    ] as const) {
      if (follower?.leader) follower.leader = { ...follower.leader, state, reason: `why ${state}` };
      expect(await seen()).toMatchObject({ link: 'down', problems: [{ severity, message: expect.stringContaining(`why ${state}`) }] });
    }
    if (follower?.leader) follower.leader.state = 'SYNCING';
    east.reachable = false;
    const { metrics, ...reading } = await open('west').observe(probe());
    expect(reading).toMatchObject({ health: 'up', role: 'standby', replication: { upstream: { link: 'down' } } });
    expect(metrics).not.toHaveProperty('opensearch_replication_lag_operations');
  });

  it('[S3-31, E3-11] exports the lag by checkpoints, in bytes and in seconds by the heartbeat; what is not known is absent', async () => {
    await follow('west', 'east');
    const lag = async () => (await open('west').observe(probe())).metrics ?? {};
    expect(await lag()).toEqual({
      opensearch_replication_lag_operations: 0,
      opensearch_replication_lag_bytes: 0,
      opensearch_replication_lag_seconds: 0,
    });
    await heartbeat('east', 1, now() - 60_000);
    west.replicate();
    for (const id of ['two', 'three', 'four']) await write(east, id);
    const behind = await lag();
    expect(behind).toMatchObject({ opensearch_replication_lag_operations: 3, opensearch_replication_lag_bytes: 3 * 400 });
    expect(behind['opensearch_replication_lag_seconds']).toBeGreaterThanOrEqual(60);
    expect(behind['opensearch_replication_lag_seconds']).toBeLessThan(120);
    // With the leader lost nobody knows how many operations there are; the heartbeat that came through is as old as it is.
    east.reachable = false;
    expect(Object.keys(await lag())).toEqual(['opensearch_replication_lag_seconds']);
    for (const name of Object.keys(behind)) expect(Object.keys(driver.metrics ?? {})).toContain(name);
    expect((await open('east').observe(probe())).metrics).toBeUndefined();
  });

  it('[S3-17, E3-04] fences the old side, waits for the last operation, and promotes by stopping each follower; before that it is read-only', async () => {
    await follow('west', 'east');
    await write(east, 'two');
    expect(await write(west, 'x')).toBe(403);
    const proof = await step('east', 'fence', { survivors: ['west'], clean: true });
    expect(proof).toMatchObject({ proof: 'revoked', evidence: expect.stringContaining('index write (api)') });
    expect(await write(east, 'three')).toBe(403);
    const position = proof.position as JsonObject;
    const waiting = await open('west').verbs['await-position']?.inspect({ position }, stepContext(host, newJournal()));
    expect(waiting).toMatchObject({ state: 'pending', why: expect.stringContaining(`behind in ${index}`) });
    west.replicate();
    await step('west', 'await-position', { position });
    west.autofollow.push({ name: 'all', pattern: 'genai-*', alias: 'us-east-1' });
    west.takeSeen();
    // The rule is of one of the connections only.
    expect(await step('west', 'promote', { epoch: 2, standbys: [] })).toMatchObject({ timeline: 2 });
    expect(west.takeSeen().filter((line) => line.endsWith('_stop'))).toEqual([
      `POST /_plugins/_replication/${index}/_stop`,
      'POST /_plugins/_replication/holdfast-canary/_stop',
    ]);
    expect(west.autofollow).toEqual([]);
    expect(await write(west, 'four')).toBe(201);
    expect(await open('west').readEpoch?.(probe())).toBe(2);
    // Done again it changes nothing, and above all stops nothing that takes writes.
    west.takeSeen();
    await step('west', 'promote', { epoch: 2, standbys: [] });
    expect(west.takeSeen().filter((line) => /^(?:PUT|POST .*_stop)/.test(line))).toEqual([]);
    expect(await code(step('west', 'promote', { epoch: 1, standbys: [] }))).toBe('EPOCH_SUPERSEDED');
    expect(await code(step('east', 'thaw', {}))).toBe('SYSTEM_WRONG_ROLE');
  });

  it('[S3-17] promotes while the leader is lost, and never stops a copy that is not whole', async () => {
    await follow('west', 'east');
    east.reachable = false;
    await step('west', 'promote', { epoch: 2, standbys: [] });
    expect(await write(west, 'two')).toBe(201);
    const second = newIndex();
    second.leader = { alias: 'us-east-1', index, state: 'BOOTSTRAPPING', reason: '' };
    second.settings['index.plugins.replication.follower.leader_index'] = index;
    west.indices.set(index, second);
    expect(await code(step('west', 'promote', { epoch: 3, standbys: [] }))).toBe('SYSTEM_WRONG_ROLE');
    expect(west.indices.has(index)).toBe(true);
  });

  it('[E3-10] comes back as a new follower: the stale index is kept aside, deleted and copied from the new leader', async () => {
    await follow('west', 'east');
    await write(east, 'never-replicated');
    east.reachable = false;
    await step('west', 'promote', { epoch: 2, standbys: [] });
    await write(west, 'two');
    east.reachable = true;
    expect(await follow('east', 'west')).toEqual({ method: 'copied' });
    expect([...(east.indices.get(index)?.documents.keys() ?? [])].sort()).toEqual(['one', 'two']);
    expect([...(east.indices.get(`${index}-before-failover-test`)?.documents.keys() ?? [])]).toContain('never-replicated');
    expect(await open('east').observe(probe())).toMatchObject({
      role: 'standby',
      replication: { upstream: { link: 'up', region: 'west' } },
    });
  });

  it('follows no cluster that follows itself, holds other data, or was promoted earlier', async () => {
    await follow('west', 'east');
    expect(await code(step('east', 'follow', { upstream: 'west' }))).toBe('SYSTEM_WRONG_ROLE');
    await step('west', 'promote', { epoch: 2, standbys: [] });
    expect(await code(step('west', 'follow', { upstream: 'east' }))).toBe('SYSTEM_WRONG_ROLE');
    expect(west.indices.get(index)?.documents.size).toBe(1);
    west.indices.get('holdfast-canary')?.documents.set('dataset', { name: 'another' });
    expect(await code(step('east', 'follow', { upstream: 'west' }))).toBe('SYSTEM_WRONG_IDENTITY');
    expect(east.indices.get(index)?.documents.size).toBe(1);
  });

  it('[E3-04] proves no fence of what it does not reach; a whole cluster is blocked where that is wanted', async () => {
    await follow('west', 'east');
    expect(await runStep(host, open('east', { 'block-cluster': true }), 'fence', { survivors: ['west'], clean: false })).toMatchObject({
      proof: 'revoked',
    });
    expect((await ask(east, 'PUT', '/other/_doc/1', {})).status).toBe(403);
    expect(await runStep(host, open('east', { 'block-cluster': true }), 'thaw', {})).toEqual({});
    expect(await write(east, 'again')).toBe(201);
    expect(await step('west', 'fence', { survivors: ['east'], clean: false })).toMatchObject({ proof: 'demoted' });
    expect(await code(step('east', 'fence', { survivors: ['west'], clean: false, byHands: true }))).toBe('FENCE_NOT_PROVEN');
    const site = open('east');
    await east.stop();
    expect(await code(runStep(host, site, 'fence', { survivors: ['west'], clean: false }))).toBe('FENCE_NOT_PROVEN');
  });

  it('changes nothing in a cluster that is not the one named', async () => {
    await follow('west', 'east');
    const site = open('west', {}, { 'cluster-uuid': 'uuid-of-another' });
    expect(await site.observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining('not uuid-of-another') },
    });
    west.takeSeen();
    expect(await code(runStep(host, site, 'promote', { epoch: 2, standbys: [] }))).toBe('SYSTEM_WRONG_IDENTITY');
    expect(await code(site.canary?.write({ number: 1, atMs: 1, epoch: 1 }, probe()) ?? Promise.resolve())).toBe('SYSTEM_WRONG_IDENTITY');
    expect(west.takeSeen().filter((line) => /^(?:PUT|DELETE|POST .*_stop)/.test(line))).toEqual([]);
  });

  const body = { leader_alias: 'us-east-1-genai-alias', leader_index: index };
  const seeds = { persistent: { 'cluster.remote.us-east-1-genai-alias.seeds': ['east.internal:9300'] } };

  it('[E3-10, X-10] the stand-in refuses the commands as the document has them', async () => {
    await ask(west, 'PUT', '/_cluster/settings', seeds);
    for (const cluster of [east, west])
      expect(await ask(cluster, 'PUT', `/_plugins/_replication/${index}/start`, { ...body, follower_index: index })).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining('no handler found for uri') },
      });
    expect((await ask(west, 'GET', `/_plugins/_replication/${index}/status`)).status).toBe(400);
    expect(west.indices.size).toBe(0);
  });

  it.each([
    ['follower_index in the body', 'west', 'PUT', '_start', { ...body, follower_index: index }, 400, 'unknown field [follower_index]'],
    ['no connection', 'west', 'PUT', '_start', { leader_index: index }, 400, 'leader_alias is not set'],
    ['a connection that is not set', 'west', 'PUT', '_start', { ...body, leader_alias: 'none' }, 404, 'no such remote cluster: [none]'],
    ['roles without the security plugin', 'west', 'PUT', '_start', { ...body, use_roles: {} }, 400, 'without the security plugin'],
    ['the leader as follower', 'east', 'PUT', '_start', { ...body, leader_alias: 'self' }, 400, 'Delete the index'],
    ['an index that the leader lacks', 'west', 'PUT', '_start', { ...body, leader_index: 'none' }, 404, 'no such index'],
    ['another method', 'west', 'POST', '_start', body, 400, 'no handler found'],
    ['a stop without a body', 'west', 'POST', '_stop', undefined, 400, 'body is required'],
    ['a stop of what does not replicate', 'east', 'POST', '_stop', {}, 400, 'No replication in progress'],
  ] as const)('[X-10] the stand-in refuses %s', async (_what, at, method, action, sent, status, words) => {
    const cluster = at === 'east' ? east : west;
    await ask(west, 'PUT', '/_cluster/settings', seeds);
    await ask(east, 'PUT', '/_cluster/settings', { persistent: { 'cluster.remote.self.seeds': ['east.internal:9300'] } });
    const answer = await ask(cluster, method, `/_plugins/_replication/${index}/${action}`, sent);
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).toContain(words);
  });

  it('[X-10] the stand-in refuses a second start, and a follower of a follower', async () => {
    await ask(west, 'PUT', '/_cluster/settings', seeds);
    expect((await ask(west, 'PUT', `/_plugins/_replication/${index}/_start`, body)).status).toBe(200);
    expect((await ask(west, 'PUT', `/_plugins/_replication/${index}/_start`, body)).status).toBe(400);
    await ask(east, 'PUT', '/_cluster/settings', { persistent: { 'cluster.remote.west.seeds': ['west.internal:9300'] } });
    const chained = await ask(east, 'PUT', '/_plugins/_replication/chained/_start', { leader_alias: 'west', leader_index: index });
    expect(JSON.stringify(chained.body)).toContain('Cannot Replicate a Replicated Index');
  });
});

const expected: Readonly<Record<BadAnswer, readonly [health: string, kind: string]>> = {
  'too-many-requests': ['down', 'wrong-answer'],
  'server-error': ['down', 'wrong-answer'],
  unavailable: ['down', 'wrong-answer'],
  unauthorized: ['unknown', 'not-allowed'],
  forbidden: ['unknown', 'not-allowed'],
  'web-page': ['down', 'wrong-answer'],
  'empty-body': ['down', 'wrong-answer'],
  'empty-object': ['down', 'wrong-answer'],
  'half-json': ['down', 'wrong-answer'],
  'cut-off': ['down', 'connection-lost'],
  reset: ['down', 'connection-lost'],
  hang: ['unknown', 'timeout'],
};

describe('a bad answer instead of OpenSearch (simulated)', () => {
  const at = (url: string, site: object = {}) =>
    openAt(driver, { indices: [index] }, { east: { url, 'transport-addresses': ['a:9300'], ...site } }, { probeTimeoutMs: 300 });

  it.each(badAnswers)('%s is never health', async (answer) => {
    const server = await startFaultyHttp(answer);
    try {
      const { health, evidence } = await at(server.url).observe(probe());
      expect([health, evidence.kind]).toEqual(expected[answer]);
    } finally {
      await server.stop();
    }
  });

  it('neither is a certificate that nobody trusts, nor another search engine', async () => {
    const secure = await startFaultyHttp('web-page', { tls: true });
    const other = await startFaultyHttp(({ path }) => ({
      body: path === '/' ? '{"cluster_uuid":"x","version":{"number":"8.11.0"}}' : '{"docs":[]}',
    }));
    try {
      const site = at(secure.url, { user: 'admin', password: new Secret('not-for-logs', 'test') });
      const untrusted = await site.observe(probe());
      expect(untrusted).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
      expect(JSON.stringify(untrusted)).not.toContain('not-for-logs');
      expect(await at(other.url).observe(probe())).toMatchObject({
        health: 'down',
        evidence: { detail: expect.stringContaining('something else than OpenSearch') },
      });
    } finally {
      await Promise.all([secure.stop(), other.stop()]);
    }
  });
});

describe('the options of OpenSearch', () => {
  const site = (more: object = {}) => ({ url: 'http://127.0.0.1:9200', 'transport-addresses': ['a:9300'], ...more });
  it.each([
    ['a pattern instead of an index', { indices: ['genai-*'] }, { east: site() }, 'full name of an index'],
    [
      'a password in the clear',
      { indices: ['a'] },
      { east: site({ url: 'http://10.0.0.1:9200', user: 'u', password: new Secret('x', 't') }) },
      'in the clear',
    ],
    ['a user without a password', { indices: ['a'] }, { east: site({ user: 'u' }) }, 'go together'],
    ['one cluster twice', { indices: ['a'] }, { east: site(), west: site() }, 'the same cluster'],
    ['run without a repository', { indices: ['a'], run: { snapshot: true } }, { east: site() }, 'needs a repository'],
    [
      'no way to the leader',
      { indices: ['a'] },
      { east: site(), west: { url: 'http://127.0.0.2:9200' } },
      'where the other clusters reach',
    ],
    ['the canary among the indices', { indices: ['holdfast-canary'] }, { east: site() }, 'is one of the indices'],
  ] as const)('refuse %s', (_what, options, sites, words) => {
    expect(() => openAt(driver, options, sites)).toThrow(words);
  });

  it('of the README load', async () => {
    const readme = readFileSync(join(import.meta.dirname, '../../src/drivers/opensearch/README.md'), 'utf8');
    const fragments = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text as string);
    expect(fragments).not.toEqual([]);
    for (const text of fragments) {
      const spec = `holdfast: v1\nname: shop\nregions:\n  us-east-1: { role: active }\n  eu-central-1: { role: standby }\ncomponents:\n${text.replace(/^(?=.)/gm, '  ')}`;
      const loaded = await loadSpec(['shop.yaml'], {
        catalog: driverCatalog,
        repositories: fakeRepositories,
        host: fakeHost({ files: { 'shop.yaml': spec } }),
        resolveSecrets: false,
      });
      expect([...loaded.components.values()].map(({ driver: name }) => name)).toContain('opensearch');
    }
  });
});
