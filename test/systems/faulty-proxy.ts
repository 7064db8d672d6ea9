/**
 * Stands between a client and an HTTP server and does what networks and overloaded services do: cuts connections, hangs, answers "slow down", loses answers. Each request takes the next
 * fault that was ordered; with none left it goes through untouched.
 */
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort, releasePort } from './ports.ts';

export type Fault =
  /** An error of the service, which the server behind never hears of. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** The connection is cut before the server behind hears of the request. */
  | { readonly kind: 'cut-request' }
  /** The server behind does what it was asked to; its answer is lost. */
  | { readonly kind: 'lose-answer' }
  /** As much of the answer's body arrives, then the connection is cut. */
  | { readonly kind: 'cut-answer'; readonly afterBytes: number }
  /** Nothing ever comes back. */
  | { readonly kind: 'hang' }
  /** Headers of the answer that the server behind can not give. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string>> }
  /** Something that is no S3 service answers. */
  | { readonly kind: 'web-page' };

export interface FaultyProxy {
  readonly endpoint: string;
  /** The next requests that match get this fault, `times` of them. */
  order(fault: Fault, options?: { readonly times?: number; readonly method?: string }): void;
  /** No more faults. */
  heal(): void;
  /** Method and path of each request since the last call. */
  takeSeen(): readonly string[];
  stop(): Promise<void>;
}

interface Order {
  readonly fault: Fault;
  readonly method: string | undefined;
  left: number;
}

export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const port = await freePort();
  const orders: Order[] = [];
  let seen: string[] = [];
  const takeFault = (method: string): Fault | undefined => {
    const order = orders.find((each) => each.left > 0 && (each.method === undefined || each.method === method));
    if (order === undefined) return undefined;
    order.left -= 1;
    return order.fault;
  };
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    answer(target, takeFault(request.method ?? ''), request, response).catch(() => request.socket.destroy());
  });
  await listen(server, port);
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    order: (fault, { times = 1, method } = {}) => void orders.push({ fault, method, left: times }),
    heal: () => void orders.splice(0),
    takeSeen: () => {
      const taken = seen;
      seen = [];
      return taken;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      releasePort(port);
    },
  };
}

async function answer(target: string, fault: Fault | undefined, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readAll(request);
  switch (fault?.kind) {
    case 'hang':
      return;
    case 'cut-request':
      request.socket.destroy();
      return;
    case 'status':
      response.writeHead(fault.status, { 'content-type': 'application/xml' });
      response.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>ordered by a test</Message></Error>`);
      return;
    case 'web-page':
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<html><body>Please log in to the hotel network</body></html>');
      return;
  }
  const { status, headers, content } = await forward(target, request, body);
  if (fault?.kind === 'lose-answer') {
    request.socket.destroy();
    return;
  }
  response.writeHead(status, [...headers, ...(fault?.kind === 'headers' ? Object.entries(fault.headers).flat() : [])]);
  if (fault?.kind !== 'cut-answer') {
    response.end(content);
    return;
  }
  response.write(content.subarray(0, fault.afterBytes), () => request.socket.destroy());
}

function forward(
  target: string,
  request: IncomingMessage,
  body: Buffer,
): Promise<{ readonly status: number; readonly headers: string[]; readonly content: Buffer }> {
  const { hostname, port } = new URL(target);
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && name !== 'expect' && name !== 'connection') headers[name] = value;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ hostname, port, method: request.method, path: request.url, headers }, (incoming) => {
      const kept = incoming.rawHeaders.filter(
        (_, i, all) => !['connection', 'keep-alive', 'transfer-encoding'].includes((all[i - (i % 2)] as string).toLowerCase()),
      );
      readAll(incoming).then((content) => resolve({ status: incoming.statusCode ?? 502, headers: kept, content }), reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port }, resolve);
  });
}
