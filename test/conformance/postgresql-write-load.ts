/** A client that writes numbered rows as fast as they are acknowledged, and remembers when each one was. */
import pg from 'pg';
import type { RunningPostgres } from '../systems/postgresql.ts';

export class WriteLoad {
  readonly first: number;
  acknowledged: number;
  readonly acknowledgedAt = new Map<number, number>();
  readonly #client: pg.Client;
  #running = true;
  #ended: Promise<void> = Promise.resolve();

  private constructor(client: pg.Client, first: number) {
    this.#client = client;
    this.first = first;
    this.acknowledged = first - 1;
  }

  static async start(server: RunningPostgres): Promise<WriteLoad> {
    const client = new pg.Client({ connectionString: server.url() });
    client.on('error', () => {
      // The server was killed under it: the statement under way rejects.
    });
    await client.connect();
    await client.query('CREATE TABLE IF NOT EXISTS load (id bigint PRIMARY KEY, filling text)');
    const { rows } = await client.query('SELECT coalesce(max(id), 0)::int + 1 AS first FROM load');
    const load = new WriteLoad(client, Number(rows[0].first));
    load.#ended = load.#write();
    return load;
  }

  async #write(): Promise<void> {
    try {
      while (this.#running) {
        const id = this.acknowledged + 1;
        await this.#client.query("INSERT INTO load VALUES ($1, repeat('x', 500))", [id]);
        this.acknowledged = id;
        this.acknowledgedAt.set(id, Date.now());
      }
    } catch {
      // The server is gone: what was not acknowledged does not count.
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#ended;
    await this.#client.end().catch(() => undefined);
  }
}
