/**
 * Joins a keeper with the real things: the spec, the sites that this controller has opened, its watch, a guard in a process of its own.
 *
 * Guarded is every data store that could serve in another region as well: one that lives in this region alone has nobody that could take its place.
 */
import type { Site } from '../../contracts/driver.ts';
import type { Observation } from '../../contracts/observation.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Host } from '../../host/host.ts';
import { isGuarded } from '../../plans/fragments.ts';
import type { ComponentSpec, Spec } from '../../spec/spec.ts';
import { type SiteKey, siteKey } from '../../watch/site-key.ts';
import { openGuard } from './guard-link.ts';
import type { GuardSetup } from './guard-messages.ts';
import { PrimaryKeeper } from './primary-keeper.ts';
import { type FencedSite, RegionFencer } from './region-fencer.ts';

/** Where guards are started and found: a directory of this machine that the controller's user alone may enter. */
export interface GuardLocation {
  readonly command: readonly string[];
  readonly directory: string;
}

export interface OpenKeeperParts {
  readonly spec: Spec;
  readonly region: string;
  readonly store: StateStore;
  readonly host: Host;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  readonly watch: { readonly observations: ReadonlyMap<SiteKey, Observation> };
  readonly guard: GuardLocation;
}

/** A guard that takes longer for a word is as good as none. */
const answerShare = 0.2;
const configureShare = 0.4;
const configureLeastMs = 2_000;
const holderBytes = 8;

/** Undefined where nothing is held by lease here: an embedded state, a region without data, a spec that lets a cut-off region serve. */
export function openKeeper(parts: OpenKeeperParts): PrimaryKeeper | undefined {
  const { spec, region, store, host } = parts;
  const guarded = guardedComponents(spec, region);
  if (!isGuarded(spec) || guarded.length === 0) return undefined;
  const { ttlMs, renewEveryMs } = spec.controllers;
  const place = {
    host,
    ...parts.guard,
    answerTimeoutMs: ttlMs * answerShare,
    configureTimeoutMs: Math.max(configureLeastMs, ttlMs * configureShare),
  };
  return new PrimaryKeeper({
    region,
    ttlMs,
    renewEveryMs,
    store,
    clock: host.clock,
    log: host.log,
    openGuard: () => openGuard(place, setupOf(spec, region, guarded)),
    fencer: new RegionFencer({
      region,
      sites: guarded.flatMap((component) => fencedSite(parts, component)),
      clock: host.clock,
      log: host.log,
    }),
    primariesSince: (atMs) => guarded.map(({ name }) => name).filter((name) => isPrimarySince(parts, name, atMs)),
    returnsByItself: spec.controllers.afterFence === 'return',
    holder: holderFile(host, `${parts.guard.directory}/primary-holder-${region}`),
  });
}

function guardedComponents(spec: Spec, region: string): readonly ComponentSpec[] {
  return [...spec.components.values()].filter(({ kind, sites }) => kind === 'data' && sites.has(region) && sites.size > 1);
}

function isPrimarySince({ watch, region }: OpenKeeperParts, component: string, atMs: number): boolean {
  const observation = watch.observations.get(siteKey(component, region));
  return observation?.health === 'up' && observation.role === 'primary' && observation.atMs > atMs;
}

function fencedSite({ sites, region }: OpenKeeperParts, component: ComponentSpec): readonly FencedSite[] {
  const site = sites.get(siteKey(component.name, region));
  if (site === undefined) return [];
  const hands = component.sites.get(region)?.hands;
  return [{ component: component.name, site, hands: hands === undefined ? 'none' : hands.kind === 'local' ? 'local' : 'remote' }];
}

function setupOf(spec: Spec, region: string, guarded: readonly ComponentSpec[]): GuardSetup {
  return {
    platform: spec.name,
    region,
    probeTimeoutMs: spec.watch.timeoutMs,
    components: guarded.map(({ name, driver, replication, options, sites }) => ({
      name,
      driver,
      replication,
      options,
      sites: Object.fromEntries([...sites].map(([each, site]) => [each, site.options])),
      hands: sites.get(region)?.hands,
    })),
  };
}

/** Kept beside the guard's socket: who is started again on this machine is the same holder, and may go on with the lease of the one that died. */
function holderFile({ files, random }: Pick<Host, 'files' | 'random'>, path: string) {
  const read = async () => ((await files.exists(path)) ? (await files.readText(path)).trim() : undefined);
  return {
    read,
    ensure: async () => {
      const known = await read();
      if (known) return known;
      const holder = `keeper-${Buffer.from(random.bytes(holderBytes)).toString('hex')}`;
      await files.writeAtomically(path, `${holder}\n`, { mode: 0o600 });
      return holder;
    },
  };
}
