/**
 * How long a standby takes to become a writable primary after its primary was killed under write load, with synchronous replication and wal_retrieve_retry_interval at
 * its default of 5 s: by a bare pg_promote, by the driver's statements without its wake-up, and by the driver. Prints one JSON object as its last line.
 *
 *   node bench/promote-latency.ts [ROUNDS]
 */
import pg from 'pg';
import { Secret } from '../src/base/secret.ts';
import type { Site } from '../src/contracts/driver.ts';
import type { StepContext } from '../src/contracts/verbs.ts';
import { driver } from '../src/drivers/postgresql/driver.ts';
import { nodeHost } from '../src/host/node/node-host.ts';
import { cloneStandby, type RunningPostgres, startPostgres, startPrimary } from '../test/systems/postgresql.ts';

const rounds = Number(process.argv[2] ?? 20);
const writers = 4;
const host = nodeHost({ logTo: 'silent' });

interface Pair {
  readonly primary: RunningPostgres;
  readonly standby: RunningPostgres;
}

async function startPair(): Promise<Pair> {
  const settings = { wal_retrieve_retry_interval: '5s' };
  const primary = await startPrimary({ settings });
  await primary.query('CREATE TABLE load (id bigserial, at timestamptz DEFAULT now())');
  const standby = await startPostgres(await cloneStandby(primary, { applicationName: 'orders_west', settings }));
  await primary.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (orders_west)'`);
  await primary.query('SELECT pg_reload_conf()');
  for (;;) {
    const [row] = await primary.query('SELECT sync_state FROM pg_stat_replication');
    if (row?.['sync_state'] === 'quorum') return { primary, standby };
  }
}

/** Writes as fast as it is acknowledged until the connection breaks. */
async function load(primary: RunningPostgres): Promise<void> {
  const client = new pg.Client({ connectionString: primary.url() });
  client.on('error', () => undefined);
  try {
    await client.connect();
    for (;;) await client.query('INSERT INTO load DEFAULT VALUES');
  } catch {
    // The primary was killed: that is what the load waits for.
  }
}

function openStandby({ primary, standby }: Pair): Site {
  const siteOf = (server: RunningPostgres) =>
    driver.siteOptions.parse({
      url: `postgresql://holdfast@${server.address}:${server.port}/postgres`,
      password: new Secret(server.passwords.holdfast, 'bench'),
    });
  const sites = new Map([
    ['east', siteOf(primary)],
    ['west', siteOf(standby)],
  ]);
  return driver.open({
    host,
    platform: 'bench',
    component: 'orders',
    region: 'west',
    options: driver.componentOptions.parse({}),
    site: sites.get('west'),
    sites,
    replication: 'synchronous',
    hands: undefined,
    probeTimeoutMs: 1_000,
  });
}

/** The moment at which the trap is open is short: each round promotes at another delay after the kill. */
const longestDelayMs = 12;

/** Signals are sent before `kill` returns; its promise resolves only when every process is gone. */
async function killAndWait(primary: RunningPostgres, delayMs: number): Promise<Promise<void>[]> {
  const gone = primary.kill();
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  return [gone];
}

async function promoteBarely({ primary, standby }: Pair, delayMs: number): Promise<number> {
  const client = new pg.Client({ connectionString: standby.url() });
  await client.connect();
  const [gone] = await killAndWait(primary, delayMs);
  const startedMs = performance.now();
  await client.query('SELECT pg_promote()');
  // What a hand would have to do next: otherwise this write waits for ever.
  await client.query('SET synchronous_commit = local');
  await client.query('INSERT INTO load DEFAULT VALUES');
  const tookMs = performance.now() - startedMs;
  await client.end();
  await gone;
  return tookMs;
}

/** As the driver does it, without the reloads that wake the startup process. */
async function promoteUnwoken({ primary, standby }: Pair, delayMs: number): Promise<number> {
  const client = new pg.Client({ connectionString: standby.url() });
  await client.connect();
  const [gone] = await killAndWait(primary, delayMs);
  const startedMs = performance.now();
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = ''`);
  await client.query('SELECT pg_reload_conf()');
  await client.query('SELECT pg_promote(false)');
  const inRecovery = async () => (await client.query('SELECT pg_is_in_recovery() AS standby')).rows[0].standby === true;
  while (await inRecovery()) await new Promise((resolve) => setTimeout(resolve, 4));
  await client.query('INSERT INTO load DEFAULT VALUES');
  const tookMs = performance.now() - startedMs;
  await client.end();
  await gone;
  return tookMs;
}

async function promoteByDriver(pair: Pair, delayMs: number): Promise<number> {
  const site = openStandby(pair);
  const want = { epoch: 2, standbys: [] };
  await site.verbs.promote?.inspect(want, stepContext());
  const client = new pg.Client({ connectionString: pair.standby.url() });
  await client.connect();
  const [gone] = await killAndWait(pair.primary, delayMs);
  const startedMs = performance.now();
  await site.verbs.promote?.apply(want, stepContext());
  await client.query('INSERT INTO load DEFAULT VALUES');
  const tookMs = performance.now() - startedMs;
  await client.end();
  await gone;
  await site.close();
  return tookMs;
}

function stepContext(): StepContext {
  return {
    executionId: 'bench',
    stepId: 'promote',
    epoch: 2,
    signal: AbortSignal.timeout(60_000),
    log: host.log,
    progress: () => undefined,
    note: undefined,
    keepNote: async () => undefined,
  };
}

const ways = { bare: promoteBarely, unwoken: promoteUnwoken, driver: promoteByDriver };

async function measure(how: keyof typeof ways): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const pair = await startPair();
    const loads = Array.from({ length: writers }, () => load(pair.primary));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const delayMs = Math.round((round * longestDelayMs) / rounds);
    times.push(await ways[how](pair, delayMs));
    await Promise.all(loads);
    await pair.standby.stop();
    await pair.primary.stop();
    console.log(`${how} ${round + 1}/${rounds}, ${delayMs} ms after the kill: ${times.at(-1)?.toFixed(0)} ms`);
  }
  return times.sort((left, right) => left - right);
}

const summary = (times: number[]) => ({
  rounds: times.length,
  minMs: Math.round(times[0] ?? 0),
  medianMs: Math.round(times[Math.floor(times.length / 2)] ?? 0),
  maxMs: Math.round(times.at(-1) ?? 0),
  over600Ms: times.filter((time) => time > 600).length,
});

const bare = await measure('bare');
const unwoken = await measure('unwoken');
const withDriver = await measure('driver');
console.log(JSON.stringify({ bench: 'promote-latency', bare: summary(bare), unwoken: summary(unwoken), driver: summary(withDriver) }));
