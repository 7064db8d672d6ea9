/**
 * A simulated world of Redis servers behind the driver's client port, with hands for their hosts: what the simulator and the conformance suite run the driver on. It may be
 * trusted as far as the same suite passes on real servers.
 *
 * Deterministic: no timers but those for time-outs, on the clock that is given; no chance.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsResult } from '../../contracts/hands.ts';
import type { Clock } from '../../host/host.ts';
import { FakeRedisError, FakeRedisServer, type FakeServerOptions, type FakeSurroundings } from './fake-server.ts';
import { addressOf, type RedisConnection, type RedisPort, type RedisTarget, type Reply, type SendOptions, type Word } from './port.ts';
import { errorOfReply } from './reply-errors.ts';

export { FakeRedisServer } from './fake-server.ts';

export class FakeRedisWorld implements FakeSurroundings {
  readonly clock: Clock;
  /** Files of all hosts; paths must differ. */
  readonly files = new Map<string, string>();
  readonly #servers: FakeRedisServer[] = [];
  readonly #connections = new Set<FakeConnection>();
  readonly #silenced = new Set<FakeRedisServer>();
  readonly #cuts = new Map<string, number>();
  #replids = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  addServer(options: FakeServerOptions): FakeRedisServer {
    const server = new FakeRedisServer(this, options);
    this.#servers.push(server);
    this.settle();
    return server;
  }

  /** The client port, from where all servers can be reached. */
  port(): RedisPort {
    return { connect: (target, options) => this.#connect(target, options) };
  }

  /** Hands on the host of a server; `start` and `stop` are the commands that the spec gives for it. */
  hands(server: FakeRedisServer, commands: { readonly start: readonly string[]; readonly stop: readonly string[] }): Hands {
    return {
      name: `simulated host of ${addressOf(server)}`,
      check: async () => {},
      close: async () => {},
      run: async (command) => runByHands(this, server, commands, command),
    };
  }

  /** Two servers no longer hear each other; both go on. */
  cut(one: FakeRedisServer, other: FakeRedisServer): void {
    this.#cuts.set(pairName(one, other), this.clock.nowMs());
  }

  mend(one: FakeRedisServer, other: FakeRedisServer): void {
    this.#cuts.delete(pairName(one, other));
    for (const [master, replica] of [
      [one, other],
      [other, one],
    ] as const)
      if (master.links.has(replica)) replica.receive(master);
    this.settle();
  }

  /** Clients behind the port get no answers from it any more, while it runs on and hears its replicas. */
  silence(server: FakeRedisServer): void {
    this.#silenced.add(server);
  }

  answers(server: FakeRedisServer): boolean {
    return server.state === 'running' && !this.#silenced.has(server);
  }

  areConnected(one: FakeRedisServer, other: FakeRedisServer): boolean {
    return !this.#cuts.has(pairName(one, other));
  }

  cutSinceMs(one: FakeRedisServer, other: FakeRedisServer): number | undefined {
    return this.#cuts.get(pairName(one, other));
  }

  /** Replicas without a link try their upstream again. */
  settle(): void {
    for (const server of this.#servers) {
      const { upstream } = server;
      if (server.state !== 'running' || !upstream || upstream.link) continue;
      const found = this.#at(upstream.host, upstream.port);
      if (found?.state === 'running' && this.areConnected(server, found)) server.connectUpstream(found);
    }
  }

  makeReplid(): string {
    this.#replids += 1;
    return this.#replids.toString(16).padStart(8, '0').padEnd(40, 'a');
  }

  closeConnections(server: FakeRedisServer): void {
    for (const connection of [...this.#connections]) if (connection.server === server) connection.broke();
  }

  answerWaiting(server: FakeRedisServer): void {
    for (const connection of [...this.#connections]) if (connection.server === server) connection.answerWaiting();
  }

  forget(connection: FakeConnection): void {
    this.#connections.delete(connection);
  }

  #at(host: string, port: number): FakeRedisServer | undefined {
    return this.#servers.find((server) => server.host === host && server.port === port);
  }

  async #connect(target: RedisTarget, options: SendOptions): Promise<RedisConnection> {
    const server = this.#at(target.host, target.port);
    if (!server || server.state === 'stopped')
      throw fail('SYSTEM_UNREACHABLE', { message: `connection refused by ${addressOf(target)}`, details: { cause: 'refused' } });
    const connection = new FakeConnection(this, server, target);
    this.#connections.add(connection);
    const needed = server.settings.get('requirepass') ?? '';
    if (target.password === undefined && needed === '') return connection;
    try {
      await connection.login(target, needed, options);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }
}

function pairName(one: FakeRedisServer, other: FakeRedisServer): string {
  return [addressOf(one), addressOf(other)].sort().join(' ');
}

interface Waiting {
  readonly answer: () => void;
  readonly breakOff: () => void;
}

class FakeConnection implements RedisConnection {
  readonly server: FakeRedisServer;
  readonly #world: FakeRedisWorld;
  readonly #target: RedisTarget;
  readonly #listeners: (() => void)[] = [];
  readonly #selected = { database: 0 };
  readonly #waiting = new Set<Waiting>();
  isOpen = true;

  constructor(world: FakeRedisWorld, server: FakeRedisServer, target: RedisTarget) {
    this.#world = world;
    this.server = server;
    this.#target = target;
  }

  onClose(listener: () => void): void {
    if (this.isOpen) this.#listeners.push(listener);
    else listener();
  }

  close(): void {
    this.broke();
  }

  broke(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#world.forget(this);
    for (const waiting of [...this.#waiting]) waiting.breakOff();
    for (const listener of this.#listeners.splice(0)) listener();
  }

  answerWaiting(): void {
    for (const waiting of [...this.#waiting]) waiting.answer();
  }

  async login(target: RedisTarget, needed: string, options: SendOptions): Promise<void> {
    await this.#whenAnswered(options, () => {
      if (needed !== '' && target.password?.reveal() !== needed)
        throw errorOfReply(
          target.password ? 'WRONGPASS invalid username-password pair or user is disabled.' : 'NOAUTH Authentication required.',
          'AUTH',
        );
      if (needed === '' && target.password)
        throw errorOfReply('ERR AUTH <password> called without any password configured for the default user.', 'AUTH');
    });
  }

  send(commands: readonly (readonly Word[])[], options: SendOptions): Promise<readonly (Reply | HoldfastError)[]> {
    return this.#whenAnswered(options, () =>
      commands.map((words) => {
        this.#world.settle();
        try {
          const reply = this.server.execute(words, this.#selected);
          return options.binary ? toBytes(reply) : reply;
        } catch (error) {
          if (error instanceof FakeRedisError) return errorOfReply(error.message, String(words[0]));
          throw error;
        }
      }),
    );
  }

  #whenAnswered<T>(options: SendOptions, answer: () => T): Promise<T> {
    if (!this.isOpen) return Promise.reject(this.#closed());
    if (this.#world.answers(this.server)) return Promise.resolve().then(answer);
    return new Promise<T>((resolve, reject) => {
      const end = (what: () => void) => {
        cancel();
        options.signal?.removeEventListener('abort', giveUp);
        this.#waiting.delete(waiting);
        what();
      };
      const giveUp = () =>
        end(() => {
          reject(
            fail('SYSTEM_OUTCOME_UNKNOWN', { message: `no answer from ${addressOf(this.#target)} in time`, details: { cause: 'timeout' } }),
          );
          this.close();
        });
      const waiting: Waiting = {
        answer: () => end(() => void Promise.resolve().then(answer).then(resolve, reject)),
        breakOff: () => end(() => reject(this.#closed())),
      };
      const cancel = this.#world.clock.after(options.timeoutMs, giveUp);
      this.#waiting.add(waiting);
      if (options.signal?.aborted) giveUp();
      else options.signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  #closed(): HoldfastError {
    return fail('SYSTEM_OUTCOME_UNKNOWN', { message: `${addressOf(this.#target)} closed the connection`, details: { cause: 'reset' } });
  }
}

function toBytes(reply: Reply): Reply {
  if (typeof reply === 'string') return Buffer.from(reply);
  return Array.isArray(reply) ? reply.map(toBytes) : reply;
}

const done: HandsResult = { exitCode: 0, stdout: '', stderr: '' };

function runByHands(
  world: FakeRedisWorld,
  server: FakeRedisServer,
  commands: { readonly start: readonly string[]; readonly stop: readonly string[] },
  command: HandsCommand,
): HandsResult {
  const line = [command.program, ...command.args].join(' ');
  if (line === commands.start.join(' ')) {
    server.start();
    return done;
  }
  if (line === commands.stop.join(' ')) {
    server.kill();
    return done;
  }
  const program = programs[command.program];
  if (!program) throw fail('HANDS_NO_PROGRAM', { message: `${command.program} is not installed on the simulated host` });
  return program(world, server, command);
}

type Program = (world: FakeRedisWorld, server: FakeRedisServer, command: HandsCommand) => HandsResult;

const missing = (path: string): HandsResult => ({ exitCode: 1, stdout: '', stderr: `${path}: No such file or directory` });

const copy: Program = ({ files }, _server, { program, args }) => {
  const [from = '', to = ''] = args.slice(-2);
  const text = files.get(from);
  if (text === undefined) return missing(from);
  files.set(to, text);
  if (program === 'mv') files.delete(from);
  return done;
};

const programs: Readonly<Record<string, Program>> = {
  cat: ({ files }, _server, { args: [path = ''] }) => {
    const text = files.get(path);
    return text === undefined ? missing(path) : { ...done, stdout: text };
  },
  cp: copy,
  mv: copy,
  dd: ({ files }, _server, { args, stdin }) => {
    const path = args.find((arg) => arg.startsWith('of='))?.slice(3) ?? '';
    files.set(path, typeof stdin === 'string' ? stdin : Buffer.from(stdin ?? []).toString());
    return done;
  },
  mkdir: () => done,
  'redis-check-rdb': ({ files }, _server, { args: [path = ''] }) => (files.has(path) ? done : missing(path)),
  'redis-cli': ({ files }, server, { args }) => {
    if (server.state === 'stopped')
      return { exitCode: 1, stdout: '', stderr: `Could not connect to Redis at ${addressOf(server)}: Connection refused` };
    if (server.state === 'hung') throw fail('TIMED_OUT', { message: 'redis-cli got no answer' });
    const rdb = args.indexOf('--rdb');
    if (rdb < 0) return { ...done, stdout: 'PONG\n' };
    files.set(args[rdb + 1] ?? '', JSON.stringify([...server.data].map(([database, keys]) => [database, Object.fromEntries(keys)])));
    return done;
  },
};
