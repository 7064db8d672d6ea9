/**
 * node checker-program.ts, with its settings in CHECKER: a client that lives in one region and tries to write to every site, all the while, each site by a connection of its own.
 *
 * It prints one JSON line for each write that a site acknowledged, and nothing else: what it was told is what the platform has promised. Times are those of the machine's steady clock,
 * which all regions on this machine share and no skewed wall clock touches. A number is tried once; one whose answer never came was not acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { connectClient } from '../../systems/postgresql-client.ts';
import { type CheckerSettings, steadyMs } from './checker.ts';

const settings = JSON.parse(process.env.CHECKER ?? '') as CheckerSettings;
/** The timeline is the store's own count of promotions: what two sites acknowledge under the same one, both believed to be the only primary. */
const insert =
  "INSERT INTO orders (number) VALUES ($1) RETURNING ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline";
const connectTimeoutMs = 500;
const answerTimeoutMs = 1_500;

/** Grows from write to write and from run to run; the last digits say who wrote. */
function numberOf(writer: number, lastNumber: number): number {
  return Math.max(Math.floor(steadyMs() * 1_000) * 100 + writer, lastNumber + 100);
}

const connect = (target: CheckerSettings['targets'][number]): Promise<pg.Client> =>
  connectClient({
    host: target.host,
    port: target.port,
    user: 'holdfast',
    password: target.password,
    database: 'orders',
    application_name: `checker in ${settings.region}`,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: answerTimeoutMs,
  });

async function write(target: CheckerSettings['targets'][number], writer: number): Promise<never> {
  let client: pg.Client | undefined;
  let number = 0;
  for (;;) {
    number = numberOf(writer, number);
    try {
      client ??= await connect(target);
      const sentAtMs = steadyMs();
      const { rows } = await client.query(insert, [number]);
      const line = { number, from: settings.region, site: target.region, timeline: Number(rows[0]?.timeline), sentAtMs, atMs: steadyMs() };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    } catch (error) {
      // A standby refuses each write, and the connection is as good as before.
      if ((error as { code?: string }).code !== '25006') {
        void client?.end().catch(() => {});
        client = undefined;
      }
    }
    await delay(settings.everyMs);
  }
}

for (const [index, target] of settings.targets.entries()) void write(target, settings.firstWriter + index);
