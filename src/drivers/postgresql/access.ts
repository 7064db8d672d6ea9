/**
 * The connections of one opened site: to its own server and, where a verb needs them, to the component's other sites. Each purpose has a connection of its own, so that a
 * write that waits for a standby never delays a probe.
 *
 * Invariant: a connection is used only while it is not lost; a lost one is replaced on the next use. The first statement on a connection that had been idle may find out
 * that it was lost: reads are then tried once more on a fresh one, changes are not.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { SiteContext } from '../../contracts/driver.ts';
import { evidenceOf } from './client-errors.ts';
import { addressOf, type ComponentOptions, memberOf, type SiteOptions } from './options.ts';
import type { Address, Connect, Connection, Limit, Machine, Upstream } from './ports.ts';

export type Purpose = 'probe' | 'canary' | 'verb' | 'watch';

export class Access {
  readonly context: SiteContext<ComponentOptions, SiteOptions>;
  readonly machine: Machine | undefined;
  readonly #connect: Connect;
  readonly #open = new Map<string, Promise<Connection>>();
  #closed = false;

  constructor(context: SiteContext<ComponentOptions, SiteOptions>, connect: Connect, machine: Machine | undefined) {
    this.context = context;
    this.#connect = connect;
    this.machine = machine;
  }

  get region(): string {
    return this.context.region;
  }

  get subject(): string {
    return `${this.context.component} in ${this.context.region}`;
  }

  siteOf(region: string): SiteOptions {
    const site = this.context.sites.get(region);
    if (!site) throw fail('PLAN_IMPOSSIBLE', { message: `${this.context.component} has no site in ${region}` });
    return site;
  }

  address(region = this.region): Address {
    return addressOf(this.siteOf(region));
  }

  member(region = this.region): string {
    return memberOf(this.context.component, region, this.siteOf(region));
  }

  otherRegions(): string[] {
    return [...this.context.sites.keys()].filter((region) => region !== this.region);
  }

  /** How this site's server is fed by the one in that region. */
  upstream(region: string): Upstream {
    const site = this.siteOf(region);
    const address = addressOf(site);
    return {
      address,
      replicationUser: site.replication?.user ?? address.user,
      replicationPassword: site.replication ? site.replication.password : site.password,
      member: this.member(),
      slot: this.context.options.slots ? this.member() : undefined,
    };
  }

  /** A time limit for one exchange inside a step, never longer than the step itself. */
  limit(signal: AbortSignal, timeoutMs = 5_000): Limit {
    return { timeoutMs, signal };
  }

  async connection(purpose: Purpose, limit: Limit, region = this.region): Promise<Connection> {
    if (this.#closed) throw fail('SYSTEM_UNREACHABLE', { subject: this.subject, message: 'the site was closed' });
    const key = `${purpose} ${region}`;
    for (let pending = this.#open.get(key); pending !== undefined; pending = this.#open.get(key)) {
      const known = await pending.catch(() => undefined);
      if (known && !known.lost) return known;
      // Another caller may have begun to replace it meanwhile: then theirs is waited for.
      if (this.#open.get(key) === pending) break;
    }
    const opening = this.#connect(this.address(region), limit);
    this.#open.set(key, opening);
    try {
      const connection = await opening;
      if (this.#closed) connection.close();
      return connection;
    } catch (error) {
      if (this.#open.get(key) === opening) this.#open.delete(key);
      throw error;
    }
  }

  /** A read, tried once more on a fresh connection when an idle one turns out to be gone. */
  async read<T>(purpose: Purpose, limit: Limit, work: (connection: Connection) => Promise<T>, region = this.region): Promise<T> {
    const connection = await this.connection(purpose, limit, region);
    try {
      return await work(connection);
    } catch (error) {
      const again = error instanceof HoldfastError && evidenceOf(error) === 'connection-lost' && !limit.signal.aborted;
      if (!again) throw error;
      connection.close();
      return work(await this.connection(purpose, limit, region));
    }
  }

  requireMachine(): Machine {
    if (this.machine) return this.machine;
    throw fail('HANDS_MISSING', { subject: this.subject, hint: 'Give the site hands (local or ssh) and its data-directory in the spec.' });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const opening of open) (await opening.catch(() => undefined))?.close();
  }
}
