/**
 * npm run demo -- recovery: a live PostgreSQL and Redis under load, backed up all the while into an encrypted repository. Somebody drops a table and deletes rows in one transaction. Holdfast
 * finds that transaction in the archived log, restores the database beside to just before it, proves the backup, and what came back is compared with what was counted in the moment before
 * the mistake. The live platform is never stopped; customers go on ordering.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../test/systems/ports.ts';
import type { RunningPostgres } from '../../test/systems/postgresql.ts';
import { findClusterOwner } from '../../test/systems/postgresql-template.ts';
import { runProgram } from '../../test/systems/run-program.ts';
import { type CommandAnswer, runHoldfast, ServeProcess } from './holdfast-process.ts';
import { OrdersClient } from './orders-client.ts';
import { startTwoRegions, type TwoRegions } from './two-regions.ts';

interface RecoveryResult {
  /** How far the backup was proven. */
  readonly level: string;
  readonly target: string;
  readonly reached: string;
  readonly rowsExpected: number;
  readonly rowsFound: number;
  /** Between the newest canary row in the restored copy and the mistake. */
  readonly canaryGapMs: number;
  readonly restoreMs: number;
}

interface Mistake {
  readonly atMs: number;
  readonly orders: number;
  readonly customers: number;
}

interface Loss {
  readonly transaction: string;
  readonly summary: string;
  readonly atMs: number;
  readonly dropped: number;
}

const customers = 500;
const conditionTimeoutMs = 60_000;
const startTimeoutMs = 60_000;

async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + conditionTimeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${conditionTimeoutMs / 1_000} s`);
    await delay(50);
  }
}

class Recovery {
  readonly #regions: TwoRegions;
  readonly #say: (text: string) => void;
  #client: OrdersClient | undefined;
  #serve: ServeProcess | undefined;

  constructor(regions: TwoRegions, say: (text: string) => void) {
    this.#regions = regions;
    this.#say = say;
  }

  get #database(): RunningPostgres {
    return this.#regions.regions['us-east-1'].database;
  }

  async tell(): Promise<RecoveryResult> {
    await this.#begin();
    await this.#backUp();
    await this.#orders(60);
    const mistake = await this.#mistake();
    this.#say(`somebody deletes every second of ${mistake.orders} orders, and drops the table customers (${mistake.customers} rows)`);
    await this.#orders(20);
    const { loss, backupId } = await this.#findMistake();
    this.#say(`holdfast losses: transaction ${loss.transaction} ${loss.summary}`);
    const into = join(this.#regions.directory, 'beside');
    const restored = await this.#holdfast(
      'restore',
      'orders-db',
      '--before',
      loss.transaction,
      '--backup',
      backupId,
      '--into',
      into,
      '--yes',
    );
    const about = restored.json.restored as { reached: string; tookMs: number; canary?: { number: number; atMs: number } };
    this.#say(`restored beside in ${about.tookMs} ms: it ${about.reached}`);
    const found = await this.#countBeside(into);
    this.#say(`beside: ${found.orders} orders and ${found.customers} customers; live: the orders go on`);
    const proof = (await this.#holdfast('verify', 'orders-db', backupId, '--level', 'P4')).json.proof as { reached: string };
    this.#say(`the backup that it came from is proven up to ${proof.reached}`);
    await this.#proveCache();
    return {
      level: proof.reached,
      target: `just before transaction ${loss.transaction}`,
      reached: about.reached,
      rowsExpected: mistake.orders + mistake.customers,
      rowsFound: found.orders + found.customers,
      canaryGapMs: about.canary ? Math.max(0, mistake.atMs - about.canary.atMs) : -1,
      restoreMs: about.tookMs,
    };
  }

  async end(): Promise<void> {
    await this.#client?.stop();
    await this.#serve?.stop();
  }

  async #holdfast(...words: string[]): Promise<CommandAnswer> {
    const answer = await runHoldfast(this.#regions, words);
    if (answer.exitCode !== 0)
      throw new Error(
        `holdfast ${words.join(' ')} ended with ${answer.exitCode}: ${JSON.stringify(answer.json).slice(0, 2_000)} ${answer.errorOutput.slice(-1_000)}`,
      );
    return answer;
  }

  async #begin(): Promise<void> {
    const { dns, recordName, ordersPort, directory } = this.#regions;
    if (!dns) throw new Error('the customer finds its way by the name server');
    await this.#database.query('CREATE TABLE customers (number bigint PRIMARY KEY)', { database: 'orders' });
    await this.#database.query(`INSERT INTO customers SELECT generate_series(1, ${customers})`, { database: 'orders' });
    await this.#holdfast('repository', 'create', 'main', '--recovery-key-file', join(directory, 'recovery-key'));
    this.#say('an encrypted repository is made, and its recovery key put where it outlives this machine');
    this.#serve = new ServeProcess(this.#regions, () => {});
    this.#client = new OrdersClient({ nameServer: `${dns.address}:${dns.port}`, name: recordName, port: ordersPort, everyMs: 25 });
    this.#client.start();
    await this.#orders(20);
    this.#say('holdfast serve watches and archives; a customer places orders');
  }

  /** Waits until so many more orders were acknowledged. */
  async #orders(count: number): Promise<void> {
    const client = this.#client;
    const wanted = (client?.acknowledgements.length ?? 0) + count;
    await until(`${count} orders`, () => ((client?.acknowledgements.length ?? 0) >= wanted ? true : undefined));
  }

  /** Where there is no backup yet, serve takes the first ones by itself. */
  async #backUp(): Promise<void> {
    const components = await until('the first backups', async () => {
      const { json } = await this.#holdfast('backups');
      const there = new Set((json.backups as { component: string }[]).map(({ component }) => component));
      return there.size === 2 ? [...there] : undefined;
    });
    this.#say(`holdfast serve has taken the first backups by itself: ${components.sort().join(', ')}`);
  }

  /** Counted in the very transaction that destroys: nothing comes in between. */
  async #mistake(): Promise<Mistake> {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: this.#database.url('holdfast', 'orders') });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query('LOCK TABLE orders, customers IN EXCLUSIVE MODE');
      const { rows } = await client.query('SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM customers) AS customers');
      await client.query('DELETE FROM orders WHERE number % 2 = 0');
      await client.query('DROP TABLE customers');
      const atMs = Date.now();
      await client.query('COMMIT');
      return { atMs, orders: Number(rows[0].orders), customers: Number(rows[0].customers) };
    } finally {
      await client.end();
    }
  }

  /** The log that tells of it is in the repository a moment after the mistake. */
  #findMistake(): Promise<{ readonly loss: Loss; readonly backupId: string }> {
    return until('the mistake in the archived log', async () => {
      const { json } = await this.#holdfast('losses', 'orders-db', '--since', '1h', '--rows', '1');
      const loss = (json.losses as Loss[]).findLast((each) => each.dropped > 0);
      return loss ? { loss, backupId: String(json.backupId) } : undefined;
    });
  }

  async #countBeside(directory: string): Promise<{ readonly orders: number; readonly customers: number }> {
    const { commandPrefix } = await findClusterOwner();
    const ctl = [...commandPrefix, join(this.#database.binDirectory, 'pg_ctl')];
    const port = await freePort('127.0.0.1');
    const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c logging_collector=off -c synchronous_standby_names=''`;
    const log = join(directory, 'start.log');
    try {
      await runProgram([...ctl, 'start', '-D', directory, '-w', '-l', log, '-o', settings], { timeoutMs: startTimeoutMs });
    } catch (error) {
      throw new Error(`the restored server does not start: ${(await readFile(log, 'utf8')).slice(-1_000)}`, { cause: error });
    }
    try {
      const { default: pg } = await import('pg');
      const password = encodeURIComponent(this.#database.passwords.holdfast);
      const client = new pg.Client({ connectionString: `postgresql://holdfast:${password}@127.0.0.1:${port}/orders` });
      await client.connect();
      const { rows } = await client.query('SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM customers) AS customers');
      await client.end();
      return { orders: Number(rows[0].orders), customers: Number(rows[0].customers) };
    } finally {
      await runProgram([...ctl, 'stop', '-D', directory, '-w', '-m', 'fast'], { timeoutMs: startTimeoutMs });
    }
  }

  async #proveCache(): Promise<void> {
    const { json } = await this.#holdfast('verify', 'orders-cache');
    this.#say(`the snapshot of the cache is proven up to ${(json.proof as { reached: string }).reached}`);
  }
}

/** Resolves to the exit code. */
export async function tellRecovery(json: boolean): Promise<number> {
  const startedAtMs = Date.now();
  const out = json ? process.stderr : process.stdout;
  const say = (text: string) => out.write(`${((Date.now() - startedAtMs) / 1_000).toFixed(2).padStart(7)} s  ${text}\n`);
  const regions = await startTwoRegions({ automatic: false, backups: true });
  const recovery = new Recovery(regions, say);
  try {
    const result = await recovery.tell();
    const held = result.rowsFound === result.rowsExpected;
    say(
      held ? 'everything that the mistake took is there again' : `${result.rowsExpected} rows were expected, ${result.rowsFound} are there`,
    );
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return held ? 0 : 1;
  } finally {
    await recovery.end();
    await regions.stop();
    await rm(regions.directory, { recursive: true, force: true });
  }
}
