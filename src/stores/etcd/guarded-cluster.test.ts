import { expect, test } from 'vitest';
import type { Host } from '../../host/host.ts';
import { GuardedCluster } from './guarded-cluster.ts';
import type { Members } from './members.ts';

const identity = { format: 1, platform: 'orders', stateId: 's', clusterId: '9', tokenBase: 0, generation: 1 };

/** A cluster whose answers are of these revisions, one after the other and the last one for ever; and how often another member was asked. */
function clusterOf(revisions: readonly number[], remembered?: number) {
  let asked = 0;
  let left = 0;
  const files = new Map<string, string>();
  if (remembered !== undefined) files.set('d/etcd.json', JSON.stringify({ ...identity, prefix: '/p/', highestRevision: remembered }));
  const members = {
    current: 'm',
    leave: () => {
      left += 1;
    },
    close: () => {},
    call: async (name: string) => {
      const header = { cluster_id: '9', revision: String(revisions[Math.min(asked, revisions.length - 1)]), raft_term: '1' };
      asked += 1;
      if (name !== 'KV/Txn') return { header, kvs: [] };
      const kvs = [{ value: Buffer.from(JSON.stringify(identity)), mod_revision: '1' }];
      return { header, succeeded: true, responses: [{ response_range: { kvs } }, { response_range: { kvs: [] } }] };
    },
  } as unknown as Members;
  const host = {
    clock: { sleep: async () => {}, after: () => () => {} },
    log: { error: () => {} },
    files: {
      exists: async (path: string) => files.has(path),
      readText: async (path: string) => files.get(path),
      makeDirectory: async () => {},
      writeAtomically: async (path: string, text: string) => void files.set(path, text),
    },
  } as unknown as Host;
  const open = () => GuardedCluster.open({ host, members, platform: 'orders', prefix: '/p/', directory: 'd' }, { create: false });
  return { open, left: () => left };
}

const read = { key: Buffer.from('/p/e/a') };

test('a member that answers from before what was seen is left, and the state is not condemned for it', async () => {
  const { open, left } = clusterOf([191, 189, 191]);
  const cluster = await open();
  await expect(cluster.ask('KV/Range', read)).resolves.toMatchObject({ header: { revision: '191' } });
  expect(left()).toBe(1);
  await expect(cluster.ask('KV/Range', read)).resolves.toBeDefined();
});

test('a state that goes on to answer from before what was seen went back, and nothing more is asked', async () => {
  const { open } = clusterOf([191, 189]);
  const cluster = await open();
  await expect(cluster.ask('KV/Range', read)).rejects.toMatchObject({ code: 'STATE_WENT_BACK', details: { revision: 189 } });
  await expect(cluster.ask('KV/Range', read)).rejects.toMatchObject({ code: 'STATE_WENT_BACK' });
});

test('a change is not asked twice: an older answer condemns at once', async () => {
  const { open, left } = clusterOf([191, 189, 191]);
  const cluster = await open();
  const change = { compare: [], success: [], failure: [] };
  await expect(cluster.ask('KV/Txn', change, { change: true })).rejects.toMatchObject({ code: 'STATE_WENT_BACK' });
  expect(left()).toBe(0);
});

test('who starts asks another member before it believes that the state went back', async () => {
  const late = clusterOf([180, 190], 190);
  await expect(late.open()).resolves.toBeDefined();
  expect(late.left()).toBe(1);
  await expect(clusterOf([180], 190).open()).rejects.toMatchObject({ code: 'STATE_WENT_BACK' });
});
