/**
 * How long a database waits for its archive command: real log segments of 16 MiB, one after another, into an encrypted repository in a directory. Three ways: the command by itself, the
 * quick command with nobody serving, and the quick command while `holdfast serve` runs; beside them pgBackRest, synchronous and asynchronous, where it is installed. The wall clock from the
 * start of the process to its end, and the processor time of what was started (through the controller: without the controller's own); the order of the ways changes from round to round. The load of the machine is printed, for the numbers mean little on a busy one.
 *
 *   node bench/wal-push.ts [--segments N] [--source] [--json]
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPrimary } from '../test/systems/postgresql.ts';
import { findProgram as findOnPath } from '../test/systems/programs.ts';
import { runProgram } from '../test/systems/run-program.ts';
import { removeDirectory, temporaryDirectory } from '../test/systems/temporary-directory.ts';
import { endedSeconds } from './peers/peer.ts';
import { findProgram, programEnvironment } from './program.ts';

const { values } = parseArgs({
  options: {
    segments: { type: 'string', default: '10' },
    source: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.segments);
const directory = await temporaryDirectory('bench-wal-push');
const primary = await startPrimary({ settings: { wal_keep_size: '2GB', max_wal_size: '2GB' } });
const pgbackrest = findOnPath('pgbackrest');

interface Way {
  readonly name: string;
  push(segment: string): Promise<void>;
  readonly tookMs: number[];
  /** Of the processes that were started and have ended: a busy machine changes little about it. */
  cpuSeconds: number;
}

/** Rows whose text does not compress well, as most logs are. */
async function fillLog(): Promise<readonly string[]> {
  await primary.query('CREATE TABLE noise (id bigint PRIMARY KEY, text text)');
  for (let at = 0; (await wholeSegments()).length < rounds + 1; at += 20_000)
    await primary.query(
      `INSERT INTO noise SELECT n, md5(n::text) || md5(random()::text) || repeat('order ', 10) FROM generate_series(${at}, ${at + 19_999}) n`,
    );
  return await wholeSegments();
}

async function wholeSegments(): Promise<readonly string[]> {
  const [current] = await primary.query('SELECT pg_walfile_name(pg_current_wal_lsn()) AS name');
  const newest = String(current?.name);
  const names = await readdir(join(primary.dataDirectory, 'pg_wal'));
  return names.filter((name) => /^[0-9A-F]{24}$/.test(name) && name < newest).sort();
}

function run(command: readonly string[], environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] as string, command.slice(1), {
      env: environment as NodeJS.ProcessEnv,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let words = '';
    child.stderr.on('data', (piece) => {
      words += piece;
    });
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${command.join(' ')}: ${code} ${words}`))));
  });
}

const spec = join(directory, 'holdfast.yaml');
const environment = { ...programEnvironment, HOLDFAST_SPEC: spec, DB_PASSWORD: 'none', XDG_CACHE_HOME: join(directory, 'cache') };

async function makeRepository(program: string): Promise<void> {
  const site = (port: number) => `{ url: "postgresql://holdfast@127.0.0.1:${port}/postgres", password: { env: DB_PASSWORD } }`;
  // One for each way: a segment that is there already would not be written again.
  const component = (name: string) => `  ${name}:
    driver: postgresql
    replication: asynchronous
    sites: { east: ${site(1)}, west: ${site(2)} }
    backup: [{ what: wal, continuous: true, keep: 7d }]`;
  await writeFile(
    spec,
    `holdfast: v1
name: bench
regions: { east: { role: active }, west: { role: standby } }
components:
${['command', 'alone', 'served'].map(component).join('\n')}
repositories:
  main: { driver: filesystem, path: ${directory}/repository, encryption: { key: { file: ${directory}/key } } }
`,
  );
  await run([program, 'repository', 'create', 'main', '--recovery-key-file', join(directory, 'recovery-key')], environment);
}

/** Starts the controller, which finds no database: it serves the socket all the same. */
async function startServing(program: string): Promise<() => Promise<void>> {
  const state = join(directory, 'served');
  const child = spawn(program, ['serve', '--state', state], { env: environment, stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  for (let tries = 0; !(await stat(join(state, 'wal-push.sock')).catch(() => undefined)); tries += 1) {
    if (tries > 300 || child.exitCode !== null) throw new Error('holdfast serve offers no socket');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return async () => {
    child.kill('SIGTERM');
    await ended;
  };
}

async function makeStanza(program: string, name: string, more: string): Promise<(segment: string) => Promise<void>> {
  const place = join(directory, name);
  await mkdir(place);
  await chmod(place, 0o777);
  const config = join(place, 'pgbackrest.conf');
  await writeFile(
    config,
    `[global]
repo1-path=${place}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=${randomBytes(24).toString('base64')}
compress-type=zst
compress-level=3
lock-path=${place}/lock
spool-path=${place}/spool
log-path=${place}
log-level-console=warn
log-level-file=off
archive-push-queue-max=10GB
${more}
[bench]
pg1-path=${primary.dataDirectory}
pg1-port=${primary.port}
pg1-socket-path=${primary.dir}
`,
  );
  await chmod(config, 0o644);
  const command = [...primary.commandPrefix, program, `--config=${config}`, '--stanza=bench'];
  await runProgram([...command, '--no-online', 'stanza-create']);
  return (segment) => run([...command, 'archive-push', segment], environment);
}

async function measure(): Promise<readonly Way[]> {
  const program = await findProgram(!values.source, directory);
  const quick = `${program}-wal-push`;
  await makeRepository(program);
  const segments = await fillLog();
  const alone = { ...environment, HOLDFAST_STATE: join(directory, 'nobody') };
  const served = { ...environment, HOLDFAST_STATE: join(directory, 'served') };
  const ways: Way[] = [];
  // What any program on Node costs on this machine, at this moment.
  const floor = () => run([process.execPath, '-e', '0'], alone);
  const add = (name: string, push: Way['push']): void => void ways.push({ name, push, tookMs: [], cpuSeconds: 0 });
  add('node', floor);
  add('command', (segment) => run([program, 'wal-push', segment, '--component', 'command'], alone));
  add('alone', (segment) => run([quick, segment, '--component', 'alone'], alone));
  add('served', (segment) => run([quick, segment, '--component', 'served'], served));
  if (pgbackrest !== undefined) {
    add('pgbackrest', await makeStanza(pgbackrest, 'pgbackrest', ''));
    add('pgbackrestAsync', await makeStanza(pgbackrest, 'pgbackrest-async', 'archive-async=y'));
  }
  const stop = await startServing(program);
  try {
    for (let round = 0; round <= rounds; round += 1) {
      for (let turn = 0; turn < ways.length; turn += 1) {
        const way = ways[(round + turn) % ways.length] as Way;
        const segment = segments[round] as string;
        // As the server marks a segment that waits: the asynchronous way looks for these.
        await writeFile(join(primary.dataDirectory, 'pg_wal', 'archive_status', `${segment}.ready`), '');
        const [beganMs, usedSeconds] = [performance.now(), await endedSeconds()];
        await way.push(join(primary.dataDirectory, 'pg_wal', segment));
        // The first round fills the compile cache.
        if (round === 0) continue;
        way.tookMs.push(performance.now() - beganMs);
        way.cpuSeconds += (await endedSeconds()) - usedSeconds;
      }
    }
  } finally {
    await stop();
  }
  return ways;
}

const milliseconds = ({ tookMs, cpuSeconds }: Way) => {
  const sorted = [...tookMs].sort((left, right) => left - right);
  return {
    medianMs: Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
    slowestMs: Math.round(sorted.at(-1) ?? 0),
    cpuMs: Math.round((cpuSeconds * 1_000) / tookMs.length),
  };
};

const words: Readonly<Record<string, string>> = {
  node: 'node -e 0: the floor',
  command: 'holdfast wal-push',
  alone: 'holdfast-wal-push, nobody serving',
  served: 'holdfast-wal-push, through serve',
  pgbackrest: 'pgBackRest archive-push',
  pgbackrestAsync: 'pgBackRest archive-push, asynchronous',
};

try {
  const ways = await measure();
  const load = loadavg()[0] ?? 0;
  console.log(`${rounds} segments of 16 MiB each; load of the machine ${load.toFixed(1)}`);
  for (const way of ways) {
    const { medianMs, slowestMs, cpuMs } = milliseconds(way);
    console.log(`  ${(words[way.name] ?? way.name).padEnd(40)} median ${medianMs} ms, slowest ${slowestMs} ms, processor ${cpuMs} ms`);
  }
  if (pgbackrest === undefined) console.log('  pgBackRest is not installed: nothing to compare with');
  if (values.json)
    console.log(JSON.stringify({ segments: rounds, load, ...Object.fromEntries(ways.map((way) => [way.name, milliseconds(way)])) }));
} finally {
  await primary.stop();
  await removeDirectory(directory);
}
