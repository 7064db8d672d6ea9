/**
 * The guard as a process of its own: a socket through which one controller at a time arms it, and the hands to fence with.
 *
 * Invariant: it ends by itself only while nothing depends on it: never armed, dismissed, after a fence, or where the fence fails and its own directory was taken away. A controller that goes away, in whatever way, changes nothing about the deadline;
 * another one that comes takes its place. What it needs to fence it holds in memory before it is armed for the first time.
 * When this process dies the controller hears of it by the end of the connection.
 */
import { assert } from '../../base/assert.ts';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { DriverCatalog, Site } from '../../contracts/driver.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Host, Listener, TcpConnection } from '../../host/host.ts';
import type { OpenHands } from '../open-sites.ts';
import { Guard } from './guard.ts';
import {
  clockName,
  decodeSetup,
  type GuardedComponent,
  type GuardHello,
  type GuardRequest,
  type GuardSetup,
  onLines,
  sendLine,
} from './guard-messages.ts';
import { type FencedSite, RegionFencer } from './region-fencer.ts';

/** A controller that started it and never came has died. */
const aloneMaxMs = 15_000;

export interface GuardProgramParts {
  readonly host: Host;
  readonly catalog: DriverCatalog;
  readonly openHands: OpenHands;
  readonly socketPath: string;
  readonly pid: number;
}

interface Opened {
  readonly setup: GuardSetup;
  readonly fencer: RegionFencer;
  readonly covered: readonly string[];
  close(): Promise<void>;
}

export class GuardProgram {
  readonly #parts: GuardProgramParts;
  readonly #guard: Guard;
  readonly #over = Promise.withResolvers<void>();
  #listener: Listener | undefined;
  #feeder: TcpConnection | undefined;
  #opened: Opened | undefined;
  #isDismissed = false;
  #cancelAlone = () => {};

  constructor(parts: GuardProgramParts) {
    this.#parts = parts;
    const { clock, log } = parts.host;
    this.#guard = new Guard({
      clock,
      log,
      fence: async () => {
        assert(this.#opened, 'a guard that is armed knows its sites');
        try {
          return await this.#opened.fencer.fence(this.#opened.covered);
        } catch (thrown) {
          await this.#endWhereTakenDown();
          throw thrown;
        }
      },
      onFenced: () => this.#endIfUseless(),
    });
  }

  /** Resolves when nothing depends on it any more. */
  async run(): Promise<void> {
    const { host, socketPath, pid } = this.#parts;
    const { listenUnix } = host.net;
    if (listenUnix === undefined) throw fail('PLAN_IMPOSSIBLE', { message: 'this system has no sockets in the file system' });
    this.#listener = await listenUnix({ path: socketPath, onConnection: (connection) => this.#take(connection) });
    await host.files.writeAtomically(`${socketPath}.pid`, JSON.stringify({ pid, self: host.processes.self ?? '' }), { mode: 0o600 });
    this.#waitForFeeder();
    await this.#over.promise;
    await this.#listener.close();
    await this.#opened?.close();
  }

  /** Asked to end by the system. One that is armed stays: what asked for it may be what takes the controller down as well. */
  askToEnd(): void {
    if (this.#guard.state !== 'armed' && this.#guard.state !== 'fencing') this.#over.resolve();
  }

  #waitForFeeder(): void {
    this.#cancelAlone();
    this.#cancelAlone = this.#parts.host.clock.after(aloneMaxMs, () => this.#endIfUseless());
  }

  /** A fence that can't be proven is tried for ever; but not where somebody has taken the controller and its directory away, and with them, as a test does, what was to be fenced. */
  async #endWhereTakenDown(): Promise<void> {
    const { host, socketPath } = this.#parts;
    if (this.#feeder !== undefined || (await host.files.exists(socketPath))) return;
    host.log.error('guard.taken-down', {
      message: 'the directory of the controller is gone, and the fence can not be proven: this guard ends',
    });
    this.#over.resolve();
  }

  #endIfUseless(): void {
    const { state } = this.#guard;
    if (this.#feeder === undefined && state !== 'armed' && state !== 'fencing') this.#over.resolve();
  }

  #take(connection: TcpConnection): void {
    if (this.#feeder) {
      sendLine(this.#feeder, { kind: 'replaced' });
      this.#feeder.close();
    }
    this.#cancelAlone();
    this.#feeder = connection;
    const { state, token, holder } = this.#guard;
    const hello: GuardHello = { kind: 'hello', pid: this.#parts.pid, state, token, holder };
    sendLine(connection, hello);
    // In order, and no arming before the sites are open.
    let turn = Promise.resolve();
    onLines(connection, (line) => {
      turn = turn.then(() => this.#answer(connection, line));
    });
    connection.onClose(() => {
      if (this.#feeder !== connection) return;
      this.#feeder = undefined;
      this.#parts.host.log.info('guard.alone', { state: this.#guard.state });
      if (this.#isDismissed) this.#endIfUseless();
      else this.#waitForFeeder();
    });
  }

  async #answer(connection: TcpConnection, line: JsonObject): Promise<void> {
    const id = line.id as Json;
    try {
      // A controller that was replaced may still have sent something.
      if (this.#feeder !== connection) throw fail('GUARD_LOST', { message: 'another controller has this guard' });
      const result = await this.#do(line as unknown as GuardRequest);
      sendLine(connection, { id, ok: true, ...result });
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      sendLine(connection, { id, ok: false, code: error.code, message: error.message });
    }
  }

  async #do(request: GuardRequest): Promise<JsonObject> {
    const guard = this.#guard;
    if (request.kind === 'configure') return await this.#configure(request.clock, request.setup);
    if (request.kind === 'dismiss') {
      guard.dismiss();
      this.#isDismissed = true;
      return {};
    }
    if (this.#opened === undefined) throw fail('GUARD_LOST', { message: 'this guard knows no sites yet' });
    if (request.kind === 'fence') return { report: await guard.fenceNow(request.why) };
    if (request.kind === 'arm') {
      this.#isDismissed = false;
      guard.arm(request.token, request.holder, request.deadlineMs);
      return {};
    }
    throw fail('BUG_BROKEN_BELIEF', { message: 'a guard was asked for something that it does not know' });
  }

  /** The new sites take the place of the old ones only once they were tried: until then the old ones are fenced. */
  async #configure(clock: string, json: Json): Promise<JsonObject> {
    const { host } = this.#parts;
    if (clock !== clockName(host.clock)) throw fail('GUARD_LOST', { message: 'the controller reads another clock than its guard' });
    const setup = decodeSetup(json);
    const before = this.#opened;
    if (before && (before.setup.platform !== setup.platform || before.setup.region !== setup.region))
      throw fail('GUARD_LOST', { message: `this guard belongs to ${before.setup.region} of ${before.setup.platform}` });
    const opened = openFencer(setup, this.#parts);
    const trial = await opened.fencer.tryHands();
    this.#opened = { ...opened, covered: trial.covered };
    await before?.close();
    return { trial };
  }
}

function openFencer(setup: GuardSetup, { catalog, host, openHands }: GuardProgramParts): Omit<Opened, 'covered'> {
  const hands: Hands[] = [];
  const sites = setup.components.map((component): FencedSite => {
    const own = component.hands && openHands(component.hands);
    if (own) hands.push(own);
    return {
      component: component.name,
      site: openSite(component, setup, own, catalog, host),
      hands: component.hands === undefined ? 'none' : component.hands.kind === 'local' ? 'local' : 'remote',
    };
  });
  return {
    setup,
    fencer: new RegionFencer({ region: setup.region, sites, clock: host.clock, log: host.log }),
    close: async () => {
      await Promise.all(sites.map(({ site }) => site.close()));
      await Promise.all(hands.map((each) => each.close()));
    },
  };
}

function openSite(component: GuardedComponent, setup: GuardSetup, hands: Hands | undefined, catalog: DriverCatalog, host: Host): Site {
  const driver = catalog.get(component.driver);
  if (!driver) throw fail('SPEC_INVALID', { subject: component.name, message: `there is no driver "${component.driver}"` });
  return driver.open({
    host,
    platform: setup.platform,
    component: component.name,
    region: setup.region,
    options: component.options,
    site: component.sites[setup.region],
    sites: new Map(Object.entries(component.sites)),
    replication: component.replication,
    hands,
    probeTimeoutMs: setup.probeTimeoutMs,
  });
}
