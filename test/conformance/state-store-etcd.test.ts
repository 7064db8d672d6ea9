/** The suite of every state store, on a real etcd. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { openEtcdStore } from '../../src/stores/etcd/etcd-store.ts';
import { type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { describeSystem } from '../systems/requirement.ts';
import { stateStoreConformance } from './state-store.ts';

const host = nodeHost({ logTo: 'silent' });

/** etcd counts leases in whole seconds, and looks for those that are over twice a second. */
const slower = 10;
const notExactMs = 1_100;

/** The suite's times are those of a store that counts milliseconds: the same tests, with longer ones. */
function slowed(store: StateStore): StateStore {
  const acquireLease: StateStore['acquireLease'] = (name, holder, ttlMs) => store.acquireLease(name, holder, ttlMs * slower);
  return new Proxy(store, {
    get: (target, property) => {
      const found: unknown = property === 'acquireLease' ? acquireLease : Reflect.get(target, property);
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
}

describeSystem('etcd', () => {
  let server: RunningEtcd;
  let opened = 0;
  beforeAll(async () => {
    server = await startEtcd();
  });
  afterAll(() => server.stop());

  stateStoreConformance('etcd', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hf-etcd-store-'));
    opened += 1;
    const prefix = `/holdfast/test-${opened}/`;
    const open = async () =>
      slowed(await openEtcdStore({ host, endpoints: [server.url], platform: 'test', prefix, directory, timeoutMs: 3_000 }));
    return {
      store: await open(),
      second: open,
      advance: (durationMs) => host.clock.sleep(durationMs * slower + notExactMs),
      dispose: async () => rmSync(directory, { recursive: true, force: true }),
    };
  });
});
