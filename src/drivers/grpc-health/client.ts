/**
 * One server by gRPC: the only importer of the library, which is loaded by the first call. The library knows one word, UNAVAILABLE, for a host that refuses, one that is silent, a certificate that is
 * not trusted and a server of another kind. Which of them it is, a connection of our own tells.
 */
import type { Client } from '@grpc/grpc-js';
import { fail, HoldfastError } from '../../base/errors.ts';
import { dateOf } from '../../base/instants.ts';
import { Secret } from '../../base/secret.ts';
import type { Host, TlsTrust } from '../../host/host.ts';
import { decodeResponse, encodeRequest, type ServingState } from './messages.ts';
import type { SiteOptions } from './options.ts';

const codes = { deadline: 4, notFound: 5, denied: 7, unimplemented: 12, unavailable: 14, unauthenticated: 16, cancelled: 1 } as const;
const method = '/grpc.health.v1.Health/Check';

export class HealthClient {
  readonly #host: Host;
  readonly #site: SiteOptions;
  readonly #timeoutMs: number;
  #opening: Promise<{ readonly grpc: typeof import('@grpc/grpc-js'); readonly client: Client }> | undefined;

  constructor(host: Host, site: SiteOptions, timeoutMs: number) {
    this.#host = host;
    this.#site = site;
    this.#timeoutMs = timeoutMs;
  }

  get name(): string {
    return this.#site.address;
  }

  /** Throws HoldfastErrors; those of the network carry `details.cause`, as those of the host do. */
  async check(service: string, signal: AbortSignal): Promise<ServingState> {
    if (signal.aborted) throw fail('INTERRUPTED', { message: `${this.name}: interrupted before it was asked` });
    const { grpc, client } = await this.#open();
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(this.#site.headers ?? {}))
      metadata.set(name, value instanceof Secret ? value.reveal() : value);
    const deadline = dateOf(this.#host.clock.nowMs() + this.#timeoutMs);
    const answer = new Promise<Buffer>((resolve, reject) => {
      const call = client.makeUnaryRequest<string, Buffer>(
        method,
        encodeRequest,
        (bytes) => bytes,
        service,
        metadata,
        { deadline },
        (error, bytes) => {
          signal.removeEventListener('abort', end);
          if (error === null && bytes !== undefined) resolve(bytes);
          else reject(error);
        },
      );
      const end = () => call.cancel();
      signal.addEventListener('abort', end, { once: true });
    });
    try {
      return decodeResponse(await answer);
    } catch (error) {
      throw error instanceof HoldfastError ? error : await this.#meaning(error, service, signal);
    }
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) (await opening).client.close();
  }

  /** By the code; the library's words carry no secrets of ours, and are left out all the same. */
  async #meaning(thrown: unknown, service: string, signal: AbortSignal): Promise<HoldfastError> {
    const { code } = (thrown ?? {}) as { code?: number };
    const details = { grpc: code ?? null };
    const what = service === '' ? 'the server as a whole' : `the service ${service}`;
    switch (code) {
      case codes.deadline:
        return fail('TIMED_OUT', {
          message: `${this.name}: no answer within ${this.#timeoutMs} ms`,
          details: { ...details, cause: 'timeout' },
        });
      case codes.cancelled:
        return fail('INTERRUPTED', { message: `${this.name}: interrupted`, details });
      case codes.denied:
      case codes.unauthenticated:
        return fail('SYSTEM_WRONG_CREDENTIALS', { message: `${this.name} does not let us ask for ${what}`, details });
      case codes.notFound:
        return fail('SYSTEM_REFUSED', {
          message: `${this.name} knows nothing of ${what}`,
          hint: 'Compare services in the spec with the names that the server registers.',
          details,
        });
      case codes.unimplemented:
        return fail('SYSTEM_REFUSED', {
          message: `${this.name} has no grpc.health.v1.Health`,
          hint: 'Register the health service of your gRPC library, or use another driver.',
          details,
        });
      case codes.unavailable:
        return (await this.#whyUnavailable(signal)) ?? this.#wrongAnswer(details);
      default:
        return this.#wrongAnswer(details);
    }
  }

  #wrongAnswer(details: { grpc: number | null }): HoldfastError {
    return fail('SYSTEM_WRONG_ANSWER', {
      message: `${this.name} takes connections, and gives no answer of gRPC (code ${details.grpc})`,
      hint: 'Is it the right port, and is tls as the server has it?',
      details,
    });
  }

  /** Undefined where a connection can be made: then the trouble lies above it. */
  async #whyUnavailable(signal: AbortSignal): Promise<HoldfastError | undefined> {
    const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(this.#site.address) ?? [];
    try {
      const trust = this.#site.tls === undefined ? {} : { tls: await this.#trust() };
      const target = { host: bracketed ?? plain ?? '', port: Number(port), timeoutMs: this.#timeoutMs, signal, ...trust };
      (await this.#host.net.connectTcp(target)).close();
      return undefined;
    } catch (error) {
      if (error instanceof HoldfastError) return error;
      throw error;
    }
  }

  async #trust(): Promise<TlsTrust> {
    const { ca, certificate, key } = this.#site.tls ?? {};
    return {
      ...(ca === undefined ? {} : { ca: await this.#read(ca) }),
      ...(certificate === undefined ? {} : { certificate: await this.#read(certificate) }),
      ...(key instanceof Secret ? { key } : {}),
    };
  }

  async #read(path: string): Promise<string> {
    try {
      return await this.#host.files.readText(path);
    } catch (cause) {
      throw fail('SYSTEM_REFUSED', { message: `the file ${path} can not be read`, hint: 'Name readable PEM files under tls.', cause });
    }
  }

  /** A file that can't be read is tried again at the next call. */
  async #open() {
    this.#opening ??= this.#load();
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #load() {
    const module = await import('@grpc/grpc-js');
    const grpc = module.default ?? module;
    const { tls, address } = this.#site;
    const { ca, certificate, key } = await this.#trust();
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
    const credentials =
      tls === undefined ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(pem(ca), pem(key?.reveal()), pem(certificate));
    const client = new grpc.Client(address, credentials, {
      'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      'grpc.enable_http_proxy': 0,
      ...(tls?.['server-name'] === undefined ? {} : { 'grpc.ssl_target_name_override': tls['server-name'] }),
    });
    return { grpc, client };
  }
}
