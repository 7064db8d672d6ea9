/** OpenSearch on a real node: health, identity, blocks, clones, positions, snapshots and their restore. Started once, for it takes seconds. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/opensearch/driver.ts';
import { newWorld } from '../systems/opensearch/model.ts';
import { type OpensearchNode, startOpensearchNode } from '../systems/opensearch/node.ts';
import { startOpensearchStandIn } from '../systems/opensearch/opensearch.ts';
import { describeSystem } from '../systems/requirement.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep } from './step-runner.ts';

const index = 'genai-documents';

async function ask(url: string, method: string, path: string, body?: object): Promise<{ status: number; body: JsonObject }> {
  const response = await fetch(url + path, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return { status: response.status, body: (await response.json()) as JsonObject };
}

describeSystem('opensearch', 'OpenSearch, one node (real)', () => {
  let node: OpensearchNode;
  beforeAll(async () => {
    node = await startOpensearchNode();
  }, 180_000);
  afterAll(() => node?.stop());
  beforeEach(async () => {
    await ask(node.url, 'PUT', '/_cluster/settings', { persistent: { 'cluster.blocks.read_only': null } });
    await ask(node.url, 'DELETE', '/*');
    await ask(node.url, 'PUT', `/${index}`, { settings: { number_of_replicas: 1, number_of_shards: 2 } });
    for (const id of [1, 2, 3]) await ask(node.url, 'PUT', `/${index}/_doc/${id}?refresh=true`, { id, text: `document ${id}` });
  });

  const open = (options: object = {}, site: object = {}): Site =>
    openAt(driver, { indices: [index], ...options }, { east: { url: node.url, ...site } }, { probeTimeoutMs: 10_000 });
  const repository = () => ({ name: 'backups', type: 'fs', settings: { location: join(node.repository, 'search') } });
  const failure = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => 'done',
      (error: { code?: string }) => error.code ?? String(error),
    );

  it('[S3-28] tells health, identity and position, and why a single node is yellow', async () => {
    const reading = await open().observe(probe());
    const root = await ask(node.url, 'GET', '/');
    expect(reading).toMatchObject({
      health: 'up',
      role: 'primary',
      writable: true,
      identity: root.body.cluster_uuid,
      position: { text: `${index}:3` },
      facts: {
        status: 'yellow',
        version: '2.11.0',
        cause: expect.stringContaining('2 replica shard(s) are unassigned because there is one data node'),
      },
    });
    await ask(node.url, 'PUT', '/_all/_settings', { 'index.number_of_replicas': 0 });
    expect(await open().observe(probe())).toMatchObject({ facts: { status: 'green' } });
    // A shard that may lie nowhere: red, which is down.
    await ask(node.url, 'PUT', '/unplaced?wait_for_active_shards=0', {
      settings: { number_of_replicas: 0, 'index.routing.allocation.include._name': 'nobody' },
    });
    expect(await open({ indices: [index, 'unplaced'] }).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringMatching(/red.*unplaced/) },
    });
  });

  it('[S3-17] a fence is a block that a write was refused by, and thaw lifts it; the cluster as a whole too', async () => {
    await open().canary?.write({ number: 7, atMs: 1_000, epoch: 1 }, probe());
    expect(await open().canary?.read(probe())).toEqual({ number: 7, atMs: 1_000, epoch: 1 });
    const proof = await runStep(host, open(), 'fence', { survivors: [], clean: true });
    expect(proof).toMatchObject({
      proof: 'revoked',
      evidence: expect.stringContaining('index write (api)'),
      position: { text: expect.stringContaining(`${index}:3`) },
    });
    expect((await ask(node.url, 'PUT', `/${index}/_doc/4`, {})).status).toBe(403);
    expect(await open().observe(probe())).toMatchObject({ health: 'up', writable: false });
    await runStep(host, open(), 'thaw', {});
    expect((await ask(node.url, 'PUT', `/${index}/_doc/4`, {})).status).toBe(201);
    const whole = { 'block-cluster': true };
    await runStep(host, open(whole), 'fence', { survivors: [], clean: true });
    expect((await ask(node.url, 'PUT', '/another/_doc/1', {})).status).toBe(403);
    await runStep(host, open(whole), 'thaw', {});
    expect((await ask(node.url, 'PUT', '/another/_doc/1', {})).status).toBe(201);
  });

  it('takes down the epoch, and refuses an older one', async () => {
    expect(await open().readEpoch?.(probe())).toBeUndefined();
    expect(await runStep(host, open(), 'promote', { epoch: 3, standbys: [] })).toMatchObject({ timeline: 3 });
    expect(await open().readEpoch?.(probe())).toBe(3);
    expect(await failure(runStep(host, open(), 'promote', { epoch: 2, standbys: [] }))).toBe('EPOCH_SUPERSEDED');
  });

  it('[S3-46, S3-49] takes a snapshot, restores it beside, counts and asks; what is not whole fails', async () => {
    const take = newJournal();
    const taken = await runStep(host, open({ repository: repository(), run: { snapshot: true } }), 'run', {}, take);
    expect(taken).toMatchObject({ detail: 'SUCCESS, 2 of 2 shards', counts: { [index]: 3 } });
    const begunMs = host.clock.monotonicMs();
    await ask(node.url, 'DELETE', `/${index}`);
    const restoring = (queries: object, prefix: string, snapshot?: string) =>
      runStep(
        host,
        open({ repository: repository(), run: { restore: { prefix, queries, ...(snapshot === undefined ? {} : { snapshot }) } } }),
        'run',
        {},
        newJournal(),
      );
    const query = { [index]: { query: { match: { text: 'document' } }, 'at-least': 3 } };
    expect(await restoring(query, 'restored-')).toMatchObject({ snapshot: taken.snapshot, counts: { [index]: 3 } });
    // Promised are 30 minutes.
    expect(host.clock.monotonicMs() - begunMs).toBeLessThan(30 * 60_000);
    expect(await failure(restoring(query, 'restored-'))).toBe('RESTORE_TARGET_NOT_EMPTY');
    expect(await failure(restoring({ [index]: { query: { match: { text: 'absent' } }, 'at-least': 1 } }, 'other-'))).toBe('BACKUP_DAMAGED');
    expect(await failure(restoring({}, 'third-', 'no-such-snapshot'))).toBe('BACKUP_INCOMPLETE');
    await rm(join(node.repository, 'search', 'indices'), { recursive: true });
    expect(await failure(restoring(query, 'fourth-'))).not.toBe('done');
  });

  it('[S3-49] a snapshot with a shard that is nowhere is no snapshot', async () => {
    await ask(node.url, 'PUT', '/unplaced?wait_for_active_shards=0', {
      settings: { number_of_replicas: 0, 'index.routing.allocation.include._name': 'nobody' },
    });
    const site = open({ indices: [index, 'unplaced'], repository: repository(), run: { snapshot: true } });
    expect(await failure(runStep(host, site, 'run', {}, { ...newJournal(), executionId: 'unplaced' }))).toBe('SYSTEM_NOT_SERVING');
    // One that somebody took in spite of that, under the name of the step.
    await ask(node.url, 'PUT', '/_snapshot/backups', { type: 'fs', settings: repository().settings });
    await ask(node.url, 'PUT', '/_snapshot/backups/holdfast-partial-step?wait_for_completion=true', { partial: true });
    await expect(runStep(host, site, 'run', {}, { ...newJournal(), executionId: 'partial' })).rejects.toMatchObject({
      code: 'BACKUP_INCOMPLETE',
      message: expect.stringContaining('PARTIAL'),
    });
    const restore = { prefix: 'partial-', snapshot: 'holdfast-partial-step' };
    expect(await failure(runStep(host, open({ repository: repository(), run: { restore } }), 'run', {}))).toBe('BACKUP_INCOMPLETE');
  });

  it('answers as the stand-in does, where that plays a plain index', async () => {
    const standIn = await startOpensearchStandIn(newWorld(), 'east');
    try {
      const calls: readonly (readonly [method: string, path: string, body?: object])[] = [
        ['PUT', '/plain/_doc/1', { a: 1 }],
        ['PUT', '/plain/_create/1', { a: 1 }],
        ['PUT', '/plain/_clone/copy', {}],
        ['PUT', '/plain/_settings', { 'index.blocks.write': true }],
        ['PUT', '/plain/_doc/2', { a: 1 }],
        ['PUT', '/plain/_clone/copy', {}],
        ['PUT', '/plain/_clone/copy', {}],
        ['GET', '/copy/_count'],
        ['GET', '/none/_count'],
        ['GET', '/none/_settings'],
        ['GET', '/none,other/_settings?ignore_unavailable=true'],
        ['PUT', '/none/_settings', { 'index.blocks.write': true }],
        ['PUT', '/plain/_settings', { 'index.no_such': true }],
        ['PUT', '/_cluster/settings', { persistent: { 'cluster.no_such': true } }],
        ['PUT', '/_cluster/settings', { persistent: { 'cluster.blocks.read_only': true } }],
        ['PUT', '/fresh/_doc/1', {}],
        ['PUT', '/plain/_settings', { 'index.blocks.write': null }],
        ['PUT', '/_cluster/settings', { persistent: { 'cluster.blocks.read_only': null } }],
        ['POST', '/none/_mget', { ids: ['1'] }],
        ['DELETE', '/none'],
        ['PUT', '/_plugins/_replication/plain/start', {}],
      ];
      for (const [method, path, body] of calls) {
        const [real, played] = [await ask(node.url, method, path, body), await ask(standIn.url, method, path, body)];
        const type = ({ body: answer }: { body: JsonObject }) => (answer.error as JsonObject | undefined)?.type;
        expect([played.status, type(played)], `${method} ${path}`).toEqual([real.status, type(real)]);
      }
    } finally {
      await standIn.stop();
    }
  });
});
