/**
 * The faults. Each is made for real: processes get signals, packets vanish in the router or where a program sends them, a clock is moved.
 *
 * `expects` says what must come of it: `failover` (the other region serves, before anything heals), `steady` (nobody is promoted, and the active region goes on acknowledging), `either`
 * (what comes first is up to the timing; the invariants hold all the same).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Chance } from '../../simulation/chance.ts';
import type { Cut, Namespace } from '../../systems/network-namespaces.ts';
import { controllerGroup } from '../holdfast-program.ts';
import { type DataRegion, dataRegions, type RegionName, regionNames } from './spec-text.ts';
import { etcdClientPort, etcdPeerPort } from './state-servers.ts';
import type { World } from './world.ts';

export interface Situation {
  readonly world: World;
  /** Serves when the fault comes. */
  readonly active: DataRegion;
  readonly chance: Chance;
}

export interface Scenario {
  readonly name: string;
  /** With how many controllers it says something. */
  readonly controllers: readonly ('alone' | 'fleet')[];
  readonly expects: 'failover' | 'steady' | 'either';
  /** How long the fault stays where nobody is waited for: longer than what would be wrong needs to happen. */
  readonly holdMs?: readonly [least: number, most: number];
  fault(situation: Situation): Promise<void>;
  /** Beyond what heals every fault: links are mended and frozen processes woken anyway. */
  heal?(situation: Situation): Promise<void>;
}

const both = ['alone', 'fleet'] as const;
const networkOf = ({ address }: Namespace): string => address.replace(/\.\d+$/, '.0/24');
const leaving = (place: Namespace): string => `ip saddr ${networkOf(place)}`;
const entering = (place: Namespace): string => `ip daddr ${networkOf(place)}`;
/** What controllers and their hands send beyond their own region. */
const ofControllers = (place: Namespace): Cut => ({ at: place, matches: [`oifname "out" meta skgid ${controllerGroup}`] });
const otherOf = (region: DataRegion): DataRegion => dataRegions.find((each) => each !== region) as DataRegion;

/** SIGSTOP to the controller alone: its guard, where it has one, is another process. */
function signalController({ world }: Situation, region: RegionName, signal: 'SIGSTOP' | 'SIGCONT'): void {
  const pid = world.controllers.get(region)?.running.pid;
  if (pid !== undefined) process.kill(pid, signal);
}

/** The controller that a fault is aimed at: that of the active region, or the only one. */
const controllerOf = ({ world, active }: Situation): RegionName => (world.controllers.has(active) ? active : 'middle');

export const scenarios: readonly Scenario[] = [
  {
    name: 'region-killed',
    controllers: both,
    expects: 'failover',
    fault: ({ world, active }) => world.killRegion(active),
  },
  {
    name: 'region-silent',
    controllers: both,
    expects: 'failover',
    fault: ({ world, active }) => {
      const place = world.namespaces[active];
      return world.network.cut([{ at: 'router', matches: [leaving(place), entering(place)] }]);
    },
  },
  {
    name: 'one-way-out',
    controllers: both,
    expects: 'failover',
    fault: ({ world, active }) => world.network.cut([{ at: 'router', matches: [leaving(world.namespaces[active])] }]),
  },
  {
    name: 'one-way-in',
    controllers: both,
    expects: 'failover',
    fault: ({ world, active }) => world.network.cut([{ at: 'router', matches: [entering(world.namespaces[active])] }]),
  },
  {
    name: 'controllers-cut',
    controllers: ['alone'],
    expects: 'steady',
    holdMs: [2_500, 3_500],
    fault: ({ world }) => world.network.cut(regionNames.map((region) => ofControllers(world.namespaces[region]))),
  },
  {
    name: 'stores-apart',
    controllers: both,
    // Commits wait for the standby, and everybody sees both sites: nothing is lost and nothing is promoted.
    expects: 'either',
    holdMs: [2_000, 3_000],
    fault: ({ world, active }) => {
      const [one, two] = [world.namespaces[active], world.namespaces[otherOf(active)]];
      return world.network.cut([{ at: 'router', matches: [`${leaving(one)} ${entering(two)}`, `${leaving(two)} ${entering(one)}`] }]);
    },
  },
  {
    name: 'controller-paused',
    controllers: both,
    expects: 'either',
    // Past every lease that it may hold.
    holdMs: [4_500, 6_000],
    fault: async (situation) => signalController(situation, controllerOf(situation), 'SIGSTOP'),
    heal: async (situation) => signalController(situation, controllerOf(situation), 'SIGCONT'),
  },
  {
    name: 'link-flaps',
    controllers: both,
    expects: 'either',
    fault: async ({ world, active, chance }) => {
      const place = world.namespaces[active];
      for (let times = chance.whole(3, 5); times > 0; times -= 1) {
        await world.network.cut([{ at: 'router', matches: [leaving(place), entering(place)] }]);
        await delay(chance.between(100, 700));
        await world.network.heal();
        await delay(chance.between(100, 500));
      }
    },
  },
  {
    name: 'clock-skewed',
    controllers: both,
    expects: 'steady',
    holdMs: [2_500, 3_500],
    fault: async (situation) => {
      const seconds = situation.chance.whole(30, 3_600) * (situation.chance.happens(0.5) ? 1 : -1);
      await situation.world.skewClock(controllerOf(situation), seconds);
    },
    heal: async (situation) => situation.world.skewClock(controllerOf(situation), 0),
  },
  {
    name: 'everything-restarted',
    controllers: both,
    expects: 'either',
    fault: async ({ world }) => {
      await Promise.all(regionNames.map((region) => world.killRegion(region)));
    },
  },
  {
    name: 'controller-cut',
    controllers: ['fleet'],
    expects: 'either',
    holdMs: [4_500, 6_000],
    // Its own member of etcd would still lead it to the state.
    fault: ({ world, active }) => {
      const place = world.namespaces[active];
      const fromState: Cut = { at: place, matches: [`tcp dport ${etcdClientPort} meta skgid ${controllerGroup}`] };
      return world.network.cut([ofControllers(place), fromState]);
    },
  },
  {
    name: 'all-controllers-cut',
    controllers: ['fleet'],
    expects: 'either',
    holdMs: [4_500, 6_000],
    fault: ({ world }) => world.network.cut(regionNames.map((region) => ofControllers(world.namespaces[region]))),
  },
  {
    name: 'etcd-cut',
    controllers: ['fleet'],
    expects: 'either',
    holdMs: [4_500, 6_000],
    fault: ({ world }) => world.network.cut([{ at: 'router', matches: [`tcp dport { ${etcdClientPort}, ${etcdPeerPort} }`] }]),
  },
];
