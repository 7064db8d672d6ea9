/**
 * A client of one database: inserts numbered rows one after the other and remembers each acknowledgement with its time. It is what invariants are judged by from outside: whether a
 * site can acknowledge, and whether what it acknowledged is still there.
 */
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { RunningPostgres } from '../systems/postgresql.ts';
import { connectClient } from '../systems/postgresql-client.ts';

const attemptTimeoutMs = 1_000;
const everyMs = 20;

/** Where a client stands: a packet filter tells clients apart by their own address. */
export interface Standing {
  readonly localAddress: string;
}

/** A connection from the client's own address. The socket is closed when the server is too slow, so that nothing is ever taken back by us. */
export const connect = (database: RunningPostgres, from: Standing, name = 'orders', timeoutMs = attemptTimeoutMs): Promise<pg.Client> =>
  connectClient({
    connectionString: database.url('holdfast', name),
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    stream: () => {
      const socket = new Socket();
      const open = socket.connect.bind(socket);
      socket.connect = ((port: number, host: string) => open({ port, host, localAddress: from.localAddress })) as typeof socket.connect;
      return socket;
    },
  });

export async function query(
  database: RunningPostgres,
  from: Standing,
  text: string,
  values: readonly unknown[] = [],
  timeoutMs = 3_000,
): Promise<Record<string, unknown>[]> {
  const client = await connect(database, from, 'orders', timeoutMs);
  try {
    return (await client.query(text, [...values])).rows as Record<string, unknown>[];
  } finally {
    void client.end().catch(() => {});
  }
}

export interface Acknowledged {
  readonly number: number;
  readonly atMs: number;
}

export class DatabaseWriter {
  readonly #database: RunningPostgres;
  readonly #from: Standing;
  readonly acknowledged: Acknowledged[] = [];
  lastError = '';
  #number: number;
  #stopped = false;
  #running: Promise<void> | undefined;

  /** @param firstNumber each writer counts in a range of its own */
  constructor(database: RunningPostgres, from: Standing, firstNumber: number) {
    this.#database = database;
    this.#from = from;
    this.#number = firstNumber;
  }

  start(): this {
    this.#running = this.#write();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  since(atMs: number): readonly Acknowledged[] {
    return this.acknowledged.filter((each) => each.atMs > atMs);
  }

  async #write(): Promise<void> {
    let client: pg.Client | undefined;
    while (!this.#stopped) {
      const number = this.#number;
      this.#number += 1;
      try {
        client ??= await connect(this.#database, this.#from);
        await client.query('INSERT INTO orders (number) VALUES ($1)', [number]);
        this.acknowledged.push({ number, atMs: Date.now() });
      } catch (error) {
        this.lastError = (error as Error).message;
        void client?.end().catch(() => {});
        client = undefined;
      }
      await delay(everyMs);
    }
    void client?.end().catch(() => {});
  }
}

/** Acknowledged rows that a database does not hold. */
export async function missingFrom(database: RunningPostgres, from: Standing, acknowledged: readonly Acknowledged[]): Promise<number[]> {
  const rows = await query(database, from, 'SELECT number FROM orders', [], 10_000);
  const there = new Set(rows.map((row) => Number(row.number)));
  return acknowledged.map((each) => each.number).filter((number) => !there.has(number));
}
