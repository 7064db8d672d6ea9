/**
 * A real guard beside a real PostgreSQL: whatever befalls the controller, the server has stopped acknowledging before the lease is over. A client writes all the while and notes the steady
 * clock at each acknowledgement; the lease is watched on a connection of its own.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { readLeaseProof } from '../../src/control/primary/lease-proof.ts';
import { primaryKeys, readGuardRecord } from '../../src/control/primary/primary-records.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { ensurePlatformState } from '../../src/state/platform-state.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { initPrimary, type PostgresCluster, type RunningPostgres, startPostgres } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { nodeProgram, until } from './holdfast-program.ts';

const ttlMs = 5_000;
/** Where programs have to be started within it, on a machine that has other things to do. */
const longTtlMs = 20_000;
const host = nodeHost({ logTo: 'silent' });
const steadyMs = () => host.clock.monotonicMs();

/** Writes one row after the other; a connection that breaks is made anew. */
class Client {
  readonly acknowledgedMs: number[] = [];
  #stopped = false;
  #running: Promise<void> | undefined;

  start(url: string): this {
    this.#running = (async () => {
      while (!this.#stopped) {
        const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
        client.on('error', () => {});
        try {
          await client.connect();
          while (!this.#stopped) {
            await client.query('INSERT INTO written DEFAULT VALUES');
            this.acknowledgedMs.push(steadyMs());
            await delay(2);
          }
        } catch {
          await delay(20);
        }
        await client.end().catch(() => {});
      }
    })();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

describeSystem('postgresql', 'the guard of a primary, with a real server', () => {
  let cluster: PostgresCluster;
  let server: RunningPostgres;
  let directory: string;
  let specFile: string;
  let store: StateStore;
  let client: Client;
  const children: ChildProcess[] = [];
  const guards = new Set<number>();

  const pidOfGuard = () => {
    const { pid } = JSON.parse(readFileSync(join(directory, 'guard-east.sock.pid'), 'utf8')) as { pid: number };
    guards.add(pid);
    return pid;
  };
  const lives = (pid: number) => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

  /** A controller that holds the lease. */
  async function control() {
    const program = join(import.meta.dirname, 'keeper-child.ts');
    const child = spawn(nodeProgram, [program, specFile, directory, 'east'], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ORDERS_PASSWORD: server.passwords.holdfast },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const says: { state: string; token: number | null; fencedAtMs: number | null }[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => says.push(JSON.parse(line)));
    await until('the lease is held and recorded', async () => {
      const recorded = (await readGuardRecord(store, 'east'))?.record;
      return says.at(-1)?.state === 'held' && recorded?.token === says.at(-1)?.token && recorded?.components.length === 1
        ? true
        : undefined;
    });
    pidOfGuard();
    return { child, says, pid: child.pid as number };
  }

  const isHeld = async () => (await store.readLease('primary/east'))?.held === true;
  /** When the lease was seen free for the first time. */
  async function whenFree(): Promise<number> {
    const untilMs = steadyMs() + 4 * ttlMs;
    while (await isHeld()) {
      if (steadyMs() > untilMs) throw new Error('the lease is never free');
      await delay(5);
    }
    return steadyMs();
  }
  async function bar(): Promise<void> {
    await store.commit([
      { kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 2, execution: 'failover-1', atMs: Date.now() }, expected: 'any' },
    ]);
  }
  const prove = () => readLeaseProof(store, { region: 'east', component: 'orders-db', epoch: 2 }, Date.now);
  /** It acknowledged until it was fenced, and nothing at or after the instant at which another region could have promoted. */
  async function expectFencedBefore(freeMs: number): Promise<void> {
    const lastMs = client.acknowledgedMs.at(-1) ?? Number.NaN;
    expect(lastMs).toBeLessThan(freeMs);
    expect(lastMs).toBeGreaterThan(freeMs - 3 * ttlMs);
    await bar();
    expect(await prove()).toMatchObject({ proof: 'lease-expired' });
    const written = client.acknowledgedMs.length;
    await delay(200);
    expect(client.acknowledgedMs.length).toBe(written);
    expect(existsSync(join(cluster.dataDirectory, 'standby.signal'))).toBe(true);
    process.stderr.write(`fenced ${Math.round(freeMs - lastMs)} ms before the lease was seen free\n`);
  }

  beforeAll(async () => {
    cluster = await initPrimary();
    server = await startPostgres(cluster);
    await server.query('CREATE TABLE written (number bigserial PRIMARY KEY)');
  });
  afterAll(async () => {
    await server.stop();
  });

  async function writeSpec(leaseMs: number): Promise<void> {
    const hands = server.owner === undefined ? 'local' : `{ local: { as: ${server.owner} } }`;
    const site = (port: number, extra: string) =>
      `{ url: "postgresql://holdfast@127.0.0.1:${port}/postgres", password: { env: ORDERS_PASSWORD }${extra} }`;
    const own = `, data-directory: ${cluster.dataDirectory}, bin-directory: ${cluster.binDirectory}, hands: ${hands}`;
    await writeFile(
      specFile,
      `holdfast: v1
name: guarded
state: { etcd: { endpoints: ["http://127.0.0.1:1"] } }
controllers: { ttl: ${leaseMs}ms, renew-every: 300ms, regions: [east, west, third] }
regions:
  east: { role: active }
  west: { role: standby }
  third: { role: witness }
components:
  orders-db:
    driver: postgresql
    vital: true
    replication: asynchronous
    sites:
      east: ${site(server.port, own)}
      west: ${site(1, '')}
`,
    );
  }

  beforeEach(async () => {
    directory = await temporaryDirectory('guard');
    specFile = join(directory, 'spec.yaml');
    await writeSpec(ttlMs);
    store = await openSqliteStore({ path: join(directory, 'state.sqlite'), host, platform: 'guarded' });
    await ensurePlatformState(store, 'guarded', 'east');
    client = new Client().start(cluster.url());
    await until('writes', () => client.acknowledgedMs[5]);
  });

  afterEach(async () => {
    await client.stop();
    for (const child of children.splice(0)) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    for (const pid of guards) if (lives(pid)) process.kill(pid, 'SIGKILL');
    guards.clear();
    await store.close();
    await removeDirectory(directory);
    if (existsSync(join(cluster.dataDirectory, 'standby.signal'))) {
      await rm(join(cluster.dataDirectory, 'standby.signal'));
      await server.kill();
      await server.start();
    }
  });

  it('[E5-04] fences before the lease is over when the controller is killed, and ends', async () => {
    const { child } = await control();
    const guard = pidOfGuard();
    const memoryKb = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${guard}/status`, 'utf8'))?.[1]);
    const passwordSeen = ['cmdline', 'environ'].some((name) =>
      readFileSync(`/proc/${guard}/${name}`, 'utf8').includes(server.passwords.holdfast),
    );
    expect(passwordSeen).toBe(false);
    process.stderr.write(`the guard takes ${Math.round(memoryKb / 1024)} MiB\n`);
    child.kill('SIGKILL');
    await expectFencedBefore(await whenFree());
    await until('the guard has ended', () => (lives(guard) ? undefined : true));
  });

  it('[E5-04] fences while the controller is stopped past its time; woken, it finds that it holds nothing', async () => {
    const { child, says } = await control();
    child.kill('SIGSTOP');
    await expectFencedBefore(await whenFree());
    child.kill('SIGCONT');
    await until('it sees that it was fenced', () => says.find(({ state }) => state !== 'held'));
    expect(await isHeld()).toBe(false);
  });

  it('[E5-04] fences while the state is out of reach', async () => {
    const { child } = await control();
    child.kill('SIGUSR2');
    await expectFencedBefore(await whenFree());
  });

  it('fences at once when a failover puts its bar, in far less time than a lease lasts', async () => {
    await control();
    const barredMs = steadyMs();
    await bar();
    const proof = await until('the proof', async () => {
      const found = await prove();
      return 'proof' in found ? found : undefined;
    });
    const tookMs = steadyMs() - barredMs;
    expect(proof.proof).toBe('lease-expired');
    expect(client.acknowledgedMs.at(-1)).toBeLessThan(barredMs + tookMs);
    expect(tookMs).toBeLessThan(ttlMs);
    process.stderr.write(`from the bar to the proof ${Math.round(tookMs)} ms\n`);
  });

  it('goes on serving through the death of the controller, of the guard, a frozen guard, and an orderly end', async () => {
    await writeSpec(longTtlMs);
    const first = await control();
    const token = first.says.at(-1)?.token;
    const guard = pidOfGuard();
    first.child.kill('SIGKILL');
    await delay(300);
    const second = await control();
    expect(second.says.at(-1)?.token).toBe(token);
    expect(pidOfGuard()).toBe(guard);

    process.kill(guard, 'SIGKILL');
    const armed = () => readFileSync(join(directory, 'guard-east.log'), 'utf8').split('guard.armed').length - 1;
    const next = await until('another guard', () => (pidOfGuard() === guard || armed() < 2 ? undefined : pidOfGuard()));
    process.kill(next, 'SIGSTOP');
    const third = await until('a third guard', () => ([guard, next].includes(pidOfGuard()) ? undefined : pidOfGuard()));
    expect(lives(next)).toBe(false);
    await delay(500);
    expect(second.says.at(-1)).toMatchObject({ state: 'held', token });

    second.child.kill('SIGTERM');
    await until('it has ended', () => (second.child.exitCode === null ? undefined : true));
    await until('its guard has ended', () => (lives(third) ? undefined : true));
    expect(await isHeld()).toBe(false);
    await bar();
    expect(await prove()).toMatchObject({ mayCome: false });
    const written = client.acknowledgedMs.length;
    await until('it still serves', () => client.acknowledgedMs[written + 20]);
    const gapsMs = client.acknowledgedMs.slice(1).map((atMs, place) => atMs - (client.acknowledgedMs[place] ?? atMs));
    expect(Math.max(...gapsMs)).toBeLessThan(1_500);
  });

  it('is not held up by a server that is frozen: it ends it all the same', async () => {
    const { child } = await control();
    const postmaster = Number(readFileSync(join(cluster.dataDirectory, 'postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(postmaster, 'SIGSTOP');
    child.kill('SIGKILL');
    await whenFree();
    const left = execFileSync('sh', ['-c', `find /proc/[0-9]*/cwd -maxdepth 0 -lname '${cluster.dataDirectory}' 2>/dev/null | wc -l`]);
    expect(left.toString().trim()).toBe('0');
    await bar();
    expect(await prove()).toMatchObject({ proof: 'lease-expired' });
  });
});
