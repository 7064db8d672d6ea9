/** The controller's processes: one at a time as a supervisor keeps it, started again after each death, sometimes beside one that only stood still. */
import { Control } from '../../src/control/control.ts';
import { Server } from '../../src/control/serve.ts';
import type { Host, Log } from '../../src/host/host.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import type { Spec } from '../../src/spec/spec.ts';
import { absentFileStreams } from '../fakes/host.ts';
import { Chance } from './chance.ts';
import type { Invariants } from './invariants.ts';
import { handsOverNetwork, netOf, postgresqlSurroundings } from './process-surroundings.ts';
import type { Sabotage } from './sabotage.ts';
import { shakyStore } from './shaky-store.ts';
import { catalogOf, type Region, regionOfHost, type SimulatedPlatform } from './simulated-platform.ts';
import { SimulatedProcess } from './simulated-process.ts';
import { VerbAudit } from './verb-audit.ts';

export interface RunningController {
  readonly process: SimulatedProcess;
  control: Control | undefined;
}

export class Controllers {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #sabotage: Sabotage;
  readonly #seed: number;
  readonly #chance: Chance;
  readonly #audit: VerbAudit;
  readonly #all: RunningController[] = [];
  #spec: Promise<Spec> | undefined;
  crashes = 0;
  /** How long the supervisor waits before it starts the next one. */
  restartAfterMs: () => number;

  constructor(platform: SimulatedPlatform, invariants: Invariants, sabotage: Sabotage, seed: number) {
    this.#platform = platform;
    this.#invariants = invariants;
    this.#sabotage = sabotage;
    this.#seed = seed;
    this.#chance = new Chance(seed, 'controllers');
    this.#audit = new VerbAudit(platform, invariants);
    invariants.isWatched = () => this.current?.control?.watch.started === true && !this.current.process.isStalled;
    this.restartAfterMs = () => this.#chance.between(100, 5_000);
    this.start();
  }

  /** The newest one that lives. */
  get current(): RunningController | undefined {
    return this.#all.findLast(({ process }) => !process.isDead);
  }

  start(): void {
    const { time, wallMs } = this.#platform;
    const process = new SimulatedProcess(`serve-${this.#all.length + 1}`, time, wallMs);
    const running: RunningController = { process, control: undefined };
    this.#all.push(running);
    // Somebody finds that it does not answer, and starts another one beside it.
    process.onStall = () => {
      if (this.#chance.happens(0.5)) time.after(this.#chance.between(100, 3_000), () => process.isStalled && this.start());
    };
    process.onDeath = () => {
      this.crashes += 1;
      time.after(this.restartAfterMs(), () => {
        if (!this.current) this.start();
      });
    };
    // A controller that can't go on ends its process; the supervisor sees to the rest.
    void this.#serve(running).then(
      () => process.kill(),
      () => process.kill(),
    );
  }

  async #serve(running: RunningController): Promise<void> {
    const platform = this.#platform;
    const { process } = running;
    const chance = new Chance(this.#seed, process.name);
    const outlook = { network: platform.network, from: 'outside' } as const;
    const host = this.#hostOf(process, chance);
    const store = shakyStore(platform.state.open(process.clock), process, platform.time, platform.weather, chance);
    const surroundings = postgresqlSurroundings(platform.postgresql, process, outlook, regionOfHost);
    const catalog = catalogOf(surroundings);
    // The file does not change; each process reading it anew would only cost time.
    this.#spec ??= loadSpec(['holdfast.yaml'], { catalog, host });
    const spec = await this.#spec;
    const control = await Control.open({
      spec,
      catalog: this.#audit.over(this.#sabotage.catalog?.(catalog) ?? catalog, process.name),
      host,
      store: this.#sabotage.store?.(store) ?? store,
      openHands: (hands) => {
        const region: Region = regionOfHost(hands.kind === 'ssh' ? hands.host : '');
        return handsOverNetwork(platform.programs[region], region, process, outlook);
      },
      controller: process.name,
      pid: this.#all.length,
      publish: true,
    });
    this.#sabotage.control?.(control);
    running.control = control;
    await new Server(control, new AbortController().signal).run();
  }

  #hostOf(process: SimulatedProcess, chance: Chance): Host {
    const { files, secrets, dns } = this.#platform;
    const absent = async (): Promise<never> => {
      throw new Error('the simulated host has no programs of its own');
    };
    return {
      clock: process.clock,
      random: chance.random,
      files,
      fileStreams: absentFileStreams(),
      secrets,
      net: netOf({ connectTcp: dns.net.connectTcp, udpExchange: dns.net.udpExchange, connectUnix: absent, http: absent }, process),
      processes: { run: absent },
      log: this.#log(),
    };
  }

  #log(): Log {
    const line = (event: string, fields?: object) => {
      if (fields) this.#invariants.checkSecrets(`the log line ${event}`, JSON.stringify(fields));
    };
    const log: Log = { debug: line, info: line, warn: line, error: line, with: () => log };
    return log;
  }
}
