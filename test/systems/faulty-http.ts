/**
 * A server in place of a system's own that answers as broken, overloaded or foreign ones do, for tables of bad input: each driver must tell these apart, and take none of them for health.
 * It never gives a right answer by itself: what a test wants to be right, or right for another system, it gives as `answer`.
 */

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { runProgram } from './run-program.ts';
import { removeDirectory, temporaryDirectory } from './temporary-directory.ts';

export const badAnswers = [
  /** 429 with a Retry-After of a minute. */
  'too-many-requests',
  /** 500, with a page and not with an error in the system's own form. */
  'server-error',
  /** 503, as a balancer without servers behind it. */
  'unavailable',
  /** 401, and 403. */
  'unauthorized',
  'forbidden',
  /** 200 with a web page, as the login of a hotel's network. */
  'web-page',
  /** 200 with an empty body, or an empty object. */
  'empty-body',
  'empty-object',
  /** Half of a JSON document, with a Content-Length to match: nothing on the wire tells. */
  'half-json',
  /** The connection is cut in the middle of the body. */
  'cut-off',
  /** The connection is reset before any answer. */
  'reset',
  /** Nothing ever comes. */
  'hang',
] as const;
export type BadAnswer = (typeof badAnswers)[number];

export interface GivenAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface GivenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What is given is answered as it is; `undefined` falls back to what was set by `become`. */
export type Answerer = (request: GivenRequest) => GivenAnswer | undefined;

export interface FaultyHttp {
  readonly url: string;
  readonly port: number;
  /** How every request is answered from now on. */
  become(answer: BadAnswer | Answerer): void;
  /** Method and path of each request since the last call. */
  takeSeen(): readonly string[];
  /** PEM of its own certificate; only with TLS. */
  readonly ca: string | undefined;
  stop(): Promise<void>;
}

/** `tls`: with a certificate of its own for 127.0.0.1 (or for `certificateFor`), which nobody trusts unless told to. */
export async function startFaultyHttp(
  first: BadAnswer | Answerer,
  options: { readonly tls?: boolean; readonly certificateFor?: string } = {},
): Promise<FaultyHttp> {
  let current: BadAnswer | Answerer = first;
  let seen: string[] = [];
  const listener: RequestListener = (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    respond(current, request, response).catch(() => request.socket.destroy());
  };
  const pair = options.tls ? await makeCertificate(options.certificateFor ?? 'IP:127.0.0.1') : undefined;
  const server: Server = pair === undefined ? createServer(listener) : createTlsServer(pair, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `${pair === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    ca: pair?.cert,
    become: (answer) => {
      current = answer;
    },
    takeSeen: () => {
      const taken = seen;
      seen = [];
      return taken;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function respond(answer: BadAnswer | Answerer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  if (typeof answer !== 'function') return respondBadly(answer, response);
  const given = answer({
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    body: Buffer.concat(pieces).toString(),
  });
  if (given === undefined) return respondBadly('server-error', response);
  response.writeHead(given.status ?? 200, { 'content-type': 'application/json', ...given.headers });
  response.end(given.body);
}

const page = '<!doctype html><html><body>Please log in to the hotel network</body></html>';
const json = { 'content-type': 'application/json' };

const html = { 'content-type': 'text/html' };
const pages: Readonly<Partial<Record<BadAnswer, readonly [status: number, headers: Readonly<Record<string, string>>]>>> = {
  'too-many-requests': [429, { ...html, 'retry-after': '60' }],
  'server-error': [500, html],
  unavailable: [503, html],
  unauthorized: [401, { ...html, 'www-authenticate': 'Basic realm="test"' }],
  forbidden: [403, html],
  'web-page': [200, html],
};
const bodies: Readonly<Partial<Record<BadAnswer, string>>> = {
  'empty-body': '',
  'empty-object': '{}',
  'half-json': '{"status":"succ',
};

function respondBadly(answer: BadAnswer, response: ServerResponse): void {
  const withPage = pages[answer];
  const body = bodies[answer];
  const socket = response.socket as Socket;
  if (withPage !== undefined) response.writeHead(...withPage).end(page);
  else if (body !== undefined) response.writeHead(200, json).end(body);
  else if (answer === 'cut-off') {
    response.writeHead(200, { ...json, 'content-length': '4096' });
    response.write('{"status":"success","data":{', () => socket.destroy());
  } else if (answer === 'reset') socket.resetAndDestroy();
}

/** A certificate of its own authority. */
export async function makeCertificate(subject: string): Promise<{ readonly cert: string; readonly key: string }> {
  const dir = await temporaryDirectory('faulty-http');
  const [keyFile, certFile] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  try {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
    const words = ['-keyout', keyFile, '-out', certFile, '-subj', '/CN=faulty-http', '-addext', `subjectAltName=${subject}`];
    await runProgram(['openssl', 'req', '-x509', ...kind, ...words]);
    return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  } finally {
    await removeDirectory(dir);
  }
}
