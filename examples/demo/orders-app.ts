/**
 * The demo's workload: takes numbered orders over HTTP and keeps each in PostgreSQL and, for quick look-ups, in Redis. One runs in each region and knows only the servers of its own
 * region. An order is acknowledged once PostgreSQL has committed it and Redis has taken it.
 *
 *   POST /orders {"number": 7}  -> 200 {"number": 7} | 503 with a reason
 *   GET /health                 -> 200 {"database": "ok", "cache": "ok"} | 503
 *   GET /ready                  -> 200 only while orders can be taken
 */
import { createServer, type ServerResponse } from 'node:http';
import pg from 'pg';
import { createClient } from 'redis';

const required = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

const region = required('ORDERS_REGION');
// In pieces: a url without a password would make the client ignore the one given beside it.
const databaseUrl = new URL(required('ORDERS_DATABASE_URL'));
const pool = new pg.Pool({
  host: databaseUrl.hostname,
  port: Number(databaseUrl.port),
  user: databaseUrl.username,
  database: databaseUrl.pathname.slice(1),
  password: required('ORDERS_DATABASE_PASSWORD'),
  max: 4,
  connectionTimeoutMillis: 3_000,
  query_timeout: 2_000,
});
pool.on('error', () => {
  // An idle connection broke; the next query makes a new one.
});
const cache = createClient({
  url: required('ORDERS_CACHE_URL'),
  socket: { connectTimeout: 2_000, reconnectStrategy: () => 50 },
  commandOptions: { timeout: 1_000 },
  disableOfflineQueue: true,
});
cache.on('error', () => {
  // It reconnects by itself; the requests in between are refused below.
});
await cache.connect().catch(() => undefined);

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function place(number: number): Promise<void> {
  // DO UPDATE, for an order that is placed again must be made as sure as a new one: DO NOTHING writes nothing, so its commit would wait for no standby, and would acknowledge a row that
  // an earlier attempt has left on this server alone.
  await pool.query('INSERT INTO orders (number) VALUES ($1) ON CONFLICT (number) DO UPDATE SET placed_at = orders.placed_at', [number]);
  await cache.set(`order:${number}`, region);
}

async function health(): Promise<{ ok: boolean; body: Record<string, string | boolean> }> {
  const database = await pool.query('SELECT pg_is_in_recovery() AS standby').then(
    (result) => ({ text: 'ok', writable: result.rows[0]?.standby === false }),
    (error: unknown) => ({ text: message(error), writable: false }),
  );
  const cached = await cache.ping().then(
    () => 'ok',
    (error: unknown) => message(error),
  );
  return {
    ok: database.text === 'ok' && cached === 'ok',
    body: { region, database: database.text, cache: cached, writable: database.writable },
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const piece of request) {
    text += piece.toString();
    if (text.length > 10_000) throw new Error('the request is too long');
  }
  return text;
}

const server = createServer(async (request, response) => {
  try {
    if (request.method === 'POST' && request.url === '/orders') {
      const { number } = JSON.parse(await bodyOf(request)) as { number?: unknown };
      if (!Number.isSafeInteger(number)) return answer(response, 400, { error: 'number must be a whole number' });
      await place(number as number);
      return answer(response, 200, { number, region });
    }
    if (request.method === 'GET' && request.url === '/health') {
      const { ok, body } = await health();
      return answer(response, ok ? 200 : 503, body);
    }
    if (request.method === 'GET' && request.url === '/ready') {
      const { ok, body } = await health();
      return answer(response, ok && body.writable === true ? 200 : 503, body);
    }
    return answer(response, 404, { error: 'not found' });
  } catch (error) {
    return answer(response, 503, { error: message(error) });
  }
});
server.keepAliveTimeout = 1_000;
server.listen(Number(required('ORDERS_PORT')), required('ORDERS_ADDRESS'));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
