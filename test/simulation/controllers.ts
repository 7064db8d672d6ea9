/**
 * The controller's processes, as a supervisor keeps them: one outside of both regions, or one in each of three; started again after each death, sometimes beside one that only stood still.
 * In a region with a database, a guard runs beside the controller and outlives it.
 */
import { Control } from '../../src/control/control.ts';
import { GuardProgram } from '../../src/control/primary/guard-program.ts';
import { openKeeper } from '../../src/control/primary/open-keeper.ts';
import { Server } from '../../src/control/serve.ts';
import type { Host, Log } from '../../src/host/host.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import type { Spec } from '../../src/spec/spec.ts';
import { absentFileStreams } from '../fakes/host.ts';
import { Chance } from './chance.ts';
import type { Distortions } from './distortions.ts';
import type { Invariants } from './invariants.ts';
import type { Outlook } from './network.ts';
import { handsOverNetwork, netOf, postgresqlSurroundings } from './process-surroundings.ts';
import { shakyStore } from './shaky-store.ts';
import { catalogOf, controllerPlaces, type Region, regionOfHost, type SimulatedPlatform } from './simulated-platform.ts';
import { SimulatedProcess } from './simulated-process.ts';
import { VerbAudit } from './verb-audit.ts';

export type ControllerPlace = (typeof controllerPlaces)[number] | 'outside';

export interface RunningController {
  readonly process: SimulatedProcess;
  readonly place: ControllerPlace;
  control: Control | undefined;
}

const absent = async (): Promise<never> => {
  throw new Error('the simulated host has no programs of its own');
};

export class Controllers {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #seed: number;
  readonly #chance: Chance;
  readonly #audit: VerbAudit;
  readonly #all: RunningController[] = [];
  #guards = 0;
  #spec: Promise<Spec> | undefined;
  crashes = 0;
  /** How long the supervisor waits before it starts the next one. */
  restartAfterMs: () => number;

  constructor(platform: SimulatedPlatform, invariants: Invariants, seed: number, distortions: Distortions) {
    this.#platform = platform;
    this.#invariants = invariants;
    this.#seed = seed;
    this.#chance = new Chance(seed, 'controllers');
    this.#audit = new VerbAudit(platform, invariants, distortions);
    invariants.isWatched = () =>
      this.#all.some(({ process, control }) => !process.isDead && !process.isStalled && control?.watch.started === true);
    this.restartAfterMs = () => this.#chance.between(100, 5_000);
    for (const place of controllerPlaces) platform.machines[place].startGuard = (path) => this.#startGuard(place, path);
    for (const place of this.places) this.start(place);
  }

  get places(): readonly ControllerPlace[] {
    return this.#platform.fleet ? controllerPlaces : ['outside'];
  }

  get living(): readonly RunningController[] {
    return this.#all.filter(({ process }) => !process.isDead);
  }

  /** The newest one that lives there. */
  at(place: ControllerPlace): RunningController | undefined {
    return this.living.findLast((each) => each.place === place);
  }

  /** One that lives; of several, any. */
  get current(): RunningController | undefined {
    const { living } = this;
    return this.#platform.fleet ? living[Math.floor(this.#chance.random.next() * living.length)] : living.at(-1);
  }

  named(name: string): RunningController | undefined {
    return this.living.find(({ process }) => process.name === name);
  }

  /** Where nothing runs, and the machine does, a controller is started. */
  ensure(): void {
    for (const place of this.places) if (!this.at(place)) this.start(place);
  }

  start(place: ControllerPlace = 'outside'): void {
    const { time, network, skews, machines } = this.#platform;
    if (network.dark.has(place)) return;
    const name = `${place === 'outside' ? '' : `${place}/`}serve-${this.#all.length + 1}`;
    const process = new SimulatedProcess(name, time, () => this.#platform.wallMsAt(place), skews[place]?.rate);
    const pid = place === 'outside' ? this.#all.length : machines[place].add(process);
    const running: RunningController = { process, place, control: undefined };
    this.#all.push(running);
    // Somebody finds that it does not answer, and starts another one beside it.
    process.onStall = () => {
      if (this.#chance.happens(0.5)) time.after(this.#chance.between(100, 3_000), () => process.isStalled && this.start(place));
    };
    process.onDeath = () => {
      this.crashes += 1;
      time.after(this.restartAfterMs(), () => {
        if (!this.at(place)) this.start(place);
      });
    };
    // A controller that can't go on ends its process; the supervisor sees to the rest.
    void this.#serve(running, pid).then(
      () => process.kill(),
      () => process.kill(),
    );
  }

  async #serve(running: RunningController, pid: number): Promise<void> {
    const platform = this.#platform;
    const { process, place } = running;
    const chance = new Chance(this.#seed, process.name);
    const outlook = { network: platform.network, from: place } as const;
    const host = this.#hostOf(process, place, pid, chance);
    const store =
      platform.fleet?.open(process, place, chance) ??
      shakyStore(platform.state.open(process.clock), process, platform.time, platform.weather, chance);
    const catalog = catalogOf(postgresqlSurroundings(platform.postgresql, process, outlook, regionOfHost));
    // The file does not change; each process reading it anew would only cost time.
    this.#spec ??= loadSpec(['holdfast.yaml'], { catalog, host: { ...host, files: platform.files } });
    const spec = await this.#spec;
    const control = await Control.open({
      spec,
      catalog: this.#audit.over(catalog, process.name, place),
      host,
      store,
      openHands: (hands) => this.#handsOf(process, outlook, hands.kind === 'ssh' ? regionOfHost(hands.host) : (place as Region)),
      controller: process.name,
      ...(place === 'outside' ? {} : { region: place }),
      pid,
      publish: true,
    });
    running.control = control;
    const server = new Server(control, new AbortController().signal);
    if (place !== 'outside') {
      const guard = { command: ['guard'], directory: '/run' };
      openKeeper({ spec, region: place, store, host, sites: control.sites, watch: control.watch, guard })?.start();
    }
    await server.run();
  }

  #handsOf(process: SimulatedProcess, outlook: Outlook, region: Region) {
    return handsOverNetwork(this.#platform.programs[region], region, process, outlook);
  }

  /** The program that a controller starts beside itself: it has hands, a clock and a socket, and nothing else. */
  #startGuard(place: (typeof controllerPlaces)[number], path: string): void {
    const { time, network, skews, machines, postgresql } = this.#platform;
    this.#guards += 1;
    const process = new SimulatedProcess(`guard-${place}-${this.#guards}`, time, () => this.#platform.wallMsAt(place), skews[place]?.rate);
    const pid = machines[place].add(process);
    const outlook = { network, from: place } as const;
    const program = new GuardProgram({
      host: this.#hostOf(process, place, pid, new Chance(this.#seed, process.name)),
      catalog: catalogOf(postgresqlSurroundings(postgresql, process, outlook, regionOfHost)),
      openHands: (hands) => this.#handsOf(process, outlook, hands.kind === 'ssh' ? regionOfHost(hands.host) : (place as Region)),
      socketPath: path,
      pid,
    });
    void program.run().then(
      () => process.kill(),
      () => process.kill(),
    );
  }

  #hostOf(process: SimulatedProcess, place: ControllerPlace, pid: number, chance: Chance): Host {
    const { files, secrets, dns, machines, network } = this.#platform;
    const machine = place === 'outside' ? undefined : machines[place];
    const net = { connectTcp: dns.net.connectTcp, udpExchange: dns.net.udpExchange, connectUnix: absent, http: absent };
    return {
      clock: machine ? { ...process.clock, boot: { id: place, monotonicDomain: place } } : process.clock,
      random: chance.random,
      files: machine?.files ?? files,
      fileStreams: absentFileStreams(),
      secrets,
      net: machine
        ? {
            ...netOf(net, process, { network, from: place }),
            connectUnix: ({ path }) => process.call(() => machine.connect(process, path)),
            listenUnix: ({ path, onConnection }) => machine.listen(process, path, onConnection),
          }
        : netOf(net, process, { network, from: place }),
      processes: machine?.processesOf(pid) ?? { run: absent },
      log: this.#log(),
    };
  }

  #log(): Log {
    const line = (event: string, fields?: object) => {
      if (fields) this.#invariants.checkLine(event, JSON.stringify(fields));
    };
    const log: Log = { debug: line, info: line, warn: line, error: line, with: () => log };
    return log;
  }
}
