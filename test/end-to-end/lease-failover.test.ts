/**
 * An asynchronous store whose host nobody outside can act on: until now only a person's word could prove its fence. With controllers in several regions the end of its lease does. Real
 * PostgreSQL, real etcd, a real controller in each of two regions; the active one is killed together with everything that could have told.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { cloneStandby, type RunningPostgres, startPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { type RunningProgram, runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

/** When each region acknowledged writes, by one steady clock. */
function writeTo(server: RunningPostgres, acknowledgedMs: number[], over: AbortSignal): Promise<void> {
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
          await client.query('INSERT INTO written DEFAULT VALUES');
          acknowledgedMs.push(performance.now());
          await delay(5);
        }
      } catch {
        await delay(20);
      }
      await client.end().catch(() => {});
    }
  })();
}

describeSystem(['postgresql', 'etcd'], 'an asynchronous store behind a lease', () => {
  let east: RunningPostgres;
  let west: RunningPostgres;
  let etcd: RunningEtcd;
  let directory: string;
  const controllers: RunningProgram[] = [];
  const over = new AbortController();
  const writers: Promise<void>[] = [];

  const at = (region: string): Where => ({
    specFile: join(directory, 'spec.yaml'),
    stateDirectory: join(directory, region),
    env: { ORDERS_PASSWORD: east.passwords.holdfast, HOLDFAST_REGION: region },
  });

  beforeAll(async () => {
    directory = await temporaryDirectory('lease');
    [east, etcd] = await Promise.all([startPrimary(), startEtcd()]);
    await east.query('CREATE TABLE written (number bigserial PRIMARY KEY)');
    west = await startPostgres(await cloneStandby(east, { applicationName: 'orders_db_west' }));
    const local = east.owner === undefined ? 'local' : `{ local: { as: ${east.owner} } }`;
    const site = (server: RunningPostgres) =>
      `{ url: "postgresql://holdfast@127.0.0.1:${server.port}/postgres", password: { env: ORDERS_PASSWORD }, data-directory: ${server.dataDirectory}, bin-directory: ${server.binDirectory}, hands: ${local} }`;
    await writeFile(
      join(directory, 'spec.yaml'),
      `holdfast: v1
name: leased
state: { etcd: { endpoints: ["http://${etcd.address}:${etcd.port}"] } }
controllers: { ttl: 5s, renew-every: 1s, regions: [east, west, third] }
regions: { east: { role: active }, west: { role: standby }, third: { role: witness } }
watch: { every: 300ms, timeout: 1s }
failover: { loss-budget: 1h }
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
  });

  afterAll(async () => {
    over.abort();
    await Promise.allSettled([...writers, ...controllers.map((each) => each.stop())]);
    await Promise.allSettled([west?.stop(), east?.stop(), etcd?.stop()]);
    await removeDirectory(directory);
  });

  // What it does to its servers can not be done twice: no second try.
  it('[E5-04] is promoted elsewhere once its lease is over, and not while it may still acknowledge', { retry: 0 }, async () => {
    for (const region of ['east', 'west']) controllers.push(startHoldfast(at(region), ['serve'], { timeoutMs: 600_000, logLevel: 'info' }));
    await until(
      'the lease is held in east',
      () => /"token":\d+,"covered":\["orders-db"\]/.exec(controllers[0]?.output() ?? '') ?? undefined,
      30_000,
    );
    const inEast: number[] = [];
    const inWest: number[] = [];
    writers.push(writeTo(east, inEast, over.signal), writeTo(west, inWest, over.signal));
    await until('west is ready, and what it would lose is known', async () =>
      (await runHoldfast(at('west'), ['status'])).json?.sites?.some((each: { lossNowMs?: number }) => each.lossNowMs !== undefined)
        ? true
        : undefined,
    );

    controllers[0]?.signal('SIGKILL');
    const killedMs = performance.now();
    const done = await runHoldfast(at('west'), ['failover', '--yes', '--to', 'west', '--reason', 'the controller of east is gone']);
    expect(done.json, done.err).toMatchObject({ outcome: 'done', to: 'west' });
    const fence = done.json.steps.find((step: { verb: string }) => step.verb === 'fence');
    expect(fence.output.proof).toBe('lease-expired');

    const first = await until('west acknowledges', () => inWest[0]);
    const last = inEast.at(-1) ?? Number.NaN;
    expect(last).toBeGreaterThan(killedMs);
    expect(first).toBeGreaterThan(last);
    await delay(300);
    expect(inEast.at(-1)).toBe(last);
    process.stderr.write(
      `east acknowledged until ${Math.round(last - killedMs)} ms after its controller was killed, west from ${Math.round(first - killedMs)} ms on\n`,
    );
  });
});
