/**
 * One node of a ledger, over gRPC.
 *
 * Invariant: a change is sent at most once; one whose answer was lost is SYSTEM_OUTCOME_UNKNOWN. Each call has a time limit of its own. The connection is made at the first call, and anew after
 * it broke; nothing is lost when the process dies.
 */
import type { Client } from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import { assert } from '../../base/assert.ts';
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { Host } from '../../host/host.ts';
import { descriptionOf, faultOfRequest, type Profile } from './messages.ts';
import { type Failure, ledgerError } from './refusals.ts';

export interface Trust {
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: Secret | undefined;
}

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** It changes something. */
  readonly change?: boolean;
}

type Grpc = typeof import('@grpc/grpc-js');
type Methods = Readonly<Record<string, MethodDefinition<object, object>>>;
interface Loaded {
  readonly grpc: Grpc;
  readonly methods: Readonly<Record<Profile, Methods>>;
}

let loaded: Promise<Loaded> | undefined;

async function load(): Promise<Loaded> {
  const [grpc, { fromJSON }] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')]);
  const methodsOf = (profile: Profile): Methods => {
    const methods: Record<string, MethodDefinition<object, object>> = {};
    const packages = fromJSON(descriptionOf(profile) as Parameters<typeof fromJSON>[0], {
      keepCase: true,
      longs: String,
      defaults: true,
      arrays: true,
      objects: true,
    });
    for (const [name, service] of Object.entries(packages))
      for (const [method, definition] of Object.entries(service))
        if (typeof definition === 'object' && 'requestSerialize' in definition)
          methods[`${name.replace('ledger.v1.', '')}/${method}`] = definition as MethodDefinition<object, object>;
    return methods;
  };
  return { grpc: grpc.default ?? grpc, methods: { A: methodsOf('A'), B: methodsOf('B') } };
}

export class LedgerClient {
  readonly #host: Host;
  readonly #url: string;
  readonly #trust: Trust;
  #client: Client | undefined;

  constructor(host: Host, url: string, trust: Trust) {
    this.#host = host;
    this.#url = url;
    this.#trust = trust;
  }

  /** For people, and as members write it: `10.0.1.5:50051`. */
  get address(): string {
    return this.#url.replace(/^https?:\/\//, '').replace(/\/$/, '');
  }

  async call<T>(profile: Profile, name: string, request: object, { timeoutMs, signal, change = false }: CallOptions): Promise<T> {
    const fault = faultOfRequest(profile, name, request);
    if (fault !== undefined) throw fail('BUG_BROKEN_BELIEF', { message: `${name}: ${fault}` });
    signal.throwIfAborted();
    loaded ??= load();
    const { grpc, methods } = await loaded;
    this.#client ??= await this.#open(grpc);
    const client = this.#client;
    const method = methods[profile][name];
    assert(method, `${name} is described`);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const told = (failure: Failure): HoldfastError => ledgerError(failure, { subject: this.address, call: name, change });
    const metadata = new grpc.Metadata();
    // Not asked for by those that look after health and discovery; the others take it as the version of the interface.
    metadata.set('x-ledger-api-version', '1');
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      (error, answer) => (error ? reject(told(error)) : resolve(answer as T)),
    );
    const give = (why: string) => {
      call.cancel();
      reject(told({ code: grpc.status.DEADLINE_EXCEEDED, details: why }));
    };
    const cancel = this.#host.clock.after(timeoutMs, () => give(`no answer within ${timeoutMs} ms`));
    const onAbort = () => give('ended before the answer came');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async #open(grpc: Grpc): Promise<Client> {
    const { ca, certificate, key } = this.#trust;
    const read = async (path: string | undefined) => (path === undefined ? null : Buffer.from(await this.#readPem(path)));
    const credentials = this.#url.startsWith('https:')
      ? grpc.credentials.createSsl(await read(ca), key ? Buffer.from(key.reveal()) : null, await read(certificate))
      : grpc.credentials.createInsecure();
    return new grpc.Client(this.address, credentials, {
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 250,
      'grpc.enable_http_proxy': 0,
    });
  }

  async #readPem(path: string): Promise<Uint8Array> {
    try {
      return await this.#host.files.readBytes(path);
    } catch (thrown) {
      throw fail('SECRET_MISSING', { message: `${path} can not be read`, subject: path, cause: thrown });
    }
  }
}
