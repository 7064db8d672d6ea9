/**
 * Old revisions are forgotten, so that the database does not grow with every change for ever.
 *
 * Invariant: one process of all does it at a time (it holds a lease), and only revisions go that were replaced longer ago than the history is kept: by that process's own steady clock, from
 * what it has seen itself, so that a new one begins with a whole such time of nothing. Nothing that is stored now goes. Dying leaves it to the next one. It forgets for the whole cluster, for etcd knows no
 * other way.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { Lease } from '../../contracts/state-store.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import type { Leases } from './leases.ts';

export interface UpkeepOptions {
  readonly keepHistoryMs: number;
  readonly everyMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly revision: number;
}

const leaseName = 'upkeep';

export class Upkeep {
  readonly #cluster: GuardedCluster;
  readonly #leases: Leases;
  readonly #options: UpkeepOptions;
  readonly #holder: string;
  #samples: Sample[] = [];
  #lease: Lease | undefined;
  #cancel = () => {};
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(cluster: GuardedCluster, leases: Leases, options: UpkeepOptions) {
    this.#cluster = cluster;
    this.#leases = leases;
    this.#options = options;
    this.#holder = `upkeep-${Buffer.from(cluster.host.random.bytes(6)).toString('hex')}`;
    this.#later();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#turn;
    const lease = this.#lease;
    if (lease !== undefined) await this.#leases.release(lease).catch((thrown) => this.#complain(thrown));
  }

  #later(): void {
    this.#cancel = this.#cluster.host.clock.after(this.#options.everyMs, () => {
      this.#turn = this.#takeTurn().finally(() => {
        if (!this.#closed) this.#later();
      });
    });
  }

  async #takeTurn(): Promise<void> {
    try {
      this.#lease = await this.#leases.acquire(leaseName, this.#holder, 3 * this.#options.everyMs);
      await this.#forget();
    } catch (thrown) {
      this.#samples = [];
      this.#lease = undefined;
      if (asHoldfastError(thrown).code !== 'STATE_LEASE_HELD') this.#complain(thrown);
    }
  }

  async #forget(): Promise<void> {
    const nowMs = this.#cluster.host.clock.monotonicMs();
    const old = this.#samples.findLast(({ atMs }) => nowMs - atMs >= this.#options.keepHistoryMs);
    if (old !== undefined) {
      await this.#cluster.ask('KV/Compact', { revision: old.revision }).catch((thrown) => {
        // Another one, or the members themselves, have forgotten more already.
        if (!/has been compacted/.test(asHoldfastError(thrown).message)) throw thrown;
      });
      this.#cluster.host.log.info('state-compacted', { revision: old.revision });
      this.#samples = this.#samples.filter(({ revision }) => revision > old.revision);
    }
    this.#samples.push({ atMs: nowMs, revision: this.#cluster.highest });
  }

  #complain(thrown: unknown): void {
    this.#cluster.host.log.warn('state-upkeep-failed', { message: asHoldfastError(thrown).message });
  }
}
