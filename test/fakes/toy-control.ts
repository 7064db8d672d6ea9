/** Controllers on a toy platform, with a virtual clock and a state in memory that outlives each of them. */
import { z } from 'zod';
import type { AnyDriverBackups } from '../../src/contracts/backup.ts';
import type { DriverCatalog } from '../../src/contracts/driver.ts';
import type { RepositoryBackend, RepositoryCatalog } from '../../src/contracts/repository-backend.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { RepositoryOpener } from '../../src/control/backups/repository-opener.ts';
import { Control } from '../../src/control/control.ts';
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

  async control(parts: { store?: StateStore; host?: Host; publish?: boolean } = {}): Promise<Control> {
    this.#count += 1;
    const { catalog, repositories } = this;
    const host = parts.host ?? this.host;
    const spec = await loadSpec(['toy.yaml'], { catalog, repositories, host: this.host });
    const opener = new RepositoryOpener({ catalog: repositories, host, platform: spec.name });
    return Control.open({
      spec,
      catalog,
      host,
      store: parts.store ?? this.state.open(),
      openHands: () => {
        throw new Error('the toy platform has no hands');
      },
      controller: `serve-${this.#count}`,
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
    parts: { wrap?: (store: StateStore) => StateStore; host?: Host; onEvent?: ServeListeners['onEvent'] } = {},
  ): Promise<ToyController> {
    const ending = new AbortController();
    let dead = false;
    let stopped = false;
    const plain = this.state.open();
    const store = mortal(parts.wrap ? parts.wrap(plain) : plain, () => dead);
    const control = await this.control({ store, ...(parts.host ? { host: parts.host } : {}) });
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
