/** Controllers in three regions on a toy platform: east is active, west stands by, north is the witness. Each can be cut off from regions and from the state by itself. One fleet at a time. */
import { expect } from 'vitest';
import { fail } from '../../src/base/errors.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { listExecutions } from '../../src/state/journal.ts';
import { readPlatformState } from '../../src/state/platform-state.ts';
import { type ToyController, ToyPlatform } from './toy-control.ts';
import { toyFleetText } from './toy-platform.ts';

/** As the spec has it. */
export const ttlMs = 5_000;
export let platform: ToyPlatform;

/** A platform that nothing serves yet. */
export function begin(text = toyFleetText()): void {
  for (const cut of Object.values(cuts)) cut.clear();
  full.clear();
  platform = new ToyPlatform(text);
}

export interface Three {
  readonly east: ToyController;
  readonly west: ToyController;
  readonly north: ToyController;
}

/** Controllers from which the state takes nothing, by region. */
export const full = new Set<string>();
/** What a controller can't get to, by its region; the state is a place of its own. */
export const cuts = { east: new Set<string>(), west: new Set<string>(), north: new Set<string>() };

/** The controller of a region. */
export async function serve(region: keyof Three, parts: Parameters<ToyPlatform['serve']>[0] = {}): Promise<ToyController> {
  return platform.serve({
    region,
    cannotReach: (other) => cuts[region].has(other),
    wrap: (state) =>
      cutOff(
        state,
        () => cuts[region].has('state'),
        () => full.has(region),
      ),
    ...parts,
  });
}

/** All three; the witness is there first, and leads. */
export async function startThree(failover = '{ automatic: true, grace: 2s }', rest?: string): Promise<Three> {
  begin(toyFleetText(failover, rest));
  const north = await serve('north');
  const east = await serve('east');
  const west = await serve('west');
  await platform.host.clock.advance(3_000);
  return { north, east, west };
}

function cutOff(state: StateStore, isCut: () => boolean, isFull: () => boolean): StateStore {
  const guard =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (isCut()) throw fail('STATE_UNREACHABLE', { message: 'no member of etcd answers' });
      return call(...args);
    };
  return {
    get: guard((key) => state.get(key)),
    range: guard((prefix, options) => state.range(prefix, options)),
    commit: guard(async (changes) => {
      if (isFull()) throw fail('STATE_FULL', { message: 'no space' });
      return state.commit(changes);
    }),
    watch: (prefix, listener, options) => state.watch(prefix, (event) => !isCut() && listener(event), options),
    acquireLease: guard((name, holder, ttl) => state.acquireLease(name, holder, ttl)),
    renewLease: guard((lease) => state.renewLease(lease)),
    releaseLease: guard((lease) => state.releaseLease(lease)),
    readLease: guard((name) => state.readLease(name)),
    close: () => state.close(),
  };
}

export const store = () => platform.state.open();
export const advance = (durationMs: number) => platform.host.clock.advance(durationMs);
export const activeRegion = async () => (await readPlatformState(store()))?.state.activeRegion;
export const executions = () => listExecutions(store());
/** The region of the controller that leads. */
export const leader = async () => {
  const lease = await store().readLease('serve');
  return lease?.held ? lease.holder.split('/')[0] : undefined;
};
export const allEnded = () => platform.until(async () => (await executions()).every((each) => each.endedAtMs !== undefined), 120_000);
/** The effect happened, and once. */
export const once = (effect: string) => expect(platform.world.effects.filter((each) => each === effect)).toEqual([effect]);
export const silence = (region: string, silent = true) => {
  for (const site of platform.world.sites.values()) if (site.region === region && site.kind !== 'route') site.silent = silent;
};
