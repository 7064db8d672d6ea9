/**
 * Lets a client of the SDK go out through `Host.net` instead of sockets of its own: one time limit covers a request from the name to the last byte, it is sent at most once, and a simulated
 * network stands in for it like for any other. Errors of the network come back as the host has them.
 */
import type { Net } from '../../host/host.ts';

/** The part of the SDK's request that is used here. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

interface SdkResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

const maxBodyBytes = 8 * 1_024 * 1_024;

export class NetRequestHandler {
  readonly #net: Net;
  readonly #timeoutMs: () => number;
  readonly metadata = { handlerProtocol: 'http/1.1' };

  constructor(net: Net, timeoutMs: () => number) {
    this.#net = net;
    this.#timeoutMs = timeoutMs;
  }

  async handle(request: SdkRequest, options: { readonly abortSignal?: unknown } = {}): Promise<{ readonly response: SdkResponse }> {
    const port = request.port === undefined ? '' : `:${request.port}`;
    const query = writeQuery(request.query ?? {});
    const { body } = request;
    const {
      status,
      headers,
      body: text,
    } = await this.#net.http({
      method: request.method,
      url: `${request.protocol}//${request.hostname}${port}${request.path}${query}`,
      headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.toLowerCase() !== 'host')),
      timeoutMs: this.#timeoutMs(),
      maxBodyBytes,
      ...(options.abortSignal instanceof AbortSignal ? { signal: options.abortSignal } : {}),
      ...(typeof body === 'string' || body instanceof Uint8Array ? { body } : {}),
    });
    return { response: { statusCode: status, headers: { ...headers }, body: Buffer.from(text, 'utf8') } };
  }

  destroy(): void {
    // Connections belong to the host.
  }
}

/** As it was signed: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function writeQuery(query: Readonly<Record<string, string | readonly string[] | null>>): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query))
    for (const each of [value].flat()) parts.push(each === null ? encode(name) : `${encode(name)}=${encode(each)}`);
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
