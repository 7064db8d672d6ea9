/** A platform without standbys: its region is lost, and the other one is brought back from backups by the failover itself. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { initPrimary, type PostgresCluster, type RunningPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

const rows = 2_000;

interface Platform {
  readonly directory: string;
  readonly east: RunningPostgres;
  /** Set up and never started: what a region that only waits has. */
  readonly west: PostgresCluster;
  readonly where: Where;
}

function specOf(directory: string, east: RunningPostgres, west: PostgresCluster): string {
  const site = ({ address, port, dataDirectory, owner }: Pick<PostgresCluster, 'address' | 'port' | 'dataDirectory' | 'owner'>) =>
    `{ url: "postgresql://holdfast@${address}:${port}/postgres", password: { env: DATABASE_PASSWORD }, data-directory: ${dataDirectory}, hands: ${owner === undefined ? 'local' : `{ local: { as: ${owner} } }`} }`;
  return `holdfast: v1
name: alone
objectives: { rto: 10m, rpo: 1h }
regions: { east: { role: active }, west: { role: standby } }
components:
  orders-db:
    driver: postgresql
    replication: none
    backup: [{ what: base, every: hourly, keep: 7d }]
    sites:
      east: ${site(east)}
      west: ${site(west)}
  vectors:
    driver: files
    replication: none
    needs: [orders-db]
    backup: [{ what: files, every: hourly, keep: 7d }]
    sites: { east: { path: ${directory}/east-vectors }, west: { path: ${directory}/west-vectors } }
repositories:
  main: { driver: filesystem, path: ${directory}/repository }
watch: { every: 250ms, timeout: 1s, failures: 3 }
failover: { loss-budget: 1h }
`;
}

async function build(): Promise<Platform> {
  // Short, for sockets lie in it; and others must get through.
  const directory = await mkdtemp(join(tmpdir(), 'hf-'));
  await chmod(directory, 0o711);
  const east = await startPrimary();
  const west = await initPrimary({ settings: { work_mem: '7MB' } });
  await mkdir(join(directory, 's'), { mode: 0o711 });
  await mkdir(join(directory, 'east-vectors', 'tenant-1'), { recursive: true });
  await writeFile(join(directory, 'east-vectors', 'tenant-1', 'main.bin'), 'vectors of tenant 1');
  const specFile = join(directory, 'holdfast.yaml');
  await writeFile(specFile, specOf(directory, east, west));
  const env = { DATABASE_PASSWORD: east.passwords.holdfast, HOLDFAST_SCRATCH: join(directory, 's') };
  return { directory, east, west, where: { specFile, stateDirectory: join(directory, 'state'), env } };
}

function queryBack({ west }: Platform, text: string) {
  const command = [join(west.binDirectory, 'psql'), west.url(), '--tuples-only', '--no-align', '--command', text];
  return runProgram(command, { timeoutMs: 20_000 });
}

async function tearDown(platform: Platform | undefined): Promise<void> {
  if (!platform) return;
  const { east, west, directory } = platform;
  await east.stop();
  const stop = [...west.commandPrefix, join(west.binDirectory, 'pg_ctl'), 'stop', '-D', west.dataDirectory, '-m', 'immediate'];
  await runProgram(stop, { timeoutMs: 20_000 }).catch(() => undefined); // Never started, where a test failed before.
  await rm(west.dir, { recursive: true, force: true });
  await rm(directory, { recursive: true, force: true });
}

const kept = async ({ west }: Platform) => (await readdir(west.dir)).filter((name) => name.startsWith('data.before-failover-'));

describeSystem(['postgresql'], 'a region without standbys', () => {
  let platform: Platform;
  const run = (...args: string[]) => runHoldfast(platform.where, args, { timeoutMs: 170_000 });
  const queryWest = (text: string) => queryBack(platform, text);

  beforeAll(async () => {
    platform = await build();
    await platform.east.query(`CREATE TABLE orders AS SELECT n AS id, 'order ' || n AS note FROM generate_series(1, ${rows}) AS n`);
  }, 120_000);

  afterAll(() => tearDown(platform), 60_000);

  it('without a backup it is at risk, and says that nothing would bring it back', async () => {
    const checked = await run('check');
    expect(checked.exitCode, checked.err).toBe(3);
    expect(checked.out).toContain('orders-db has no standby, and no backup of it is known');
    expect(await run('switchover', '--yes')).toMatchObject({ exitCode: 1, json: { error: { code: 'PLAN_IMPOSSIBLE' } } });
  });

  it('[S4-25] [S4-39] lost, it comes back in the other region: the newest backup, what was there before kept aside', async () => {
    expect(await run('repository', 'create', 'main')).toMatchObject({ exitCode: 0 });
    for (const component of ['orders-db', 'vectors']) {
      const taken = await run('backup', component);
      expect(taken, taken.err).toMatchObject({ exitCode: 0 });
    }
    const checked = await run('check');
    expect(checked.json.readiness[0]).toMatchObject({ losing: 'east', target: 'west', ready: true });
    expect(checked.json.readiness[0].rpoNowMs).toBeGreaterThan(0);
    await platform.east.query("INSERT INTO orders VALUES (0, 'after the backup')");
    await platform.east.kill();

    const planned = await run('plan', 'failover');
    const steps = planned.json.steps.map(({ id, after }: { id: string; after: string[] }) => [id, after]);
    expect(planned.json.mayLose).toMatch(/up to .* of orders-db, the age of its newest recovery point; up to .* of vectors/);
    expect(new Map(steps).get('restore-site orders-db west')).toContain('fence orders-db east');

    const moved = await run('failover', '--yes');
    expect(moved, `${moved.out}\n${moved.err}`).toMatchObject({ exitCode: 0 });
    expect((await queryWest('SELECT count(*), max(id) FROM orders')).stdout.trim()).toBe(`${rows}|${rows}`);
    expect((await queryWest('SHOW work_mem')).stdout.trim()).toBe('7MB');
    expect((await queryWest('SHOW archive_mode')).stdout.trim()).toBe('off');
    await queryWest("INSERT INTO orders VALUES (-1, 'in the west')");
    expect(await readFile(join(platform.directory, 'west-vectors', 'tenant-1', 'main.bin'), 'utf8')).toBe('vectors of tenant 1');
    expect(await kept(platform)).toHaveLength(1);
    expect(await readdir(join(platform.directory, 's', (await readdir(join(platform.directory, 's')))[0] ?? ''))).toEqual([]);
  }, 170_000);

  it('[X-09] the loss is told by the instant of the backup, not assumed', async () => {
    const [execution] = (await run('executions')).json.executions.filter(({ id }: { id: string }) => id.startsWith('failover'));
    const { state } = (await run('executions', execution.id)).json;
    const outputs = new Map(state.steps.map(({ id, output }: { id: string; output: unknown }) => [id, output]));
    expect(outputs.get('measure-loss vectors')).toMatchObject({ measured: true, window: { fromMs: expect.any(Number) } });
    expect(outputs.get('restore-site orders-db west')).toMatchObject({ component: 'orders-db', reachedAtMs: expect.any(Number) });
    const status = await run('status');
    expect(status.json).toMatchObject({ activeRegion: 'west', epoch: 2 });
  });
});

describeSystem(['postgresql'], 'a controller that dies while it brings a region back', () => {
  let platform: Platform;
  const run = (...args: string[]) => runHoldfast(platform.where, args, { timeoutMs: 170_000 });

  beforeAll(async () => {
    platform = await build();
    await platform.east.query(`CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, ${rows}) AS n`);
    expect(await run('repository', 'create', 'main')).toMatchObject({ exitCode: 0 });
    for (const component of ['orders-db', 'vectors']) expect(await run('backup', component)).toMatchObject({ exitCode: 0 });
    await platform.east.kill();
  }, 170_000);

  afterAll(() => tearDown(platform), 60_000);

  it('[X-02] whoever goes on makes the same copy whole, and what was there before is kept once', async () => {
    const died = startHoldfast(platform.where, ['failover', '--yes'], { timeoutMs: 120_000 });
    // Moved aside, and no copy in its place yet, or only a part of it.
    await until('room was made', async () => ((await kept(platform)).length > 0 ? true : undefined), 100_000);
    died.signal('SIGKILL');
    await died.ended;
    const [open] = (await run('executions')).json.executions;
    expect(open).toMatchObject({ status: expect.not.stringMatching(/^done$/) });
    const resumed = await run('resume', open.id);
    expect(resumed, `${resumed.out}\n${resumed.err}`).toMatchObject({ exitCode: 0 });
    expect((await queryBack(platform, 'SELECT count(*) FROM orders')).stdout.trim()).toBe(String(rows));
    expect(await kept(platform)).toHaveLength(1);
    expect((await run('status')).json).toMatchObject({ activeRegion: 'west' });
  }, 170_000);
});
