/**
 * A platform small enough to reason about, with real verbs: stores that copy a canary row to their standby, workloads, routes. For tests of what works on a whole platform (the
 * watch, the controller, the command line) and must not depend on any one system.
 *
 * Nothing happens by itself: a site dies, falls silent or comes back when the test says so. Each change that a verb made is kept in `effects`, in order.
 */
import { z } from 'zod';
import { fail } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import type { AnyDriverBackups } from '../../src/contracts/backup.ts';
import {
  type AnyDriver,
  type CanaryRow,
  type DriverCatalog,
  type DriverKind,
  defineDriver,
  type Site,
} from '../../src/contracts/driver.ts';
import type { Evidence, Position, Reading } from '../../src/contracts/observation.ts';
import type { Inspection, SiteVerb, StepContext, Verb } from '../../src/contracts/verbs.ts';

export interface ToySite {
  readonly component: string;
  readonly region: string;
  readonly kind: DriverKind;
  alive: boolean;
  /** Answers nothing, and goes on for its clients. */
  silent: boolean;
  role: 'primary' | 'standby';
  frozen: boolean;
  barred: boolean;
  follows: string | undefined;
  synchronous: boolean;
  row: CanaryRow | undefined;
  offset: number;
  replicas: number;
  /** For routes: where clients are led. */
  leadsTo: string | undefined;
  listeners: Set<(evidence: Evidence) => void>;
}

type Applied = (site: ToySite, want: JsonObject, world: ToyWorld) => void;

export class ToyWorld {
  readonly sites = new Map<string, ToySite>();
  readonly effects: string[] = [];
  /** Stops a verb in the middle: awaited before it is applied. */
  beforeApply: ((what: string) => Promise<void>) | undefined;
  /** Verbs that say no. */
  readonly refuses = new Set<string>();
  readonly #homeRegion: string;

  constructor(homeRegion: string) {
    this.#homeRegion = homeRegion;
  }

  /** The site, made when it is first asked for: in the home region as the primary, elsewhere as its standby. */
  site(component: string, region: string, kind: DriverKind = 'data'): ToySite {
    const key = `${component}@${region}`;
    const known = this.sites.get(key);
    if (known) return known;
    const home = region === this.#homeRegion;
    const made: ToySite = {
      component,
      region,
      kind,
      alive: true,
      silent: false,
      role: home ? 'primary' : 'standby',
      frozen: false,
      barred: false,
      follows: home ? undefined : this.#homeRegion,
      synchronous: true,
      row: undefined,
      offset: 0,
      replicas: home ? 4 : 1,
      leadsTo: kind === 'route' ? this.#homeRegion : undefined,
      listeners: new Set(),
    };
    this.sites.set(key, made);
    return made;
  }

  /** Every site of the region is gone; a live host says so. */
  kill(region: string): void {
    for (const site of this.sites.values()) {
      if (site.region !== region || site.kind === 'route') continue;
      site.alive = false;
      for (const listener of site.listeners) listener({ kind: 'connection-lost', detail: `${site.component} closed the connection` });
    }
  }

  revive(region: string): void {
    for (const site of this.sites.values()) if (site.region === region) site.alive = true;
  }

  /** Primaries that would acknowledge a write now. */
  writable(component: string): string[] {
    return [...this.sites.values()].filter((site) => site.component === component && canWrite(site)).map((site) => site.region);
  }

  copy(from: ToySite): void {
    for (const site of this.sites.values()) {
      if (site.component !== from.component || site.follows !== from.region || !site.alive || site.silent) continue;
      site.row = from.row;
      site.offset = from.offset;
    }
  }
}

const canWrite = (site: ToySite) => site.kind === 'data' && site.alive && site.role === 'primary' && !site.frozen && !site.barred;
const positionOf = (site: ToySite): Position & JsonObject => ({
  history: site.component,
  timeline: 1,
  offset: String(site.offset),
  text: `at ${site.offset}`,
});

function reach(site: ToySite): void {
  if (!site.alive)
    throw fail('SYSTEM_UNREACHABLE', {
      message: `${site.component} in ${site.region} refuses the connection`,
      details: { cause: 'refused' },
    });
  if (site.silent)
    throw fail('SYSTEM_UNREACHABLE', { message: `${site.component} in ${site.region} does not answer`, details: { cause: 'timeout' } });
}

function read(world: ToyWorld, site: ToySite): Reading {
  if (!site.alive) return { health: 'down', evidence: { kind: 'refused', detail: `connection refused by ${site.component}` } };
  const evidence: Evidence = { kind: 'answered', detail: 'it answers' };
  if (site.kind === 'workload') return { health: 'up', evidence, replicas: { wanted: site.replicas, ready: site.replicas } };
  if (site.kind === 'route') return { health: 'up', evidence, role: site.leadsTo === site.region ? 'primary' : 'standby' };
  if (site.kind === 'check') return { health: 'up', evidence };
  const followers = [...world.sites.values()].filter(
    (each) => each.component === site.component && each.follows === site.region && each.alive,
  );
  const upstream = site.follows === undefined ? undefined : world.sites.get(`${site.component}@${site.follows}`);
  return {
    health: 'up',
    evidence,
    role: site.role,
    writable: canWrite(site),
    identity: `history of ${site.component}`,
    position: positionOf(site),
    replication:
      site.role === 'standby'
        ? {
            upstream: {
              link: upstream?.alive && !upstream.barred && !upstream.silent ? 'up' : 'down',
              ...(site.follows ? { region: site.follows } : {}),
            },
          }
        : {
            standbys: followers.map((each) => ({ member: each.region, link: 'up' as const, inSync: site.synchronous })),
            synchronous: site.synchronous && followers.length > 0,
          },
  };
}

/** A verb from two sentences: when it holds, and what makes it so. `atHost` works where the system itself is dead: by hands. */
function verbOf(
  world: ToyWorld,
  site: ToySite,
  name: SiteVerb,
  holds: (site: ToySite, want: JsonObject, context: StepContext) => JsonObject | undefined,
  makeSo: Applied,
  atHost = false,
): Verb {
  return {
    inspect: async (want, context): Promise<Inspection> => {
      if (!atHost) reach(site);
      const output = holds(site, want, context);
      return output ? { state: 'done', output } : { state: 'absent', why: `${name} does not hold` };
    },
    apply: async (want) => {
      await world.beforeApply?.(`${name} ${site.component} ${site.region}`);
      if (!atHost) reach(site);
      if (world.refuses.has(`${name} ${site.component} ${site.region}`))
        throw fail('SYSTEM_REFUSED', { message: `${site.component} in ${site.region} says no to ${name}` });
      makeSo(site, want, world);
      world.effects.push(`${name} ${site.component} ${site.region}`);
    },
  };
}

function storeVerbs(world: ToyWorld, site: ToySite, nowMs: () => number): Site['verbs'] {
  const make = (name: SiteVerb, holds: Parameters<typeof verbOf>[3], makeSo: Applied, atHost = false) =>
    verbOf(world, site, name, holds, makeSo, atHost);
  return {
    fence: make(
      'fence',
      (own) => (own.barred ? { proof: 'stopped', evidence: 'barred on its host', sinceMs: nowMs(), position: positionOf(own) } : undefined),
      (own, want) => {
        if (want.clean === true) world.copy(own);
        own.barred = true;
      },
      true,
    ),
    freeze: make(
      'freeze',
      (own) => (own.frozen ? { position: positionOf(own) } : undefined),
      (own) => {
        own.frozen = true;
      },
    ),
    thaw: make(
      'thaw',
      (own) => (own.frozen || own.barred ? undefined : {}),
      (own) => {
        own.frozen = false;
        own.barred = false;
      },
    ),
    'await-position': make(
      'await-position',
      (own, want) =>
        BigInt(own.offset) >= BigInt(String((want.position as JsonObject).offset)) ? { position: positionOf(own) } : undefined,
      () => {},
    ),
    promote: make(
      'promote',
      (own) => (own.role === 'primary' ? { position: positionOf(own), timeline: 2 } : undefined),
      (own) => {
        own.role = 'primary';
        own.follows = undefined;
        own.synchronous = false;
      },
    ),
    follow: make(
      'follow',
      (own, want) => (own.role === 'standby' && own.follows === want.upstream && own.alive && !own.barred ? { method: 'copy' } : undefined),
      (own, want) => {
        Object.assign(own, { role: 'standby', follows: String(want.upstream), alive: true, barred: false, frozen: false });
        const upstream = world.site(own.component, String(want.upstream));
        Object.assign(own, { row: upstream.row, offset: upstream.offset });
      },
      true,
    ),
    protect: make(
      'protect',
      (own, want) => (want.mode === 'asynchronous' || own.synchronous ? { inSync: want.standbys as string[] } : undefined),
      (own) => {
        own.synchronous = true;
      },
    ),
    salvage: make(
      'salvage',
      () => ({ diverged: false, files: [], detail: 'nothing of its own' }),
      () => {},
      true,
    ),
  };
}

function verbsOf(world: ToyWorld, site: ToySite, nowMs: () => number): Site['verbs'] {
  if (site.kind === 'data') return storeVerbs(world, site, nowMs);
  const wanted = (want: JsonObject) => (want.size === 'full' ? 4 : want.size === 'standby' ? 1 : 0);
  if (site.kind === 'workload')
    return {
      scale: verbOf(
        world,
        site,
        'scale',
        (own, want) => (own.replicas === wanted(want) ? { wanted: own.replicas, previous: 0 } : undefined),
        (own, want) => {
          own.replicas = wanted(want);
        },
      ),
      'await-ready': verbOf(
        world,
        site,
        'await-ready',
        (own, want) => (own.replicas >= wanted(want) ? { wanted: own.replicas, ready: own.replicas } : undefined),
        () => {},
      ),
    };
  if (site.kind === 'route')
    return {
      route: verbOf(
        world,
        site,
        'route',
        (own, want) => (own.leadsTo === want.to ? { confirmedBy: [own.region] } : undefined),
        (own, want) => {
          for (const each of world.sites.values()) if (each.component === own.component) each.leadsTo = String(want.to);
        },
      ),
    };
  return {
    check: verbOf(
      world,
      site,
      'check',
      () => ({ detail: 'passes' }),
      () => {},
    ),
  };
}

const typicalMs = 20;

/** @param byHands verbs that a site has only where it has hands */
function driverOf(
  world: ToyWorld,
  name: string,
  kind: DriverKind,
  verbs: readonly SiteVerb[],
  backups?: AnyDriverBackups,
  byHands: readonly SiteVerb[] = [],
): AnyDriver {
  return defineDriver({
    name,
    title: name,
    summary: `A ${kind} of the toy platform.`,
    kind,
    verbs: verbs.map((verb) => ({ verb, needsHands: byHands.includes(verb), typicalMs })),
    hasCanary: kind === 'data',
    ...(backups ? { backups } : {}),
    componentOptions: z.strictObject({}),
    siteOptions: z.strictObject({
      address: z
        .string()
        .meta({ description: 'Where it is', examples: ['east'] })
        .optional(),
    }),
    open: ({ component, region, host, hands }): Site => {
      const site = world.site(component, region, kind);
      const all = Object.entries(verbsOf(world, site, () => host.clock.nowMs()));
      return {
        verbs: Object.fromEntries(all.filter(([verb]) => hands || !byHands.includes(verb as SiteVerb))),
        close: async () => {},
        observe: async (signal) => {
          if (site.silent) await host.clock.sleep(86_400_000, signal).catch(() => undefined);
          return site.silent ? { health: 'unknown', evidence: { kind: 'timeout', detail: 'silence' } } : read(world, site);
        },
        subscribe: (listener) => {
          site.listeners.add(listener);
          return () => site.listeners.delete(listener);
        },
        ...(kind === 'data'
          ? {
              canary: {
                read: async () => {
                  reach(site);
                  return site.row;
                },
                write: async (row: CanaryRow) => {
                  reach(site);
                  if (!canWrite(site)) throw fail('SYSTEM_REFUSED', { message: `${component} in ${region} takes no writes` });
                  site.row = row;
                  site.offset += 1;
                  world.copy(site);
                },
              },
            }
          : {}),
      };
    },
  });
}

export function toyCatalog(world: ToyWorld, backups?: AnyDriverBackups): DriverCatalog {
  const drivers = [
    driverOf(world, 'toy-store', 'data', ['fence', 'freeze', 'thaw', 'await-position', 'promote', 'follow', 'protect', 'salvage'], backups),
    driverOf(world, 'toy-workload', 'workload', ['scale', 'await-ready']),
    driverOf(world, 'toy-program', 'workload', ['scale', 'await-ready'], undefined, ['scale']),
    driverOf(world, 'toy-route', 'route', ['route']),
    driverOf(world, 'toy-check', 'check', ['check']),
  ];
  return new Map(drivers.map((driver) => [driver.name, driver]));
}

/** A store, what serves from it, and the name that clients ask for; `failover` is the text of that section. */
export function toySpecText(failover = '{ automatic: true, grace: 2s }', rest = ''): string {
  return `holdfast: v1
name: toy
objectives: { rto: 1m, rpo: 10s }
regions: { east: { role: active }, west: { role: standby } }
components:
  db:
    driver: toy-store
    replication: synchronous
    sites: { east: {}, west: {} }
  api:
    driver: toy-workload
    needs: [db]
    sites: { east: {}, west: {} }
  name:
    driver: toy-route
    needs: [api]
    sites: { east: {}, west: {} }
watch: { every: 500ms, timeout: 400ms, failures: 3 }
failover: ${failover}
${rest}`;
}

/** The same with a witness, and a controller in each region. */
export function toyFleetText(failover?: string, rest = ''): string {
  return `${toySpecText(failover, rest).replace('west: { role: standby } }', 'west: { role: standby }, north: { role: witness } }')}
state: { etcd: { endpoints: ["http://127.0.0.1:1"] } }
controllers: { ttl: 5s, renew-every: 1s, regions: [east, west, north] }
`;
}
