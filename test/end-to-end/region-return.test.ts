/**
 * The majority of etcd is lost and comes back, with nobody to fail over to: the active region fences itself, and serves again by itself, or once a person says so. Real PostgreSQL, three real
 * members of etcd, a real controller in each of two regions. A client writes to each server all the while: no two may acknowledge at once, and what was acknowledged must be there.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, expect, it } from 'vitest';
import { makeMembers, type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { cloneStandby, type RunningPostgres, startPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { type RunningProgram, runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

interface Written {
  readonly number: number;
  readonly atMs: number;
}

/** One row after the other, each acknowledged by this server alone. */
function writeTo(server: RunningPostgres, acknowledged: Written[], over: AbortSignal): Promise<void> {
  return (async () => {
    while (!over.aborted) {
      const client = new pg.Client({
        connectionString: `${server.url()}?options=-c%20synchronous_commit%3Dlocal`,
        connectionTimeoutMillis: 1_000,
      });
      client.on('error', () => {});
      try {
        await client.connect();
        while (!over.aborted) {
          const { rows } = await client.query('INSERT INTO written DEFAULT VALUES RETURNING number');
          acknowledged.push({ number: Number(rows[0].number), atMs: performance.now() });
          await delay(5);
        }
      } catch {
        await delay(20);
      }
      await client.end().catch(() => {});
    }
  })();
}

describeSystem(['postgresql', 'etcd'], 'a region that fenced itself while the state had no majority', () => {
  let directory: string;
  let east: RunningPostgres;
  let west: RunningPostgres;
  let etcd: readonly RunningEtcd[] = [];
  let controllers: RunningProgram[] = [];
  let over = new AbortController();
  let writers: Promise<void>[] = [];
  let inEast: Written[] = [];
  let inWest: Written[] = [];

  const at = (region: string): Where => ({
    specFile: join(directory, 'spec.yaml'),
    stateDirectory: join(directory, region),
    env: { ORDERS_PASSWORD: east.passwords.holdfast, HOLDFAST_REGION: region },
  });

  async function begin(afterFence: 'return' | 'wait'): Promise<void> {
    over = new AbortController();
    directory = await temporaryDirectory('return');
    const members = await makeMembers(3);
    [east, ...etcd] = await Promise.all([startPrimary(), ...members.map(({ name }) => startEtcd({ members, name }))]);
    await east.query('CREATE TABLE written (number bigserial PRIMARY KEY)');
    west = await startPostgres(await cloneStandby(east, { applicationName: 'orders_db_west' }));
    const local = east.owner === undefined ? 'local' : `{ local: { as: ${east.owner} } }`;
    const site = (server: RunningPostgres) =>
      `{ url: "postgresql://holdfast@127.0.0.1:${server.port}/postgres", password: { env: ORDERS_PASSWORD }, data-directory: ${server.dataDirectory}, bin-directory: ${server.binDirectory}, hands: ${local} }`;
    await writeFile(
      join(directory, 'spec.yaml'),
      `holdfast: v1
name: returning
state: { etcd: { endpoints: [${etcd.map(({ url }) => `"${url}"`).join(', ')}] } }
controllers: { ttl: 5s, renew-every: 1s, regions: [east, west, third], after-fence: ${afterFence} }
regions: { east: { role: active }, west: { role: standby }, third: { role: witness } }
watch: { every: 300ms, timeout: 1s }
failover: { automatic: false, loss-budget: 1h }
components:
  orders-db:
    driver: postgresql
    vital: true
    replication: asynchronous
    sites:
      east: ${site(east)}
      west: ${site(west)}
`,
    );
    controllers = ['east', 'west'].map((region) => startHoldfast(at(region), ['serve'], { timeoutMs: 600_000, logLevel: 'info' }));
    await until('the lease is held in east', () => /"token":\d+,"covered":\["orders-db"\]/.exec(said()) ?? undefined, 60_000);
    inEast = [];
    inWest = [];
    writers = [writeTo(east, inEast, over.signal), writeTo(west, inWest, over.signal)];
    await until('east acknowledges', () => inEast[20]);
  }

  const said = () => controllers[0]?.output() ?? '';
  const majority = () => etcd.slice(1);

  /** Two of three members are killed; east has fenced itself by then. */
  async function loseMajority(): Promise<void> {
    for (const member of majority()) await member.kill();
    await until('east is fenced', () => (said().includes('primary.fenced') ? true : undefined), 60_000);
    expect(existsSync(join(east.dataDirectory, 'standby.signal'))).toBe(true);
    const before = inEast.length;
    await delay(1_000);
    expect(inEast.length).toBe(before);
  }

  async function regainMajority(): Promise<void> {
    await Promise.all(majority().map((member) => member.start()));
  }

  async function expectNothingLost(): Promise<void> {
    over.abort();
    await Promise.all(writers);
    expect(inWest).toEqual([]);
    const rows = await east.query('SELECT number FROM written');
    const there = new Set(rows.map((row) => Number((row as { number: string }).number)));
    expect(inEast.filter(({ number }) => !there.has(number))).toEqual([]);
  }

  afterEach(async () => {
    over.abort();
    await Promise.allSettled([...writers, ...controllers.map((each) => each.stop())]);
    await Promise.allSettled([west?.stop(), east?.stop(), ...etcd.map((each) => each.stop())]);
    await removeDirectory(directory);
  });

  it('[X-01] [E5-04] serves again by itself once etcd has its majority back, and nothing that was acknowledged is lost', {
    retry: 0,
    timeout: 240_000,
  }, async () => {
    await begin('return');
    await loseMajority();
    const fenced = inEast.length;
    const fromMs = performance.now();
    await regainMajority();
    const first = await until('east acknowledges again', () => inEast[fenced + 5], 90_000);
    process.stderr.write(`serves again ${Math.round(first.atMs - fromMs)} ms after the majority was started again\n`);
    expect(existsSync(join(east.dataDirectory, 'standby.signal'))).toBe(false);
    // A row may be acknowledged before the controller has said what it did.
    await until('it says that it has returned', () => said().includes('primary.returned') || undefined, 20_000);
    await expectNothingLost();
    const status = (await runHoldfast(at('east'), ['status'])).json;
    expect(status).toMatchObject({ activeRegion: 'east', epoch: 1 });
  });

  it('[X-01] waits for a person where the spec says so, refuses what could make two primaries, and says what would have to change', {
    retry: 0,
    timeout: 240_000,
  }, async () => {
    await begin('wait');
    await loseMajority();
    const fenced = inEast.length;
    await regainMajority();
    await until('it says what it waits for', () => (said().includes('primary.return-waits') ? true : undefined), 90_000);
    expect(existsSync(join(east.dataDirectory, 'standby.signal'))).toBe(true);
    const refused = await runHoldfast(at('west'), ['resume', '--region', 'west']);
    expect(refused.exitCode).toBe(1);
    expect(`${refused.err}${refused.out}`).toContain('east is the active region');
    const told = await runHoldfast(at('west'), ['resume', '--region', 'east'], { timeoutMs: 120_000 });
    expect(told.exitCode, told.err).toBe(0);
    await until('east acknowledges again', () => inEast[fenced + 5], 30_000);
    await expectNothingLost();
  });
});
