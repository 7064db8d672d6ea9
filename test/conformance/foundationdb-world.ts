/** Sites of a simulated FoundationDB, opened from options as a spec has them, with hands that die with their region. */
import { fail } from '../../src/base/errors.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import type { Replication } from '../../src/contracts/replication.ts';
import { driver } from '../../src/drivers/foundationdb/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { type ClusterState, type FoundationDbStandIn, startFoundationDb } from '../systems/foundationdb/foundationdb.ts';
import { plainHands } from '../systems/plain-hands.ts';

export const fdbHost = nodeHost({ logTo: 'silent' });

/** A spec that allows a lost region to be given up. */
export const forced = { 'force-recovery': 'fenced', 'command-timeout': '2s' };

export interface OpenFdb {
  readonly options?: Record<string, unknown>;
  readonly site?: Record<string, unknown>;
  readonly replication?: Replication;
  readonly probeTimeoutMs?: number;
}

export class FdbWorld {
  readonly standIn: FoundationDbStandIn;
  /** Regions whose machines are gone. */
  readonly gone = new Set<string>();

  constructor(standIn: FoundationDbStandIn) {
    this.standIn = standIn;
  }

  siteOptions(region: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    const { standIn } = this;
    return {
      dcid: region,
      'cluster-file': standIn.clusterFile(region),
      fdbcli: [standIn.program('fdbcli')],
      fdbbackup: [standIn.program('fdbbackup')],
      fdbrestore: [standIn.program('fdbrestore')],
      // Nothing listens there: a region without a machine.
      addresses: [`127.0.0.1:${region === 'east' ? 9 : 10}`],
      ...more,
    };
  }

  get controller(): Record<string, unknown> {
    return { 'cluster-file': this.standIn.clusterFile('controller'), fdbcli: [this.standIn.program('fdbcli')] };
  }

  open(region: 'east' | 'west', { options = {}, site = {}, replication = 'asynchronous', probeTimeoutMs = 5_000 }: OpenFdb = {}): Site {
    const parsed = driver.componentOptions.parse(options);
    const sites = new Map(['east', 'west'].map((name) => [name, driver.siteOptions.parse(this.siteOptions(name, site))]));
    const faults = driver.validate?.({ options: parsed, sites, replication }) ?? [];
    if (faults.length > 0) throw new Error(faults.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'));
    return driver.open({
      host: fdbHost,
      platform: 'test',
      component: 'store',
      region,
      options: parsed,
      site: sites.get(region) as NonNullable<ReturnType<typeof sites.get>>,
      sites,
      replication,
      hands: this.#handsOf(region),
      probeTimeoutMs,
    });
  }

  #handsOf(region: string): Hands {
    const hands = plainHands(fdbHost);
    const run: Hands['run'] = async (command) => {
      if (this.gone.has(region)) throw fail('HANDS_UNREACHABLE', { message: `the machine in ${region} does not answer` });
      return await hands.run(command);
    };
    return { ...hands, name: `hands in ${region}`, run };
  }

  /** The data centres of a region, its machines and its part of the coordinators are gone. */
  async lose(region: 'east' | 'west', options: { readonly satellites?: boolean } = {}): Promise<void> {
    this.gone.add(region);
    await this.standIn.change((state) => {
      for (const dc of [region, ...(options.satellites === true ? [`${region}-sat`] : [])]) (state.dcs[dc] as { up: boolean }).up = false;
    });
  }

  async bringBack(region: 'east' | 'west'): Promise<void> {
    this.gone.delete(region);
    await this.standIn.change((state) => {
      for (const dc of [region, `${region}-sat`]) (state.dcs[dc] as { up: boolean }).up = true;
    });
  }

  /** Everything that was asked of the cluster, one line a command. */
  async asked(pattern: RegExp): Promise<string[]> {
    return (await this.standIn.state()).ran.map((words) => words.join(' ')).filter((line) => pattern.test(line));
  }
}

export async function openFdbWorld(changes: Partial<ClusterState> = {}): Promise<FdbWorld> {
  return new FdbWorld(await startFoundationDb(changes));
}
