/**
 * One opened server, as the verbs use it: reads its state, changes settings, asks whether it takes writes.
 *
 * Invariant: every call ends within its time limit. Nothing outlives `close`.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { SiteContext } from '../../contracts/driver.ts';
import { type HoldfastKeys, keysOf } from './keys.ts';
import { type RedisOptions, type RedisSiteOptions, targetOf } from './options.ts';
import { addressOf, type RedisConnection, type RedisPort, type Reply, type Word } from './port.ts';
import { replyWordOf } from './reply-errors.ts';
import { parseInfo, parseSettings, type ServerSettings, type ServerState } from './server-state.ts';

export type RedisContext = SiteContext<RedisOptions, RedisSiteOptions>;

/** What every capability of a site works with. */
export interface RedisSiteParts {
  readonly context: RedisContext;
  readonly port: RedisPort;
  readonly keys: HoldfastKeys;
}

export function sitePartsOf(context: RedisContext, port: RedisPort): RedisSiteParts {
  return { context, port, keys: keysOf(context.component) };
}

/** A command of a verb, once connected: a REWRITE waits for the disk. */
const commandTimeoutMs = 10_000;

const settingPatterns = ['min-replicas-*', 'save', 'replica-serve-stale-data', 'stop-writes-on-bgsave-error'] as const;

export interface ServerView {
  readonly state: ServerState;
  /** Undefined where CONFIG is not allowed. */
  readonly settings: ServerSettings | undefined;
  /** The epoch recorded in the data; 0 where there is none. */
  readonly epoch: number;
  readonly dataset: string | undefined;
  readonly canary: string | undefined;
}

/** Reads everything in one round trip. */
export async function readView(
  connection: RedisConnection,
  keys: HoldfastKeys,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ServerView> {
  const [info, epoch, dataset, canary, ...settings] = await connection.send(
    [
      ['INFO'],
      ['GET', keys.epoch],
      ['GET', keys.dataset],
      ['GET', keys.canary],
      ...settingPatterns.map((pattern) => ['CONFIG', 'GET', pattern]),
    ],
    { timeoutMs, signal },
  );
  if (info instanceof HoldfastError) throw info;
  const text = (reply: Reply | HoldfastError | undefined) => (typeof reply === 'string' ? reply : undefined);
  const known = settings.filter((reply): reply is Reply => !(reply instanceof HoldfastError));
  return {
    state: parseInfo(text(info) ?? ''),
    settings: known.length === settings.length ? parseSettings(known) : undefined,
    epoch: Number(text(epoch) ?? 0),
    dataset: text(dataset),
    canary: text(canary),
  };
}

export class Server {
  readonly address: string;
  readonly #connection: RedisConnection;
  readonly #keys: HoldfastKeys;
  readonly #signal: AbortSignal;

  constructor(connection: RedisConnection, address: string, keys: HoldfastKeys, signal: AbortSignal) {
    this.#connection = connection;
    this.address = address;
    this.#keys = keys;
    this.#signal = signal;
  }

  get connection(): RedisConnection {
    return this.#connection;
  }

  read(): Promise<ServerView> {
    return readView(this.#connection, this.#keys, commandTimeoutMs, this.#signal);
  }

  /** State and settings; refuses where CONFIG is not allowed, for the verbs need it. */
  async readFully(): Promise<ServerView & { readonly settings: ServerSettings }> {
    const view = await this.read();
    if (view.settings === undefined)
      throw fail('SYSTEM_WRONG_CREDENTIALS', {
        message: `${this.address} does not allow CONFIG`,
        hint: 'Give the user the privileges that the driver reference lists: +config, +replicaof, +info and its keys.',
      });
    return { ...view, settings: view.settings };
  }

  async command(...words: Word[]): Promise<Reply> {
    const [reply] = await this.#connection.send([words], { timeoutMs: commandTimeoutMs, signal: this.#signal });
    if (reply instanceof HoldfastError) throw reply;
    return reply as Reply;
  }

  async set(settings: readonly (readonly [string, string])[]): Promise<void> {
    for (const [name, value] of settings) await this.command('CONFIG', 'SET', name, value);
  }

  /** Makes the present settings and the role outlast a restart. False where the server runs without a configuration file. */
  async makeLast(): Promise<boolean> {
    try {
      await this.command('CONFIG', 'REWRITE');
      return true;
    } catch (error) {
      if (replyWordOf(error) === 'ERR' && error instanceof HoldfastError && /without a config file/i.test(error.message)) return false;
      throw error;
    }
  }

  /**
   * Asks, by a write that changes nothing, whether the server takes writes now. `refused` has the first word of its refusal; a server that still reads its data is
   * neither.
   */
  async probeWrite(): Promise<{ readonly taken: true } | { readonly taken: false; readonly refusal: string }> {
    try {
      await this.command('DEL', this.#keys.probe);
      return { taken: true };
    } catch (error) {
      const word = replyWordOf(error);
      if (word === undefined || word === 'NOPERM' || word === 'NOAUTH') throw error;
      return { taken: false, refusal: word };
    }
  }
}

/** Opens the server of a region for as long as `work` takes. */
export async function withServer<T>(
  parts: RedisSiteParts,
  region: string,
  signal: AbortSignal,
  work: (server: Server) => Promise<T>,
): Promise<T> {
  const { context, port, keys } = parts;
  const site = region === context.region ? context.site : context.sites.get(region);
  if (site === undefined)
    throw fail('SPEC_INVALID', {
      subject: context.component,
      message: `${context.component} has no site in ${region}`,
      hint: 'Name a region that the component has a site in.',
    });
  const target = targetOf(site);
  const connection = await port.connect(target, { timeoutMs: context.probeTimeoutMs, signal });
  try {
    return await work(new Server(connection, addressOf(target), keys, signal));
  } finally {
    connection.close();
  }
}

/** How a server that can't be opened presents itself. */
export type Absence = 'refused' | 'silent' | 'not-allowed';

/** Tells why it could not be opened, or throws the error on where that says nothing about the server. */
export function absenceOf(thrown: unknown): Absence {
  if (!(thrown instanceof HoldfastError)) throw thrown;
  if (thrown.code === 'SYSTEM_WRONG_CREDENTIALS') return 'not-allowed';
  const cause = thrown.details.cause;
  if (cause === 'refused') return 'refused';
  if (thrown.code === 'TIMED_OUT' || thrown.code === 'SYSTEM_UNREACHABLE' || thrown.code === 'SYSTEM_OUTCOME_UNKNOWN') return 'silent';
  throw thrown;
}

/** Opens the server if it is there; else says how it is absent. Errors of `work` that come from the connection's end count as absence too. */
export async function tryServer<T>(
  parts: RedisSiteParts,
  region: string,
  signal: AbortSignal,
  work: (server: Server) => Promise<T>,
): Promise<{ readonly answer: T } | { readonly absence: Absence; readonly why: string }> {
  try {
    return { answer: await withServer(parts, region, signal, work) };
  } catch (error) {
    if (signal.aborted) throw error;
    return { absence: absenceOf(error), why: error instanceof Error ? error.message : String(error) };
  }
}
