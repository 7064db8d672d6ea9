/**
 * A client that writes numbered rows and knows several hosts: it connects to each in turn and keeps the one that takes writes, as libpq does with several hosts and
 * target_session_attrs=read-write. Each number is tried once; one whose answer never came counts as not acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

export interface WriterHost {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

export interface AcknowledgedWrite {
  readonly number: number;
  readonly host: string;
  readonly sentAtMs: number;
  /** When the acknowledgement was in. */
  readonly atMs: number;
}

const retryEveryMs = 2;

export class MultiHostWriter {
  readonly #hosts: readonly WriterHost[];
  readonly #everyMs: number;
  readonly acknowledged: AcknowledgedWrite[] = [];
  #client: { readonly client: pg.Client; readonly host: string } | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(hosts: readonly WriterHost[], everyMs: number) {
    this.#hosts = hosts;
    this.#everyMs = everyMs;
  }

  start(): void {
    this.#running = this.#write();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await this.#drop();
  }

  async #write(): Promise<void> {
    for (let number = 1; !this.#stopped; number += 1) {
      try {
        this.#client ??= await this.#connect();
        const { client, host } = this.#client;
        const sentAtMs = Date.now();
        await client.query('INSERT INTO orders (number) VALUES ($1)', [number]);
        this.acknowledged.push({ number, host, sentAtMs, atMs: Date.now() });
        await delay(this.#everyMs);
      } catch {
        // What failed here is what is being measured: try the hosts again.
        await this.#drop();
        await delay(retryEveryMs);
      }
    }
  }

  async #drop(): Promise<void> {
    const dropped = this.#client;
    this.#client = undefined;
    await dropped?.client.end().catch(() => undefined);
  }

  async #connect(): Promise<{ client: pg.Client; host: string }> {
    let last: unknown = new Error('no hosts');
    for (const { host, port, password } of this.#hosts) {
      const client = new pg.Client({
        host,
        port,
        password,
        user: 'holdfast',
        database: 'orders',
        connectionTimeoutMillis: 2_000,
        query_timeout: 5_000,
      });
      client.on('error', () => {
        // A connection that breaks shows in the next query.
      });
      try {
        await client.connect();
        const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby');
        if (rows[0]?.standby === false) return { client, host };
        last = new Error(`${host} takes no writes`);
        await client.end();
      } catch (error) {
        last = error;
        await client.end().catch(() => undefined);
      }
    }
    throw last;
  }
}
