/**
 * The members of the cluster: each call is made at one of them, with a time-out, and at the next one where that is safe.
 *
 * Invariant: a change is sent at most once. What reads, and what may be done twice, is asked of the next member after a third of the time (where there is one); a change waits for the
 * whole time once it is sent, for nobody may send it again. Every call asks for a member that knows a leader, so that one which is cut off says so at once. Nothing is lost when
 * the process dies.
 *
 * The nearest member is asked first: which one that is shows in how quickly they take a connection. The member in use stays in use while it answers; a nearer one that had to be left is
 * taken again once it has been seen to answer, and not sooner than after a while: going back and forth would cost a time-out each time.
 */
import type { ChannelOptions, Client, ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import { assert } from '../../base/assert.ts';
import { fail } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { Host } from '../../host/host.ts';
import { CallFailure, callFailure, grpcCode, isOfMember, needsToken } from './etcd-errors.ts';
import { type Calls, messageDescription, type WatchAnswer } from './messages.ts';
import { orderByNearness } from './nearness.ts';

export interface MembersOptions {
  readonly host: Host;
  readonly endpoints: readonly string[];
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly user?: string;
  readonly password?: Secret;
  /** For one call, over all members that are tried. */
  readonly timeoutMs: number;
}

export interface CallOptions {
  /** Sent at most once. */
  readonly change?: boolean;
  /** This member and no other. */
  readonly endpoint?: string;
  readonly timeoutMs?: number;
}

export type WatchStream = ClientDuplexStream<object, WatchAnswer>;
type Grpc = typeof import('@grpc/grpc-js');
type Methods = Readonly<Record<string, MethodDefinition<object, object>>>;

const channelOptions: ChannelOptions = {
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // etcd ends connections that ask more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.enable_http_proxy': 0,
};
const roundPauseMs = 50;
/** Members that have not connected so long after the first one are not near. */
const rankWaitMs = 50;
/** Before a member that was left is tried again. */
const returnAfterMs = 30_000;
/** With less time than this left, another try would only hide why the one before failed. */
const leastMs = 60;

export class Members {
  /** Nearest first. */
  endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly #options: MembersOptions;
  readonly #grpc: Grpc;
  readonly #methods: Methods;
  readonly #clients = new Map<string, Client>();
  #current = 0;
  #token: string | undefined;
  #gettingToken: Promise<void> | undefined;
  #closed = false;
  #cancelReturn: (() => void) | undefined;
  /** Those that failed to connect, until what was sent on them has failed too. */
  readonly #retired = new Map<Client, () => void>();

  static async open(options: MembersOptions): Promise<Members> {
    assert(options.endpoints.length > 0, 'there is at least one member');
    const [grpc, { fromJSON }] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')]);
    const packages = fromJSON(messageDescription(), { keepCase: true, longs: String, defaults: true, arrays: true });
    const methods: Record<string, MethodDefinition<object, object>> = {};
    for (const [name, service] of Object.entries(packages)) {
      const prefix = name.replace('etcdserverpb.', '');
      for (const [method, definition] of Object.entries(service)) {
        if (typeof definition === 'object' && 'requestSerialize' in definition)
          methods[`${prefix}/${method}`] = definition as MethodDefinition<object, object>;
      }
    }
    const members = new Members(options, grpc.default ?? grpc, methods);
    if (options.endpoints.length > 1) await members.#rank();
    return members;
  }

  private constructor(options: MembersOptions, grpc: Grpc, methods: Methods) {
    this.#options = options;
    this.endpoints = options.endpoints;
    this.timeoutMs = options.timeoutMs;
    this.#grpc = grpc;
    this.#methods = methods;
  }

  /** The member that is asked now. */
  get current(): string {
    return this.endpoints[this.#current % this.endpoints.length] as string;
  }

  /** This member did not answer: the next one is asked from now on. */
  leave(endpoint: string): void {
    if (this.current !== endpoint) return;
    this.#current += 1;
    this.#cancelReturn ??= this.#options.host.clock.after(returnAfterMs, () => void this.#return());
  }

  /** The nearest is taken again where it answers and knows a leader; otherwise it is tried later. */
  async #return(): Promise<void> {
    this.#cancelReturn = undefined;
    const [nearest] = this.endpoints;
    if (this.#closed || nearest === undefined || this.current === nearest) return;
    try {
      const { leader } = await this.call('Maintenance/Status', {}, { endpoint: nearest, timeoutMs: this.timeoutMs / 3 });
      if (BigInt(leader) !== 0n) this.#current = 0;
    } catch (thrown) {
      // That it is still away is what was to be found out; anything else shows in the calls themselves.
      if (!(thrown instanceof CallFailure) || this.#closed) return;
    }
    if (this.#current !== 0) this.#cancelReturn = this.#options.host.clock.after(returnAfterMs, () => void this.#return());
  }

  /** Connects to all of them at once; those that do not connect soon after the first are left where they are in the list, behind the others. */
  async #rank(): Promise<void> {
    const { clock } = this.#options.host;
    const startMs = clock.monotonicMs();
    const connectedAfterMs = new Map<string, number>();
    const { promise: soonAfterFirst, resolve } = Promise.withResolvers<void>();
    let cancel = () => {};
    const all = Promise.allSettled(
      this.endpoints.map(async (endpoint) => {
        const client = await this.#client(endpoint);
        await this.#untilConnected(client, endpoint, this.timeoutMs / 3);
        if (client.getChannel().getConnectivityState(false) !== this.#grpc.connectivityState.READY) return;
        connectedAfterMs.set(endpoint, clock.monotonicMs() - startMs);
        if (connectedAfterMs.size === 1) cancel = clock.after(rankWaitMs, resolve);
      }),
    );
    await Promise.race([all, soonAfterFirst]);
    cancel();
    if (connectedAfterMs.size > 0) this.endpoints = orderByNearness(this.endpoints, connectedAfterMs);
  }

  /** Rejects with a CallFailure, or with INTERRUPTED once closed. */
  async call<K extends keyof Calls>(name: K, request: Calls[K][0], options: CallOptions = {}): Promise<Calls[K][1]> {
    const { clock } = this.#options.host;
    const totalMs = options.timeoutMs ?? this.timeoutMs;
    const endMs = clock.monotonicMs() + totalMs;
    // Where there is no other member to ask, there is nothing to save time for.
    const attemptMs = options.endpoint === undefined ? Math.max(100, totalMs / Math.min(3, this.endpoints.length)) : totalMs;
    let last: CallFailure | undefined;
    let renewed = false;
    for (let attempt = 1; ; attempt += 1) {
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= (last === undefined ? 0 : leastMs))
        throw last ?? new CallFailure(grpcCode.timeout, `no answer within ${totalMs} ms`, true);
      const endpoint = options.endpoint ?? this.current;
      try {
        return await this.#attempt(name, request, endpoint, {
          leftMs,
          attemptMs,
          change: options.change ?? false,
        });
      } catch (thrown) {
        this.#requireOpen();
        if (!(thrown instanceof CallFailure)) throw thrown;
        // That time ran out says less than what went wrong before.
        last = last !== undefined && thrown.code === grpcCode.timeout && !thrown.sent ? last : thrown;
        if (needsToken(thrown) && !renewed && this.#options.user !== undefined) {
          renewed = true;
          this.#token = undefined;
          continue;
        }
        if (!isOfMember(thrown)) throw thrown;
        if (options.endpoint === undefined) this.leave(endpoint);
        if (thrown.sent && options.change) throw thrown;
        if (options.endpoint !== undefined) throw thrown;
      }
      if (attempt % this.endpoints.length === 0) await clock.sleep(Math.min(roundPauseMs, Math.max(1, endMs - clock.monotonicMs())));
    }
  }

  async #attempt<K extends keyof Calls>(
    name: K,
    request: Calls[K][0],
    endpoint: string,
    limits: { leftMs: number; attemptMs: number; change: boolean },
  ): Promise<Calls[K][1]> {
    const { clock } = this.#options.host;
    const startMs = clock.monotonicMs();
    const attemptMs = Math.min(limits.leftMs, limits.attemptMs);
    if (name !== 'Auth/Authenticate') await this.#ensureToken(endpoint, attemptMs);
    const client = await this.#client(endpoint);
    await this.#untilConnected(client, endpoint, attemptMs);
    const spentMs = clock.monotonicMs() - startMs;
    return (await this.#send(client, name, request, Math.max(1, (limits.change ? limits.leftMs : attemptMs) - spentMs))) as Calls[K][1];
  }

  #send(client: Client, name: keyof Calls, request: object, timeoutMs: number): Promise<object> {
    const method = this.#method(name);
    return new Promise((resolve, reject) => {
      let end: (() => void) | undefined;
      const cancel = this.#options.host.clock.after(timeoutMs, () => {
        end?.();
        reject(new CallFailure(grpcCode.timeout, `no answer within ${Math.round(timeoutMs)} ms`, true));
      });
      const settle = (error: unknown, answer?: object) => {
        cancel();
        if (error) reject(callFailure(error));
        else resolve(answer as object);
      };
      if (method.requestStream) {
        // A keep-alive: one question, one answer, and the stream ends.
        const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, this.#metadata());
        end = () => stream.cancel();
        stream.on('error', (error) => settle(error));
        stream.on('data', (answer: object) => {
          settle(undefined, answer);
          stream.end();
        });
        stream.on('end', () => settle(new CallFailure(grpcCode.unavailable, 'the stream ended without an answer', true)));
        stream.write(request);
      } else {
        const call = client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          this.#metadata(),
          settle,
        );
        end = () => call.cancel();
      }
    });
  }

  /** A watch stream at one member. The caller hears of its errors and ends it. */
  async openWatch(endpoint: string): Promise<WatchStream> {
    await this.#ensureToken(endpoint, this.timeoutMs);
    const client = await this.#client(endpoint);
    await this.#untilConnected(client, endpoint, this.timeoutMs / 3);
    const method = this.#method('Watch/Watch');
    return client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, this.#metadata()) as WatchStream;
  }

  /** The next call gets a new one: permission may have changed, or time has passed. */
  dropToken(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#cancelReturn?.();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    for (const [client, cancel] of this.#retired) {
      cancel();
      client.close();
    }
    this.#retired.clear();
  }

  #requireOpen(): void {
    if (this.#closed) throw fail('INTERRUPTED', { message: 'the state is closed' });
  }

  #method(name: string): MethodDefinition<object, object> {
    const method = this.#methods[name];
    assert(method, `${name} is described`);
    return method;
  }

  #metadata(): Metadata {
    const metadata = new this.#grpc.Metadata();
    // A member without a leader refuses instead of waiting for one.
    metadata.set('hasleader', 'true');
    if (this.#token !== undefined) metadata.set('token', this.#token);
    return metadata;
  }

  async #ensureToken(endpoint: string, timeoutMs: number): Promise<void> {
    const { user, password } = this.#options;
    if (user === undefined || password === undefined || this.#token !== undefined) return;
    this.#gettingToken ??= (async () => {
      const client = await this.#client(endpoint);
      await this.#untilConnected(client, endpoint, timeoutMs);
      const request = { name: user, password: password.reveal() };
      const answer = (await this.#send(client, 'Auth/Authenticate', request, timeoutMs)) as { readonly token: string };
      this.#token = answer.token;
    })().finally(() => {
      this.#gettingToken = undefined;
    });
    try {
      await this.#gettingToken;
    } catch (thrown) {
      // Whatever was to be sent under the token has not been.
      if (thrown instanceof CallFailure) throw new CallFailure(thrown.code, thrown.message, false);
      throw thrown;
    }
  }

  async #client(endpoint: string): Promise<Client> {
    this.#requireOpen();
    const known = this.#clients.get(endpoint);
    if (known !== undefined) return known;
    const { credentials } = this.#grpc;
    const trust = endpoint.startsWith('https:') ? credentials.createSsl(...(await this.#readTrust())) : credentials.createInsecure();
    this.#requireOpen();
    const made = this.#clients.get(endpoint) ?? new this.#grpc.Client(endpoint.replace(/^https?:\/\//, ''), trust, channelOptions);
    this.#clients.set(endpoint, made);
    return made;
  }

  async #readTrust(): Promise<[Buffer | null, Buffer | null, Buffer | null]> {
    const { host, caFile, certificateFile, keyFile } = this.#options;
    const read = async (path: string | undefined) => {
      if (path === undefined) return null;
      try {
        return Buffer.from(await host.files.readBytes(path));
      } catch (thrown) {
        throw fail('SECRET_MISSING', { message: `${path} can not be read`, subject: path, cause: thrown });
      }
    };
    return [await read(caFile), await read(keyFile), await read(certificateFile)];
  }

  /** Resolves once a call would be sent, or would fail at once with the reason; rejects after the time: nothing was sent. */
  async #untilConnected(client: Client, endpoint: string, timeoutMs: number): Promise<void> {
    const { connectivityState } = this.#grpc;
    const channel = client.getChannel();
    const endMs = this.#options.host.clock.monotonicMs() + timeoutMs;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      if (state === connectivityState.TRANSIENT_FAILURE) {
        // Made anew next time: certificates are read again, and no pause of the library's is waited for.
        this.#forget(endpoint, client);
        return;
      }
      if (state === connectivityState.SHUTDOWN) throw new CallFailure(grpcCode.unavailable, 'the connection was closed', false);
      const leftMs = endMs - this.#options.host.clock.monotonicMs();
      if (leftMs <= 0) {
        this.#forget(endpoint, client);
        throw new CallFailure(grpcCode.timeout, `${endpoint} takes no connection within ${Math.round(timeoutMs)} ms`, false);
      }
      await new Promise<void>((resolve) => {
        const cancel = this.#options.host.clock.after(leftMs, resolve);
        channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
          cancel();
          resolve();
        });
      });
    }
  }

  /** What is under way there fails by itself or ends; the connection is closed when that is over. */
  #forget(endpoint: string, client: Client): void {
    if (this.#clients.get(endpoint) !== client) return;
    this.#clients.delete(endpoint);
    const cancel = this.#options.host.clock.after(this.timeoutMs, () => {
      this.#retired.delete(client);
      client.close();
    });
    this.#retired.set(client, cancel);
  }
}
