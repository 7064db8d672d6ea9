/**
 * The control plane's state in an etcd cluster: what the controllers of several regions share.
 *
 * Invariant: see the contract. All of it lies below one prefix, which belongs to one platform. Whatever is read here was agreed on by a majority when it was asked for; a member that is cut
 * off answers with an error and never with old data. Everything has a time-out. Dying at any instant loses no commit that was acknowledged and shows none by halves.
 */
import { assert } from '../../base/assert.ts';
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { Change, Entry, Lease, LeaseInfo, StateStore, StoreEvent } from '../../contracts/state-store.ts';
import type { StoreReport } from '../../contracts/store-report.ts';
import { Commits } from './commits.ts';
import { acceptState, GuardedCluster } from './guarded-cluster.ts';
import { Leases } from './leases.ts';
import { Members, type MembersOptions } from './members.ts';
import type { KeyValue } from './messages.ts';
import { type ReadOptions, readEntries } from './read-entries.ts';
import { readReport } from './report.ts';
import { Upkeep } from './upkeep.ts';
import { Watches } from './watches.ts';

export interface EtcdStoreOptions extends MembersOptions {
  readonly platform: string;
  /** All keys begin with it; ends with a slash. */
  readonly prefix: string;
  /** Where this machine keeps what it has seen of the state. */
  readonly directory: string;
  /** Whether a new state may begin where there is none. Default true. */
  readonly mayBegin?: boolean;
  /** For how long changes are kept that something newer has replaced, at least (default 1 h), and how often that is looked at (default every 5 min). */
  readonly keepHistoryMs?: number;
  readonly upkeepEveryMs?: number;
}

const keepHistoryMsDefault = 3_600_000;
const upkeepEveryMsDefault = 300_000;

export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  const members = await Members.open(options);
  try {
    return new EtcdStore(await GuardedCluster.open({ ...options, members }, { create: options.mayBegin ?? true }), options);
  } catch (error) {
    members.close();
    throw error;
  }
}

/** A person says that a state which went back, or changed its cluster, is to be worked with as it is. Resolves to what was the matter with it. */
export async function acceptEtcdState(options: EtcdStoreOptions, by: string, reason: string): Promise<HoldfastError> {
  const members = await Members.open(options);
  try {
    return await acceptState({ ...options, members }, by, reason);
  } finally {
    members.close();
  }
}

export class EtcdStore implements StateStore {
  readonly #cluster: GuardedCluster;
  readonly #leases: Leases;
  readonly #commits: Commits;
  readonly #watches: Watches;
  readonly #upkeep: Upkeep;
  #closing: Promise<void> | undefined;

  constructor(cluster: GuardedCluster, options: Pick<EtcdStoreOptions, 'keepHistoryMs' | 'upkeepEveryMs'> = {}) {
    this.#cluster = cluster;
    this.#leases = new Leases(cluster);
    this.#commits = new Commits(cluster, this.#leases);
    this.#watches = new Watches(cluster);
    this.#upkeep = new Upkeep(cluster, this.#leases, {
      keepHistoryMs: options.keepHistoryMs ?? keepHistoryMsDefault,
      everyMs: options.upkeepEveryMs ?? upkeepEveryMsDefault,
    });
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#requireOpen();
    const answer = await this.#cluster.ask('KV/Range', { key: this.#cluster.keys.entry(key) });
    return answer.kvs[0] && this.#entryOf(answer.kvs[0]);
  }

  async range(prefix: string, options: Omit<ReadOptions, 'revision' | 'keysOnly'> = {}): Promise<readonly Entry[]> {
    this.#requireOpen();
    const { kvs } = await readEntries(this.#cluster, prefix, options);
    return kvs.map((kv) => this.#entryOf(kv));
  }

  async commit(changes: readonly Change[], options: { readonly answerWithinMs?: number } = {}): Promise<number> {
    this.#requireOpen();
    return await this.#commits.commit(changes, options.answerWithinMs);
  }

  watch(
    prefix: string,
    listener: (event: StoreEvent) => void,
    options?: { readonly afterRevision?: number; readonly onError?: (error: Error) => void },
  ): () => void {
    this.#requireOpen();
    return this.#watches.add(prefix, listener, options);
  }

  async acquireLease(name: string, holder: string, ttlMs: number, options: { readonly isNew?: boolean } = {}): Promise<Lease> {
    this.#requireOpen();
    assert(ttlMs > 0, 'a lease lasts for some time');
    return await this.#leases.acquire(name, holder, ttlMs, options.isNew);
  }

  async renewLease(lease: Lease): Promise<Lease> {
    this.#requireOpen();
    return await this.#leases.renew(lease);
  }

  async releaseLease(lease: Lease): Promise<void> {
    this.#requireOpen();
    await this.#leases.release(lease);
  }

  async readLease(name: string): Promise<LeaseInfo | undefined> {
    this.#requireOpen();
    return await this.#leases.read(name);
  }

  async readReport(): Promise<StoreReport> {
    this.#requireOpen();
    return await readReport(this.#cluster, this.#leases);
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#watches.close();
      await this.#upkeep.close();
      await this.#commits.settle();
      await this.#cluster.close();
    })();
    return this.#closing;
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw fail('INTERRUPTED', { message: 'the state is closed', subject: this.#cluster.keys.prefix });
  }

  #entryOf(kv: KeyValue): Entry {
    const revision = Number(kv.mod_revision);
    this.#cluster.changed(revision);
    return { key: this.#cluster.keys.nameOf(kv.key), value: JSON.parse(kv.value.toString('utf8')) as Json, revision };
  }
}
