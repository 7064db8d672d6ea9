/**
 * HTTP by node:http(s): one agent for plain, one for each set of trusted authorities, connections kept open.
 *
 * Invariant: one timer covers everything from the name's lookup to the last byte of the body. A request is sent at most once, save one case: a GET or HEAD on a kept
 * connection that the server had closed in the meantime is sent again on a new one, for that reset says nothing about the server. For other methods such a reset
 * is the caller's to judge: `details.sent` is true.
 *
 * The global fetch was not taken: it costs about twice the processor time of node:http per request, and has no agent with an authority of its own.
 */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import { fail } from '../../base/errors.ts';
import type { HttpRequest, HttpResponse, Net, TlsTrust } from '../host.ts';
import { netError, netInterrupted, netTimeout } from './net-errors.ts';

const bodyMaxBytesDefault = 1_048_576;
const agentOptions = { keepAlive: true, keepAliveMsecs: 10_000, maxFreeSockets: 64, scheduling: 'lifo' } as const;

export function nodeHttp(): Net['http'] {
  const plain = new HttpAgent(agentOptions);
  const secure = new Map<string, HttpsAgent>();
  const agentFor = (url: URL, trust: TlsTrust): HttpAgent | HttpsAgent => {
    if (url.protocol === 'http:') return plain;
    const name = `${trust.ca ?? ''}\n${trust.certificate ?? ''}`;
    let agent = secure.get(name);
    if (agent === undefined) {
      agent = new HttpsAgent({ ...agentOptions, ...trustOptions(trust) });
      secure.set(name, agent);
    }
    return agent;
  };
  return async (request) => {
    const url = parseUrl(request.url);
    return new Promise((resolve, reject) => new Exchange(request, url, agentFor(url, request), resolve, reject).begin());
  };
}

/** What node's own TLS calls it. */
export function trustOptions({ ca, certificate, key }: TlsTrust): { ca?: string[]; cert?: string; key?: string } {
  return {
    ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key: key.reveal() }),
  };
}

export function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw fail('SYSTEM_UNREACHABLE', {
      message: 'the URL can not be understood',
      details: { cause: 'name' },
      hint: 'Write http://host:port/path or https://host/path.',
      cause,
    });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw fail('SYSTEM_UNREACHABLE', { message: `${url.protocol} is not http: or https:`, details: { cause: 'name' } });
  return url;
}

class Exchange {
  readonly #request: HttpRequest;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #resolve: (response: HttpResponse) => void;
  readonly #reject: (error: unknown) => void;
  /** Host and port only: the path, the query and the user part may hold secrets. */
  readonly #name: string;
  readonly #onAbort = (): void => this.#fail(netInterrupted(this.#name, this.#request.signal?.reason));
  #timer: NodeJS.Timeout | undefined;
  #outgoing: ClientRequest | undefined;
  #over = false;

  constructor(
    request: HttpRequest,
    url: URL,
    agent: HttpAgent | HttpsAgent,
    resolve: (response: HttpResponse) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request;
    this.#url = url;
    this.#agent = agent;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#name = `${url.protocol}//${url.host}`;
  }

  begin(): void {
    const { signal, timeoutMs } = this.#request;
    if (signal?.aborted) {
      this.#fail(netInterrupted(this.#name, signal.reason));
      return;
    }
    this.#timer = setTimeout(() => this.#fail(netTimeout(this.#name, timeoutMs, this.#wasSent())), timeoutMs);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#send(false);
  }

  #send(again: boolean): void {
    const { method = 'GET', body, headers, socketPath } = this.#request;
    const open = this.#url.protocol === 'https:' ? httpsRequest : httpRequest;
    let outgoing: ClientRequest;
    try {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      outgoing = open(this.#url, {
        method,
        headers: { ...length, ...headers },
        agent: this.#agent,
        ...(socketPath === undefined ? {} : { socketPath }),
      });
    } catch (cause) {
      // A header or a method that HTTP does not know: the value may be a secret, so it is not shown.
      this.#fail(
        fail('SYSTEM_UNREACHABLE', {
          message: `${this.#name}: the request can not be written (${(cause as NodeJS.ErrnoException).code ?? 'unknown cause'})`,
          details: { cause: 'other', sent: false },
        }),
      );
      return;
    }
    this.#outgoing = outgoing;
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#over || outgoing !== this.#outgoing) return;
      const staleConnection = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (staleConnection && !again && (method === 'GET' || method === 'HEAD')) this.#send(true);
      else this.#fail(netError(error, this.#name, { sent: this.#wasSent(), path: socketPath !== undefined }));
    });
    outgoing.once('response', (incoming) => this.#receive(incoming));
    outgoing.end(body);
  }

  #wasSent(): boolean {
    const socket = this.#outgoing?.socket;
    return socket !== null && socket !== undefined && !socket.connecting && socket.bytesWritten > 0;
  }

  #receive(incoming: IncomingMessage): void {
    const maxBytes = this.#request.maxBodyBytes ?? bodyMaxBytesDefault;
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    const finish = (): void =>
      this.#end(() =>
        this.#resolve({
          status: incoming.statusCode ?? 0,
          headers: flatten(incoming.headers),
          body: Buffer.concat(pieces).toString('utf8'),
        }),
      );
    incoming.on('data', (piece: Buffer) => {
      if (this.#over) return;
      pieces.push(piece.subarray(0, maxBytes - sizeBytes));
      sizeBytes += piece.length;
      if (sizeBytes <= maxBytes) return;
      finish();
      incoming.destroy();
    });
    incoming.once('end', finish);
    incoming.on('error', (error: NodeJS.ErrnoException) => this.#fail(netError(error, this.#name, { sent: true })));
  }

  #fail(error: unknown): void {
    this.#end(() => this.#reject(error));
    this.#outgoing?.destroy();
  }

  #end(how: () => void): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
    how();
  }
}

export function flatten(headers: IncomingMessage['headers']): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  return flat;
}
