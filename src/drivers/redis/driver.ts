/**
 * Redis and Valkey: a master and its replicas, one server per site (not Cluster, not Sentinel).
 *
 * What Redis can't do is not claimed: an acknowledged write is on a replica only if the client asked for that with WAIT. See README.md for what the driver can't prove.
 */
import { type Driver, defineDriver, type Site } from '../../contracts/driver.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import type { Host } from '../../host/host.ts';
import { awaitPositionVerb } from './await-position.ts';
import { openBackupSource } from './backup-source.ts';
import { RedisCanary } from './canary.ts';
import { openClientPort } from './client.ts';
import { fenceVerb } from './fence.ts';
import { followVerb } from './follow.ts';
import { freezeVerb, thawVerb } from './freeze.ts';
import { Observer } from './observe.ts';
import { componentOptions, peerAddressOf, type RedisOptions, type RedisSiteOptions, siteOptions } from './options.ts';
import { addressOf, type RedisPort } from './port.ts';
import { promoteVerb } from './promote.ts';
import { protectVerb } from './protect.ts';
import { openRestorer } from './restore.ts';
import { salvageVerb } from './salvage.ts';
import { type RedisContext, sitePartsOf, withServer } from './server.ts';
import { subscribe } from './subscribe.ts';

function openSite(context: RedisContext, port: RedisPort): Site {
  const parts = sitePartsOf(context, port);
  const observer = new Observer(parts);
  const canary = new RedisCanary(parts);
  const unsubscribers = new Set<() => void>();
  const verbs: Partial<Record<SiteVerb, Verb>> = {
    fence: fenceVerb(parts),
    freeze: freezeVerb(parts),
    thaw: thawVerb(parts),
    'await-position': awaitPositionVerb(parts),
    promote: promoteVerb(parts),
    follow: followVerb(parts),
    protect: protectVerb(parts),
    ...(context.hands ? { salvage: salvageVerb(parts) } : {}),
  };
  return {
    observe: (signal) => observer.observe(signal),
    subscribe: (listener) => {
      const unsubscribe = subscribe(parts, listener);
      unsubscribers.add(unsubscribe);
      return () => {
        unsubscribers.delete(unsubscribe);
        unsubscribe();
      };
    },
    verbs,
    // Nothing taken down reads as 0.
    readEpoch: async (signal) => (await withServer(parts, context.region, signal, (server) => server.read())).epoch || undefined,
    canary,
    close: async () => {
      for (const unsubscribe of unsubscribers) unsubscribe();
      unsubscribers.clear();
      observer.close();
      canary.close();
    },
  };
}

function findSpecFaults(component: { readonly sites: ReadonlyMap<string, RedisSiteOptions> }) {
  const regionByAddress = new Map<string, string>();
  const faults: { path: readonly string[]; message: string; hint: string }[] = [];
  for (const [region, site] of component.sites) {
    const address = addressOf(peerAddressOf(site));
    const other = regionByAddress.get(address);
    if (other !== undefined)
      faults.push({
        path: ['sites', region, 'url'],
        message: `${region} and ${other} are the same server, ${address}`,
        hint: 'Each site needs a server of its own.',
      });
    regionByAddress.set(address, region);
    if ((site.start ?? site.stop) !== undefined && site['config-file'] === undefined)
      faults.push({
        path: ['sites', region, 'config-file'],
        message: 'start and stop are of use only with config-file: a server that is down is barred there before it is started',
        hint: 'Set config-file to the path of its configuration file.',
      });
  }
  return faults;
}

/** The driver on the given client: the real one by default, a simulated one in tests and simulations. */
export function redisDriver(openPort: (host: Host) => RedisPort = openClientPort): Driver<RedisOptions, RedisSiteOptions> {
  return defineDriver<RedisOptions, RedisSiteOptions>({
    name: 'redis',
    title: 'Redis',
    summary: 'Watches, fences, promotes, re-attaches and backs up Redis or Valkey servers that replicate to each other.',
    kind: 'data',
    verbs: [
      { verb: 'fence', needsHands: false, typicalMs: 50 },
      { verb: 'freeze', needsHands: false, typicalMs: 30 },
      { verb: 'thaw', needsHands: false, typicalMs: 30 },
      { verb: 'await-position', needsHands: false, typicalMs: 100 },
      { verb: 'promote', needsHands: false, typicalMs: 50 },
      { verb: 'follow', needsHands: false, typicalMs: 5_000 },
      { verb: 'protect', needsHands: false, typicalMs: 1_500 },
      { verb: 'salvage', needsHands: true, typicalMs: 5_000 },
    ],
    hasCanary: true,
    componentOptions,
    siteOptions,
    validate: findSpecFaults,
    open: (context) => openSite(context, openPort(context.host)),
    backups: {
      kinds: [{ what: 'snapshot', summary: 'All keys as of one instant, as an RDB file by the replication stream.', continuous: false }],
      openSource: (context) => openBackupSource(context, openPort(context.host)),
      openRestorer: (context) => openRestorer(context, openPort(context.host)),
    },
  });
}

export const driver = redisDriver();
