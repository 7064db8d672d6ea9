/**
 * The PostgreSQL driver: physical streaming replication between servers that nobody else manages. Under Patroni, an operator or a managed service, that manager has to be
 * asked instead; this driver must not go behind its back.
 */
import type { DriverBackups } from '../../contracts/backup.ts';
import { type AnyDriver, defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import type { Host } from '../../host/host.ts';
import { Access } from './access.ts';
import { awaitPositionVerb } from './await-position.ts';
import { backups } from './backups/backups.ts';
import { canaryOf } from './canary.ts';
import { connectWith } from './client.ts';
import { fenceVerb } from './fence.ts';
import { followVerb } from './follow.ts';
import { freezeVerb, thawVerb } from './freeze.ts';
import { handsMachine } from './machine.ts';
import { observe } from './observe.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions } from './options.ts';
import type { Connect, Machine } from './ports.ts';
import { promoteVerb } from './promote.ts';
import { protectVerb } from './protect.ts';
import { salvageVerb } from './salvage.ts';
import { openReturn } from './site-return.ts';
import { subscribe } from './subscribe.ts';
import { validateComponent } from './validate.ts';

/** What stands behind the driver: real servers, or simulated ones. */
export interface Surroundings {
  connect(host: Host): Connect;
  /** Undefined where the site says too little for hands to act. */
  machine(hands: Hands, site: SiteOptions, host: Host): Machine | undefined;
  /** Only of real servers: they speak the replication protocol, and have files. */
  readonly backups?: DriverBackups<ComponentOptions, SiteOptions>;
}

const realSurroundings: Surroundings = { connect: connectWith, machine: handsMachine, backups };

const verbs: readonly { verb: SiteVerb; needsHands: boolean; typicalMs: number; make: (access: Access) => Verb }[] = [
  { verb: 'fence', needsHands: false, typicalMs: 150, make: fenceVerb },
  { verb: 'freeze', needsHands: false, typicalMs: 50, make: freezeVerb },
  { verb: 'thaw', needsHands: false, typicalMs: 1_000, make: thawVerb },
  { verb: 'await-position', needsHands: false, typicalMs: 100, make: awaitPositionVerb },
  { verb: 'promote', needsHands: false, typicalMs: 100, make: promoteVerb },
  { verb: 'follow', needsHands: true, typicalMs: 5_000, make: followVerb },
  { verb: 'protect', needsHands: false, typicalMs: 200, make: protectVerb },
  { verb: 'salvage', needsHands: true, typicalMs: 5_000, make: salvageVerb },
];

export function makePostgresqlDriver(surroundings: Surroundings): AnyDriver {
  return defineDriver<ComponentOptions, SiteOptions>({
    name: 'postgresql',
    title: 'PostgreSQL',
    summary: 'Watches, promotes, fences, rewinds and protects PostgreSQL servers that replicate by streaming.',
    kind: 'data',
    verbs: verbs.map(({ verb, needsHands, typicalMs }) => ({ verb, needsHands, typicalMs })),
    hasCanary: true,
    componentOptions,
    siteOptions,
    validate: validateComponent,
    open: (context) => openSite(context, surroundings),
    ...(surroundings.backups ? { backups: surroundings.backups, openReturn } : {}),
  });
}

export const driver: AnyDriver = makePostgresqlDriver(realSurroundings);

function openSite(context: SiteContext<ComponentOptions, SiteOptions>, surroundings: Surroundings): Site {
  const machine = context.hands && surroundings.machine(context.hands, context.site, context.host);
  const access = new Access(context, surroundings.connect(context.host), machine);
  const able = verbs.filter(({ needsHands }) => !needsHands || machine !== undefined);
  return {
    observe: (signal) => observe(access, signal),
    subscribe: (listener) => subscribe(access, context.probeTimeoutMs, listener),
    verbs: Object.fromEntries(able.map(({ verb, make }) => [verb, make(access)])),
    fencesByHands: machine !== undefined,
    readEpoch: async (signal) => {
      const limit = access.limit(signal, context.probeTimeoutMs);
      return (await access.read('verb', limit, (connection) => connection.readEpoch(context.component, limit)))?.epoch;
    },
    canary: canaryOf(access),
    close: () => access.close(),
  };
}
