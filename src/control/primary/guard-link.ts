/**
 * The controller's side of its guard: starts it where there is none, takes over the one that an earlier controller of this machine left, and arms it.
 *
 * Invariant: no answer of the guard is assumed: an arming counts once it was acknowledged. A guard that does not say its hello is frozen or gone, and is ended before another one is
 * started, so that never two stand beside one region. When this process dies the guard goes on by itself.
 */
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Host, TcpConnection } from '../../host/host.ts';
import {
  clockName,
  encodeSetup,
  type FenceReport,
  type GuardHello,
  type GuardRequest,
  type GuardSetup,
  type GuardTrial,
  onLines,
  sendLine,
} from './guard-messages.ts';

const helloTimeoutMs = 1_000;
const startTimeoutMs = 15_000;
const startPollMs = 20;

/** `replaced`: another controller of this region has taken it over. */
export type GuardEnd = 'gone' | 'replaced';

/** What the keeper of a lease needs of its guard. */
export interface GuardLink {
  /** As it was found: what an earlier controller left. */
  readonly found: Pick<GuardHello, 'state' | 'token' | 'holder'>;
  readonly trial: GuardTrial;
  /** Set once it can't be talked to any more. */
  readonly end: GuardEnd | undefined;
  onEnd(listener: (end: GuardEnd) => void): void;
  /** Resolves once the guard has taken it. GUARD_TOO_LATE, GUARD_LOST. */
  arm(token: number, holder: string, deadlineMs: number): Promise<void>;
  /** Resolves once everything that is covered is fenced. */
  fence(why: string): Promise<FenceReport>;
  /** The orderly farewell. */
  dismiss(): Promise<void>;
  /** Leaves it to itself. */
  close(): void;
}

export type OpenGuard = (setup: GuardSetup) => Promise<GuardLink>;

export interface GuardPlace {
  readonly host: Host;
  /** The program and its first arguments. */
  readonly command: readonly string[];
  readonly directory: string;
  readonly answerTimeoutMs: number;
  /** It opens the sites and tries the hands. */
  readonly configureTimeoutMs: number;
}

/** A path of a socket has at most 107 bytes. */
const socketOf = (directory: string, region: string) => `${directory}/guard-${region}.sock`;

export async function openGuard(place: GuardPlace, setup: GuardSetup): Promise<GuardLink> {
  const { host, directory } = place;
  const path = socketOf(directory, setup.region);
  let connected = await connect(host, path);
  if (connected === undefined) {
    await endFrozen(host, path);
    await start(place, path, setup.region);
    connected = await connectUntilThere(host, path);
  }
  const { connection, hello } = connected;
  const link = new SocketLink(connection, hello, host, place.answerTimeoutMs);
  try {
    const clock = clockName(host.clock);
    const answer = await link.ask({ kind: 'configure', clock, setup: encodeSetup(setup) }, place.configureTimeoutMs);
    link.trial = answer.trial as GuardTrial;
    return link;
  } catch (thrown) {
    link.close();
    throw thrown;
  }
}

interface Connected {
  readonly connection: TcpConnection;
  readonly hello: GuardHello;
}

/** Undefined where nobody answers, or not in time. */
async function connect(host: Host, path: string): Promise<Connected | undefined> {
  let connection: TcpConnection;
  try {
    connection = await host.net.connectUnix({ path, timeoutMs: helloTimeoutMs });
  } catch (thrown) {
    if (asHoldfastError(thrown).kind === 'bug') throw thrown;
    return undefined;
  }
  const { promise, resolve } = Promise.withResolvers<Connected | undefined>();
  const cancel = host.clock.after(helloTimeoutMs, () => resolve(undefined));
  connection.onClose(() => resolve(undefined));
  onLines(connection, (line) => {
    if (line.kind === 'hello') resolve({ connection, hello: line as GuardHello });
    else lineListeners.get(connection)?.(line);
  });
  const connected = await promise;
  cancel();
  if (connected === undefined) connection.close();
  return connected;
}

/** Lines of a connection are read by one reader from its first byte on; who they are for is known only after the hello. */
const lineListeners = new WeakMap<TcpConnection, (line: JsonObject) => void>();

async function connectUntilThere(host: Host, path: string): Promise<Connected> {
  const untilMs = host.clock.monotonicMs() + startTimeoutMs;
  for (;;) {
    const connected = await connect(host, path);
    if (connected) return connected;
    if (host.clock.monotonicMs() > untilMs)
      throw fail('GUARD_LOST', { message: `a guard was started and does not answer on ${path}`, subject: path });
    await host.clock.sleep(startPollMs);
  }
}

/** Only the very process that said to be the guard there, never another one that was given its number since. */
async function endFrozen(host: Host, path: string): Promise<void> {
  const file = `${path}.pid`;
  if (!(await host.files.exists(file))) return;
  const { pid, self } = JSON.parse(await host.files.readText(file)) as { pid: number; self: string };
  if (self === '' || host.processes.isGone === undefined || host.processes.isGone(self)) return;
  host.log.warn('guard.frozen', { pid });
  await host.processes.run({ program: 'kill', args: ['-KILL', String(pid)], timeoutMs: 5_000 });
  const untilMs = host.clock.monotonicMs() + startTimeoutMs;
  while (!host.processes.isGone(self)) {
    if (host.clock.monotonicMs() > untilMs) throw fail('GUARD_LOST', { message: `the guard ${pid} does not end`, subject: path });
    await host.clock.sleep(startPollMs);
  }
}

/** In a session of its own, with no stream of ours, and spared where memory runs out, so that nothing that befalls us befalls it. */
const startScript = 'echo -900 2>/dev/null >/proc/self/oom_score_adj; "$@" </dev/null >/dev/null 2>&1 &';

async function start({ host, command, directory }: GuardPlace, path: string, region: string): Promise<void> {
  await host.files.makeDirectory(directory, { mode: 0o700 });
  const args = ['-c', startScript, 'guard', ...command, path, `${directory}/guard-${region}.log`];
  const result = await host.processes.run({ program: 'sh', args, timeoutMs: startTimeoutMs, leaveChildren: true });
  if (result.exitCode !== 0) throw fail('GUARD_LOST', { message: `the guard can not be started: ${result.stderr.trim()}` });
}

interface Waiting {
  readonly resolve: (answer: JsonObject) => void;
  readonly reject: (error: HoldfastError) => void;
}

class SocketLink implements GuardLink {
  readonly found: GuardHello;
  trial: GuardTrial = { covered: [], uncovered: {}, tookMs: 0 };
  end: GuardEnd | undefined;
  readonly #connection: TcpConnection;
  readonly #host: Host;
  readonly #answerTimeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: ((end: GuardEnd) => void)[] = [];
  #count = 0;

  constructor(connection: TcpConnection, hello: GuardHello, host: Host, answerTimeoutMs: number) {
    this.found = hello;
    this.#connection = connection;
    this.#host = host;
    this.#answerTimeoutMs = answerTimeoutMs;
    lineListeners.set(connection, (line) => this.#take(line));
    connection.onClose(() => this.#ended('gone'));
  }

  onEnd(listener: (end: GuardEnd) => void): void {
    this.#listeners.push(listener);
  }

  async arm(token: number, holder: string, deadlineMs: number): Promise<void> {
    await this.ask({ kind: 'arm', token, holder, deadlineMs }, this.#answerTimeoutMs);
  }

  async fence(why: string): Promise<FenceReport> {
    return (await this.ask({ kind: 'fence', why })).report as FenceReport;
  }

  async dismiss(): Promise<void> {
    await this.ask({ kind: 'dismiss' }, this.#answerTimeoutMs);
  }

  close(): void {
    this.#connection.close();
  }

  async ask(request: GuardRequest, timeoutMs?: number): Promise<JsonObject> {
    if (this.end !== undefined) throw lost(this.end);
    this.#count += 1;
    const id = this.#count;
    const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
    this.#waiting.set(id, { resolve, reject });
    const cancel =
      timeoutMs === undefined
        ? () => undefined
        : this.#host.clock.after(timeoutMs, () =>
            reject(fail('GUARD_LOST', { message: `the guard did not answer within ${timeoutMs} ms` })),
          );
    sendLine(this.#connection, { id, ...request });
    try {
      return await promise;
    } finally {
      cancel();
      this.#waiting.delete(id);
    }
  }

  #take(line: JsonObject): void {
    if (line.kind === 'replaced') {
      this.#ended('replaced');
      return;
    }
    const waiting = this.#waiting.get(Number(line.id));
    if (line.ok === true) waiting?.resolve(line);
    // A guard of an older version may have other words: what it refuses for another reason than time, another guard may take.
    else waiting?.reject(fail(line.code === 'GUARD_TOO_LATE' ? 'GUARD_TOO_LATE' : 'GUARD_LOST', { message: String(line.message) }));
  }

  #ended(end: GuardEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    for (const { reject } of this.#waiting.values()) reject(lost(end));
    for (const listener of this.#listeners) listener(end);
  }
}

function lost(end: GuardEnd): HoldfastError {
  const message = end === 'replaced' ? 'another controller of this region has taken the guard over' : 'the guard has ended';
  return fail('GUARD_LOST', { message });
}
