/**
 * What one `holdfast serve` costs that watches 2,000 sites once a second: processor time as a share of one core, and resident memory. The sites are HTTP services (ten listeners in another
 * process); the program is the one that users install (`--source`: from source), started as they would. Prints one JSON object as its last line.
 *
 *   node bench/watch.ts [--sites N] [--seconds N] [--source] [--json]
 */
import { fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findProgram, programEnvironment } from './program.ts';

const { values } = parseArgs({
  options: {
    sites: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '20' },
    source: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const sites = Number(values.sites);
const seconds = Number(values.seconds);
const say = (text: string) => values.json || process.stdout.write(`${text}\n`);

const ticksPerSecond = 100;

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024;
}

function specOf(ports: readonly number[]): string {
  const components = Array.from({ length: sites / 2 }, (_, index) => {
    const url = (offset: number) => `http://127.0.0.1:${ports[(index + offset) % ports.length]}`;
    return `  service-${index}: { driver: http-service, health: { path: /health/detailed, json: { "components.*.status": healthy } }, sites: { east: { url: "${url(0)}" }, west: { url: "${url(1)}" } } }`;
  });
  return [
    'holdfast: v1',
    'name: many',
    'regions: { east: { role: active }, west: { role: standby } }',
    'watch: { every: 1s, timeout: 1s, failures: 3 }',
    'components:',
    ...components,
    '',
  ].join('\n');
}

const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-watch-'));
const program = await findProgram(!values.source, directory);
const server = fork(fileURLToPath(new URL('./servers/http-listeners.ts', import.meta.url)), ['10'], { stdio: 'inherit' });
const ports = await new Promise<readonly number[]>((resolve) => server.once('message', (message) => resolve(message as number[])));
const specFile = join(directory, 'holdfast.yaml');
await writeFile(specFile, specOf(ports));
const serve = spawn(program, ['serve', '--json', '--spec', specFile, '--state', join(directory, 'state')], {
  env: programEnvironment,
  stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const started = Promise.withResolvers<void>();
  createInterface({ input: serve.stdout }).on('line', (line) => {
    if ((JSON.parse(line) as { event?: string }).event === 'started') started.resolve();
    else if (line.includes('"error"')) started.reject(new Error(line));
  });
  serve.once('exit', (code) => started.reject(new Error(`serve ended with ${code}`)));
  await started.promise;
  say(`serve watches ${sites} sites; warming up`);
  await delay(5_000);
  const pid = serve.pid as number;
  const before = await cpuSeconds(pid);
  const begin = performance.now();
  await delay(seconds * 1_000);
  const cores = (await cpuSeconds(pid)) - before;
  const share = cores / ((performance.now() - begin) / 1_000);
  const rssMb = await residentMb(pid);
  say(`${share.toFixed(2)} of a core, ${rssMb.toFixed(0)} MiB resident, over ${seconds} s`);
  process.stdout.write(`${JSON.stringify({ sites, cores: Number(share.toFixed(3)), rssMb: Math.round(rssMb), seconds })}\n`);
} finally {
  serve.removeAllListeners('exit');
  serve.kill('SIGTERM');
  server.kill('SIGKILL');
  await new Promise((resolve) => (serve.exitCode === null ? serve.once('exit', resolve) : resolve(undefined)));
  await rm(directory, { recursive: true, force: true });
}
