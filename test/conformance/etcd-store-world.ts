/** Stores on real members of etcd, for tests of what only etcd has; everything opened here is closed by `closeAll`. */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { Change, StoreEvent } from '../../src/contracts/state-store.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { type EtcdStore, type EtcdStoreOptions, openEtcdStore } from '../../src/stores/etcd/etcd-store.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';

export const host = nodeHost({ logTo: 'silent' });
export const put = (key: string, value: string | number, expected: Change['expected'] = 'any'): Change => ({
  kind: 'put',
  key,
  value,
  expected,
});
export const remove = (key: string): Change => ({ kind: 'delete', key, expected: 'any' });

export class EtcdStoreWorld {
  readonly #stores: EtcdStore[] = [];
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  #prefixes = 0;
  directory = '';

  /** A prefix that no other test has, and a state directory of its own. */
  async begin(): Promise<void> {
    this.directory = await temporaryDirectory('etcd-store');
    this.#prefixes += 1;
  }

  get prefix(): string {
    return `/holdfast/world-${this.#prefixes}/`;
  }

  options(endpoints: readonly string[], more: Partial<EtcdStoreOptions> = {}): EtcdStoreOptions {
    return { host, endpoints, platform: 'test', prefix: this.prefix, directory: join(this.directory, 'state'), timeoutMs: 3_000, ...more };
  }

  async open(endpoints: readonly string[], more: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> {
    const store = await openEtcdStore(this.options(endpoints, more));
    this.#stores.push(store);
    return store;
  }

  onEnd(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async closeAll(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close();
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
    await removeDirectory(this.directory);
  }
}

export async function failureOf(promise: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeDefined();
  return thrown as HoldfastError;
}

export const short = ({ kind, key, value }: StoreEvent): string => (kind === 'put' ? `${key}=${JSON.stringify(value)}` : `-${key}`);

export const until = (holds: () => boolean, timeoutMs = 15_000) => expect.poll(holds, { timeout: timeoutMs, interval: 20 }).toBe(true);
