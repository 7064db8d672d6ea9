/**
 * How long `holdfast status` takes on a platform that is served: from starting the program to its end, as a person waits for it. The platform is six HTTP services in two regions; the
 * records are fresh, so nothing is probed. The first run may have to fill the compile cache and is left out. The program is the one that users install; `--source` takes it from source. Prints one JSON object as its last line.
 *
 *   node bench/status.ts [--runs N] [--source] [--json]
 */
import { fork, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findProgram, programEnvironment } from './program.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '15' },
    source: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const runs = Number(values.runs);
const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-status-'));
const program = await findProgram(!values.source, directory);
const options = ['--spec', join(directory, 'holdfast.yaml'), '--state', join(directory, 'state')];

function specOf(ports: readonly number[]): string {
  const components = ['web', 'api', 'search', 'mail', 'jobs', 'admin'].map(
    (name) =>
      `  ${name}: { driver: http-service, sites: { east: { url: "http://127.0.0.1:${ports[0]}" }, west: { url: "http://127.0.0.1:${ports[1]}" } } }`,
  );
  return [
    'holdfast: v1',
    'name: small',
    'regions: { east: { role: active }, west: { role: standby } }',
    'components:',
    ...components,
    '',
  ].join('\n');
}

interface Run {
  readonly tookMs: number;
  readonly answer: { readonly controllers: readonly unknown[]; readonly sites: readonly { readonly state: string }[] };
}

async function status(): Promise<Run> {
  const beganMs = performance.now();
  const child = spawn(program, ['status', '--json', ...options], { env: programEnvironment, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (piece) => {
    text += piece;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return { tookMs: performance.now() - beganMs, answer: JSON.parse(text) };
}

const server = fork(fileURLToPath(new URL('./servers/http-listeners.ts', import.meta.url)), ['2'], { stdio: 'inherit' });
const ports = await new Promise<readonly number[]>((resolve) => server.once('message', (message) => resolve(message as number[])));
await writeFile(join(directory, 'holdfast.yaml'), specOf(ports));
const serve = spawn(program, ['serve', '--json', ...options], { env: programEnvironment, stdio: ['ignore', 'pipe', 'inherit'] });
try {
  const started = Promise.withResolvers<void>();
  createInterface({ input: serve.stdout }).on('line', (line) => {
    if ((JSON.parse(line) as { event?: string }).event === 'started') started.resolve();
  });
  serve.once('exit', (code) => started.reject(new Error(`serve ended with ${code}`)));
  await started.promise;
  let ready = await status();
  for (
    let tries = 0;
    tries < 20 && !(ready.answer.controllers.length === 1 && ready.answer.sites.every((site) => site.state === 'up'));
    tries += 1
  )
    ready = await status();
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const { tookMs, answer } = await status();
    if (answer.controllers.length !== 1) throw new Error('the platform is not served: this would measure something else');
    times.push(tookMs);
  }
  const sorted = times.toSorted((left, right) => left - right);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number);
  if (!values.json) process.stdout.write(`holdfast status: median ${at(0.5)} ms, from ${at(0)} to ${at(1)} ms, over ${runs} runs\n`);
  process.stdout.write(`${JSON.stringify({ statusMs: at(0.5), minMs: at(0), p95Ms: at(0.95), runs })}\n`);
} finally {
  serve.removeAllListeners('exit');
  serve.kill('SIGTERM');
  server.kill('SIGKILL');
  await new Promise((resolve) => (serve.exitCode === null ? serve.once('exit', resolve) : resolve(undefined)));
  await rm(directory, { recursive: true, force: true });
}
