/** Controllers on a toy platform, with a virtual clock and a state in memory that outlives each of them. */
import { z } from 'zod';
import { fail } from '../../src/base/errors.ts';
import type { AnyDriverBackups } from '../../src/contracts/backup.ts';
import type { DriverCatalog, Site } from '../../src/contracts/driver.ts';
import type { RepositoryBackend, RepositoryCatalog } from '../../src/contracts/repository-backend.ts';
import type { SiteContext } from '../../src/contracts/site-context.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Verb } from '../../src/contracts/verbs.ts';
import { RepositoryOpener } from '../../src/control/backups/repository-opener.ts';
import { Control } from '../../src/control/control.ts';
import type { OpenHands } from '../../src/control/open-sites.ts';
import { type ServeListeners, Server } from '../../src/control/serve.ts';
import type { Host } from '../../src/host/host.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { type FakeHost, fakeHost } from './host.ts';
import { type MemoryState, memoryState } from './memory-store.ts';
import { ToyWorld, toyCatalog, toySpecText } from './toy-platform.ts';

export interface ToyController {
  readonly control: Control;
  readonly server: Server;
  /** Settles when the server has ended. */
  readonly ended: Promise<unknown>;
  readonly said: string[];
  /** Ends in an orderly way. */
  stop(): Promise<void>;
  /** Ends as a killed process does: from here on none of its calls reaches the state or a site. */
  kill(): void;
}

/** How the toy store is backed up, and where to. */
export interface ToyPlatformBackups {
  readonly driver: AnyDriverBackups;
  readonly backend: RepositoryBackend;
}

export interface ToyControlParts {
  readonly store?: StateStore;
  readonly host?: Host;
  readonly publish?: boolean;
  /** Where it stands, where the spec has several controllers. */
  readonly region?: string;
  readonly version?: string;
  readonly specFile?: string;
  readonly openHands?: OpenHands;
  /** Sites that nothing gets to from this controller, as they are at the time. */
  readonly cannotReach?: (region: string) => boolean;
}

export class ToyPlatform {
  readonly world = new ToyWorld('east');
  readonly host: FakeHost;
  readonly state: MemoryState;
  readonly #controllers: ToyController[] = [];
  readonly specText: string;
  readonly backups: ToyPlatformBackups | undefined;
  #count = 0;

  constructor(specText = toySpecText(), backups?: ToyPlatformBackups) {
    this.specText = specText;
    this.backups = backups;
    this.host = fakeHost({ files: { 'toy.yaml': specText } });
    this.state = memoryState(this.host.clock);
  }

  async control(parts: ToyControlParts = {}): Promise<Control> {
    this.#count += 1;
    const { repositories } = this;
    const host = parts.host ?? this.host;
    const catalog = parts.cannotReach ? throughNetwork(this.catalog, parts.cannotReach) : this.catalog;
    const spec = await loadSpec([parts.specFile ?? 'toy.yaml'], { catalog, repositories, host: this.host });
    const opener = new RepositoryOpener({ catalog: repositories, host, platform: spec.name });
    return Control.open({
      spec,
      catalog,
      host,
      store: parts.store ?? this.state.open(),
      openHands: parts.openHands ?? noHands,
      controller: parts.region === undefined ? `serve-${this.#count}` : `${parts.region}/serve-${this.#count}`,
      ...(parts.region === undefined ? {} : { region: parts.region, lastKnownFile: `/state/${parts.region}/last-known.json` }),
      version: parts.version ?? '1.0.0',
      pid: this.#count,
      publish: parts.publish ?? true,
      openRepository: (repository) => opener.open(repository),
      scratchDirectory: '/scratch',
    });
  }

  /** The toy drivers; the store can be backed up where the platform was given a way to. */
  get catalog(): DriverCatalog {
    return toyCatalog(this.world, this.backups?.driver);
  }

  get repositories(): RepositoryCatalog {
    const { backups } = this;
    if (!backups) return new Map();
    return new Map([['memory', { name: 'memory', title: 'Memory', options: z.strictObject({}), open: () => backups.backend }]]);
  }

  /** Starts a controller. `wrap` may put faults between it and the state. */
  async serve(
    parts: Omit<ToyControlParts, 'store'> & { wrap?: (store: StateStore) => StateStore; onEvent?: ServeListeners['onEvent'] } = {},
  ): Promise<ToyController> {
    const ending = new AbortController();
    let dead = false;
    let stopped = false;
    const plain = this.state.open();
    const store = mortal(parts.wrap ? parts.wrap(plain) : plain, () => dead);
    const { wrap: _wrap, onEvent: _onEvent, ...rest } = parts;
    const control = await this.control({ ...rest, store });
    const said: string[] = [];
    const server = new Server(control, ending.signal, {
      ...(parts.onEvent ? { onEvent: parts.onEvent } : {}),
      onDecision: (decision) => said.push(`${decision.act ? 'act' : 'hold'}: ${decision.blocks.map((block) => block.code).join(' ')}`),
      onExecution: (id) => said.push(`execution ${id.split('-')[0]}`),
    });
    const ended = server.run().catch((error: unknown) => error);
    const controller: ToyController = {
      control,
      server,
      ended,
      said,
      kill: () => {
        dead = true;
        ending.abort(new Error('killed'));
        void control.watch.stop();
      },
      stop: async () => {
        if (dead || stopped) return;
        stopped = true;
        ending.abort(new Error('stopped'));
        let closed = false;
        const closing = ended
          .then(() => control.close())
          .finally(() => {
            closed = true;
          });
        for (let turn = 0; turn < 100 && !closed; turn += 1) await this.host.clock.advance(100);
        if (!closed) throw new Error('the controller did not end');
        await closing;
      },
    };
    this.#controllers.push(controller);
    return controller;
  }

  /** Lets time go by, in steps, until it holds; fails after the given virtual time. */
  async until(holds: () => boolean | Promise<boolean>, withinMs = 30_000, stepMs = 50): Promise<void> {
    for (let goneMs = 0; goneMs <= withinMs; goneMs += stepMs) {
      if (await holds()) return;
      await this.host.clock.advance(stepMs);
    }
    throw new Error(`it did not come to hold within ${withinMs} ms of virtual time`);
  }

  async close(): Promise<void> {
    for (const controller of this.#controllers) await controller.stop();
  }
}

const noHands: OpenHands = () => {
  throw new Error('the toy platform has no hands');
};

/** The same drivers, over a network that may be cut: looks end by their time-out, everything else fails. */
function throughNetwork(catalog: DriverCatalog, isCut: (region: string) => boolean): DriverCatalog {
  const cut = (region: string) => fail('SYSTEM_UNREACHABLE', { message: `there is no way to ${region}`, details: { cause: 'timeout' } });
  const guardVerb = (verb: Verb, region: string): Verb => ({
    ...verb,
    inspect: async (want, context) => {
      if (isCut(region)) throw cut(region);
      return verb.inspect(want, context);
    },
    apply: async (want, context) => {
      if (isCut(region)) throw cut(region);
      return verb.apply(want, context);
    },
  });
  const guardSite = (site: Site, context: SiteContext<unknown, unknown>): Site => {
    const { region, host } = context;
    const guard =
      <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        if (isCut(region)) throw cut(region);
        return call(...args);
      };
    return {
      ...site,
      verbs: Object.fromEntries(Object.entries(site.verbs).map(([name, verb]) => [name, guardVerb(verb, region)])),
      observe: async (signal) => {
        if (!isCut(region)) return site.observe(signal);
        await host.clock.sleep(86_400_000, signal).catch(() => undefined);
        return { health: 'unknown', evidence: { kind: 'timeout', detail: 'silence' } };
      },
      ...(site.subscribe
        ? {
            subscribe: (listener) => (site.subscribe as NonNullable<Site['subscribe']>)((evidence) => !isCut(region) && listener(evidence)),
          }
        : {}),
      ...(site.canary ? { canary: { read: guard(site.canary.read), write: guard(site.canary.write) } } : {}),
    };
  };
  return new Map([...catalog].map(([name, driver]) => [name, { ...driver, open: (context) => guardSite(driver.open(context), context) }]));
}

/** Calls of a dead process never come back. */
function mortal(store: StateStore, isDead: () => boolean): StateStore {
  const guard =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      isDead() ? new Promise<R>(() => {}) : call(...args);
  return {
    get: guard((key) => store.get(key)),
    range: guard((prefix, options) => store.range(prefix, options)),
    commit: guard((changes) => store.commit(changes)),
    watch: (prefix, listener, options) => store.watch(prefix, (event) => !isDead() && listener(event), options),
    acquireLease: guard((name, holder, ttlMs) => store.acquireLease(name, holder, ttlMs)),
    renewLease: guard((lease) => store.renewLease(lease)),
    releaseLease: guard((lease) => store.releaseLease(lease)),
    readLease: guard((name) => store.readLease(name)),
    close: () => store.close(),
  };
}
