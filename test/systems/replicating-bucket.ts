/**
 * A stand-in for what S3 says of replication, in front of moto, which knows rules but copies nothing: each object has the state that a test gives it, in the header that S3 uses, and the copy of a
 * version is found where a test put it. Everything else goes through.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReplicatingBucket {
  readonly endpoint: string;
  /** `bucket/key` -> what S3 says of it. */
  readonly states: Map<string, 'PENDING' | 'COMPLETED' | 'FAILED' | 'REPLICA'>;
  /** `bucket/key` of copies that are there, with the version of the original. */
  readonly copies: Set<string>;
  stop(): Promise<void>;
}

export async function startReplicatingBucket(target: string): Promise<ReplicatingBucket> {
  const states: ReplicatingBucket['states'] = new Map();
  const copies: ReplicatingBucket['copies'] = new Set();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', target);
    const name = decodeURIComponent(url.pathname.slice(1));
    const isVersion = request.method === 'HEAD' && url.searchParams.has('versionId');
    if (isVersion && copies.has(name)) {
      response
        .writeHead(200, { 'x-amz-replication-status': 'REPLICA', 'content-length': '1', 'last-modified': new Date(0).toUTCString() })
        .end();
      return;
    }
    forward(request, url)
      .then(async (answer) => {
        const headers: Record<string, string> = {};
        for (const [key, value] of answer.headers)
          if (!/^(?:connection|transfer-encoding|content-encoding)$/.test(key)) headers[key] = value;
        const state = states.get(name);
        if (request.method === 'HEAD' && answer.ok && state !== undefined) headers['x-amz-replication-status'] = state;
        const body = request.method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(await answer.arrayBuffer());
        response.writeHead(answer.status, headers).end(body);
      })
      .catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    states,
    copies,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function forward(request: IncomingMessage, url: URL): Promise<Response> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers))
    if (typeof value === 'string' && !/^(?:host|connection|content-length|expect)$/.test(name)) headers[name] = value;
  const body = Buffer.concat(pieces);
  return fetch(url, {
    method: request.method ?? 'GET',
    headers,
    ...(body.length === 0 ? {} : { body }),
    signal: AbortSignal.timeout(10_000),
  });
}
