/**
 * Simulated servers behind the driver's two doors, for the simulator and for the suite that also runs on real ones. Nothing takes time of its own: waits are by the
 * host's clock alone, so a run on a simulated clock is the same each time.
 */
import { fail } from '../../base/errors.ts';
import type { Evidence } from '../../contracts/observation.ts';
import type { Host } from '../../host/host.ts';
import { clientError } from './client-errors.ts';
import type { Surroundings } from './driver.ts';
import { conninfo, type Entry, type FakeServer, lsnAfter } from './fake-server.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import { addressOf } from './options.ts';
import type { Address, Connection, Limit, Machine, SalvageRequest, SalvageResult, Upstream } from './ports.ts';
import { parseStandbyNames } from './synchronous.ts';

export class FakePostgresql {
  readonly servers: FakeServer[] = [];
  /** What hands have written on the simulated hosts. */
  readonly files = new Map<string, string>();
  /** Whether two servers hear each other; whoever changes the answer calls `flow`. */
  areConnected: (one: FakeServer, other: FakeServer) => boolean = () => true;
  readonly #host: Host;
  readonly #waiting = new Set<() => void>();

  constructor(host: Host) {
    this.#host = host;
  }

  readonly surroundings: Surroundings = {
    connect: () => (address, limit) => this.#connect(address, limit),
    machine: (_hands, site) => {
      const { host, port } = addressOf(site);
      return fakeMachine(this, this.at(host, port));
    },
  };

  add(server: FakeServer): FakeServer {
    this.servers.push(server);
    this.flow();
    return server;
  }

  at(host: string, port: number): FakeServer {
    const server = this.servers.find((each) => each.host === host && each.port === port);
    if (!server) throw fail('BUG_BROKEN_BELIEF', { message: `no simulated server at ${host}:${port}` });
    return server;
  }

  followersOf(server: FakeServer): FakeServer[] {
    return this.servers.filter((each) => each.upstream === server);
  }

  /** Lets the log run to whoever can receive it, and wakes the writes that waited for that. To be called after every change. */
  flow(): void {
    for (const standby of this.servers) {
      if (standby.hung) continue;
      const upstream = standby.answers && standby.inRecovery ? this.#upstreamOf(standby) : undefined;
      standby.upstream = upstream;
      if (!upstream) continue;
      for (let place = standby.log.length; place < upstream.log.length; place += 1) standby.log.push(upstream.log[place] as Entry);
      standby.timeline = upstream.timeline;
    }
    for (const wake of [...this.#waiting]) wake();
  }

  #upstreamOf(standby: FakeServer): FakeServer | undefined {
    const match = /host='?([^' ]+)'? port='?(\d+)/.exec(standby.settings.primary_conninfo);
    const upstream = this.servers.find((each) => each.host === match?.[1] && each.port === Number(match?.[2]));
    if (!upstream?.answers || upstream.inRecovery || !this.areConnected(standby, upstream)) return undefined;
    return standby.isPrefixOf(upstream) ? upstream : undefined;
  }

  /** A commit: in the log at once, acknowledged when the standbys that it waits for have it. */
  async commit(server: FakeServer, entry: Entry, limit: Limit): Promise<void> {
    if (server.inRecovery || server.settings.default_transaction_read_only === 'on') {
      throw clientError(
        { code: '25006', message: 'cannot execute INSERT in a read-only transaction' },
        `${server.host}:${server.port}`,
        true,
      );
    }
    server.log.push(entry);
    this.flow();
    const acknowledged = () => {
      const { needed } = parseStandbyNames(server.settings.synchronous_standby_names);
      const having = this.followersOf(server).filter((each) => server.syncStateOf(each) === 'quorum' && each.log.lastIndexOf(entry) >= 0);
      return having.length >= needed;
    };
    // The answer goes to a session, and the session ends with the server's processes.
    const broken = new AbortController();
    const forget = server.onBreak(() => broken.abort());
    try {
      await this.wait({ ...limit, signal: AbortSignal.any([limit.signal, broken.signal]) }, acknowledged, true);
    } finally {
      forget();
    }
  }

  /** Until the condition holds; TIMED_OUT (or an unknown outcome) at the limit. */
  wait(limit: Limit, condition: () => boolean, changes: boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = (end: () => void) => {
        this.#waiting.delete(wake);
        cancelTimer();
        limit.signal.removeEventListener('abort', giveUp);
        end();
      };
      const wake = () => {
        if (condition()) stop(resolve);
      };
      const giveUp = () =>
        stop(() =>
          reject(
            fail(changes ? 'SYSTEM_OUTCOME_UNKNOWN' : 'TIMED_OUT', {
              message: 'the simulated server did not answer',
              details: { evidence: 'timeout' },
            }),
          ),
        );
      this.#waiting.add(wake);
      const cancelTimer = this.#host.clock.after(limit.timeoutMs, giveUp);
      if (limit.signal.aborted) giveUp();
      else limit.signal.addEventListener('abort', giveUp);
    });
  }

  async #connect(address: Address, limit: Limit): Promise<Connection> {
    const server = this.at(address.host, address.port);
    const where = `${address.host}:${address.port}`;
    if (!server.running) throw clientError({ code: 'ECONNREFUSED' }, where);
    await this.wait(limit, () => !server.hung, false);
    if (!server.running) throw clientError({ code: 'ECONNRESET' }, where);
    if (address.password?.reveal() !== server.password)
      throw clientError({ code: '28P01', message: 'password authentication failed' }, where);
    return fakeConnection(this, server);
  }
}

function fakeConnection(world: FakePostgresql, server: FakeServer): Connection {
  const where = `${server.host}:${server.port}`;
  const listeners: ((evidence: Evidence) => void)[] = [];
  let lost = false;
  const forget = server.onBreak(() => {
    lost = true;
    for (const listener of listeners.splice(0)) listener({ kind: 'connection-lost', detail: `${where} closed the connection` });
  });
  const close = () => {
    lost = true;
    forget();
  };
  /** Every exchange: nothing comes back from a server that hangs or has gone. */
  const ask = async <T>(limit: Limit, answer: () => T | Promise<T>, changes = false): Promise<T> => {
    if (lost) throw clientError({ code: 'ECONNRESET', message: 'the connection is gone' }, where);
    try {
      await world.wait(limit, () => lost || !server.hung, changes);
    } catch (error) {
      close();
      throw error;
    }
    if (lost) throw clientError({ code: 'ECONNRESET', message: 'the connection is gone' }, where, changes);
    return answer();
  };
  const commit = (entry: Entry, limit: Limit) => ask(limit, () => world.commit(server, entry, limit), true);
  return {
    get lost() {
      return lost;
    },
    onLost: (listener) => void listeners.push(listener),
    readStatus: (limit) => ask(limit, () => server.status(world.followersOf(server))),
    isInRecovery: (limit) => ask(limit, () => server.inRecovery),
    writeCanary: (component, row, limit) => commit({ kind: 'canary', component, row }, limit),
    readCanary: (component, limit) => ask(limit, () => server.canary(component)),
    async writeEpoch(component, row, _atMs, limit) {
      const known = server.epoch(component);
      if (known && known.epoch > row.epoch) return known;
      await commit({ kind: 'epoch', component, row }, limit);
      return row;
    },
    readEpoch: (component, limit) => ask(limit, () => server.epoch(component)),
    changeSettings: (settings, limit) =>
      ask(limit, () => {
        for (const [name, value] of Object.entries(settings)) {
          server.settings = { ...server.settings, [name]: value ?? (name === 'default_transaction_read_only' ? 'off' : '') };
        }
        world.flow();
      }),
    reload: (limit) => ask(limit, () => undefined),
    signalPromotion: (limit) =>
      ask(limit, () => {
        if (!server.inRecovery) throw clientError({ code: '55000', message: 'recovery is not in progress' }, where);
        server.promote();
        world.flow();
      }),
    terminateClients: (limit) => ask(limit, () => 0),
    ensureSlot: (name, limit) => ask(limit, () => void server.slots.add(name)),
    dropSlots: (names, limit) =>
      ask(limit, () => {
        for (const name of names) server.slots.delete(name);
      }),
    checkpoint: (limit) => ask(limit, () => undefined),
    readTimelineHistory: (_timeline, limit) => ask(limit, () => server.historyText()),
    close,
  };
}

function fakeMachine(world: FakePostgresql, server: FakeServer): Machine {
  const copyFrom = (upstream: Upstream) => {
    const source = world.at(upstream.address.host, upstream.address.port);
    if (!source.answers || !world.areConnected(server, source))
      throw fail('COMMAND_FAILED', { message: `connection to ${source.host}:${source.port} failed` });
    return source;
  };
  const requireBar = (word: string) => {
    if ((server.barred ? server.barWord : '') !== word) throw fail('SYSTEM_REFUSED', { message: 'the bar was put anew by somebody else' });
  };
  const become = (log: readonly Entry[], timeline: number) => {
    server.log = [...log];
    server.timeline = timeline;
    server.barred = true;
    server.barWord = '';
    server.inRecovery = true;
    server.state = 'shut down in recovery';
  };
  return {
    readState: async () => server.clusterState(),
    async bar(word) {
      if (word === '') server.barWord = '';
      else if (!server.barred || server.barWord !== '') server.barWord = word;
      server.barred = true;
    },
    async changeBar(former, word) {
      requireBar(former);
      server.barWord = word;
    },
    async unbar(word) {
      if (server.running) throw fail('COMMAND_FAILED', { message: 'the server still runs' });
      requireBar(word);
      server.barred = false;
      server.inRecovery = false;
    },
    async stop(how) {
      if (how === 'orderly' && server.hung) throw fail('COMMAND_FAILED', { message: 'pg_ctl: server does not shut down' });
      if (!server.running) return;
      if (how === 'orderly') {
        server.writeShutdown();
        world.flow();
        server.endOrderly();
      } else server.kill();
      world.flow();
    },
    async start() {
      server.start();
      world.flow();
    },
    async configureStandby(upstream) {
      server.barred = true;
      server.barWord = '';
      server.settings = {
        default_transaction_read_only: 'off',
        synchronous_standby_names: '',
        primary_conninfo: conninfo(upstream.address, upstream.member),
        primary_slot_name: upstream.slot ?? '',
      };
    },
    async recover() {
      become(server.log, server.timeline);
    },
    async rewind(upstream, history) {
      const source = copyFrom(upstream);
      become(server.log.slice(0, server.commonLength(source)), server.timeline);
      server.rewoundOnto = history;
    },
    async copyAnew(upstream) {
      const source = copyFrom(upstream);
      become(source.log, source.timeline);
      server.rewoundOnto = undefined;
      return `/fake/${server.port}.holdfast-former`;
    },
    keepLog: async (_timeline, _from, into) => into,
    salvage: async (request) => salvageFrom(world, server, request),
    readSalvageReport: async (into) => world.files.get(`${into}/report.json`),
    async writeSalvageReport(into, text) {
      world.files.set(`${into}/report.json`, text);
    },
  };
}

function salvageFrom(world: FakePostgresql, server: FakeServer, request: SalvageRequest): SalvageResult {
  const fork = parseLsn(request.forkLsn);
  const own = server.log.filter((_, index) => lsnAfter(index) >= fork);
  const lines = own.flatMap((entry) =>
    entry.kind === 'record' ? [`${JSON.stringify({ table: 'public.records', row: { record: entry.record } })}\n`] : [],
  );
  const file = `${request.into}/writes.jsonl`;
  if (own.length > 0) world.files.set(file, lines.join(''));
  return {
    diverged: own.length > 0,
    endLsn: formatLsn(server.end),
    transactions: own.length,
    writes: lines.length,
    updates: 0,
    deletes: 0,
    files: own.length > 0 ? [file] : [],
    notes: [],
  };
}
