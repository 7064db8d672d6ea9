/**
 * How many revisions a second three controllers write to etcd while nothing happens: a real `holdfast serve` for each of three regions, a real etcd, one pair of real Redis servers that gets
 * canaries, and HTTP services for all the other sites. Says which keys they were, too, and how much the processes and the database take. Prints one JSON object as its last line.
 *
 *   node bench/etcd-writes.ts [--sites N] [--seconds N] [--every DURATION] [--warm-up SECONDS] [--source] [--json]
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeHost } from '../src/host/node/node-host.ts';
import { openEtcdStore } from '../src/stores/etcd/etcd-store.ts';
import { startEtcd } from '../test/systems/etcd.ts';
import { startRedis } from '../test/systems/redis.ts';
import { findProgram, programEnvironment } from './program.ts';

const { values } = parseArgs({
  options: {
    sites: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '30' },
    every: { type: 'string', default: '1s' },
    'warm-up': { type: 'string', default: '20' },
    source: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const sites = Number(values.sites);
const seconds = Number(values.seconds);
const regions = ['east', 'west', 'witness'] as const;
const goalPerSecond = 5;
const say = (text: string) => values.json || process.stdout.write(`${text}\n`);

function specOf(ports: readonly number[], redis: readonly number[], etcdUrl: string): string {
  const services = Array.from({ length: (sites - 2) / 2 }, (_, index) => {
    const url = (offset: number) => `http://127.0.0.1:${ports[(index + offset) % ports.length]}`;
    return `  service-${index}: { driver: http-service, sites: { east: { url: "${url(0)}" }, west: { url: "${url(1)}" } } }`;
  });
  return [
    'holdfast: v1',
    'name: many',
    'regions: { east: { role: active }, west: { role: standby }, witness: { role: witness } }',
    `watch: { every: ${values.every}, timeout: 1s, failures: 3 }`,
    `state: { etcd: { endpoints: ["${etcdUrl}"] } }`,
    'components:',
    `  cache: { driver: redis, sites: { east: { url: "redis://127.0.0.1:${redis[0]}" }, west: { url: "redis://127.0.0.1:${redis[1]}" } } }`,
    ...services,
    '',
  ].join('\n');
}

const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-etcd-'));
const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
const controllers: ChildProcess[] = [];
/** Of controllers that ended before they were told to. */
const failures: Error[] = [];

async function startController(program: string, specFile: string, region: string): Promise<void> {
  const words = ['serve', '--json', '--region', region, '--spec', specFile, '--state', join(directory, region)];
  const serve = spawn(program, words, { env: programEnvironment, stdio: ['ignore', 'pipe', 'inherit'] });
  controllers.push(serve);
  ends.push(async () => {
    serve.removeAllListeners('exit');
    serve.kill('SIGTERM');
    await new Promise((resolve) =>
      serve.exitCode === null && serve.signalCode === null ? serve.once('exit', resolve) : resolve(undefined),
    );
  });
  const started = Promise.withResolvers<void>();
  let lastSaid = '';
  createInterface({ input: serve.stdout }).on('line', (line) => {
    if ((JSON.parse(line) as { event?: string }).event === 'started') started.resolve();
    lastSaid = line;
  });
  serve.once('exit', (code) => {
    const error = new Error(`the controller of ${region} ended with ${code}: ${lastSaid}`);
    started.reject(error);
    failures.push(error);
  });
  await started.promise;
}

async function residentMb(pid: number): Promise<number> {
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024);
}

try {
  const program = await findProgram(!values.source, directory);
  const etcd = await startEtcd();
  ends.push(() => etcd.stop());
  const primary = await startRedis();
  ends.push(() => primary.stop());
  const replica = await startRedis({ replicaOf: primary });
  ends.push(() => replica.stop());
  const listeners = fork(fileURLToPath(new URL('./servers/http-listeners.ts', import.meta.url)), ['10'], { stdio: 'inherit' });
  ends.push(async () => listeners.kill('SIGKILL'));
  const ports = await new Promise<readonly number[]>((resolve) => listeners.once('message', (message) => resolve(message as number[])));
  const specFile = join(directory, 'holdfast.yaml');
  await writeFile(specFile, specOf(ports, [primary.port, replica.port], etcd.url));
  for (const region of regions) await startController(program, specFile, region);
  say(`three controllers watch ${sites} sites; warming up`);
  await delay(Number(values['warm-up']) * 1_000);

  const host = nodeHost({ logTo: 'silent' });
  const where = {
    host,
    endpoints: [etcd.url],
    platform: 'many',
    prefix: '/holdfast/many/',
    directory: join(directory, 'look'),
    timeoutMs: 3_000,
  };
  const store = await openEtcdStore(where);
  ends.push(() => store.close());
  const changed = new Map<string, number>();
  store.watch('', ({ key }) => {
    const kind = key.split('/')[0] as string;
    changed.set(kind, (changed.get(kind) ?? 0) + 1);
  });
  const before = await store.readReport();
  const beganMs = performance.now();
  await delay(seconds * 1_000);
  const after = await store.readReport();
  if (failures[0]) throw failures[0];
  const tookSeconds = (performance.now() - beganMs) / 1_000;
  const perSecond = Number(((after.revision - before.revision) / tookSeconds).toFixed(2));
  const changes = Object.fromEntries([...changed].toSorted(([, left], [, right]) => right - left));
  const rssMb = await Promise.all(controllers.map(({ pid }) => residentMb(pid as number)));
  const held = after.leases.filter((lease) => lease.held).map(({ name, holder }) => `${name}: ${holder}`);
  say(
    `${perSecond} revisions a second over ${Math.round(tookSeconds)} s (goal: under ${goalPerSecond}); keys changed: ${JSON.stringify(changes)}; leases: ${held.join(', ')}`,
  );
  const grownBytesPerSecond = Math.round((Number(after.sizeInUseBytes) - Number(before.sizeInUseBytes)) / tookSeconds);
  // A machine that is too busy to watch so many sites writes less, and measures nothing.
  const steady = (changed.get('canaries') ?? 0) > 0.8 * tookSeconds;
  if (!steady) say('not in the steady state: canaries were missing; try a machine with less to do, fewer sites, or a longer --every');
  const figures = {
    sites,
    seconds: Math.round(tookSeconds),
    revisionsPerSecond: perSecond,
    steady,
    goalMet: steady && perSecond < goalPerSecond,
    changes,
    grownBytesPerSecond,
    rssMb,
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  for (const end of ends.toReversed()) await end();
}
