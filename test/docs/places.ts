/**
 * Where the documents' commands run. Each place is made when the first block of a document asks for it, and is gone with the document, together with whatever the commands left running;
 * save for the platform, which takes long to build: one serves all documents, which leave it as they found it, with us-east-1 active.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { startEtcd } from '../systems/etcd.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { missingLine } from './document-blocks.ts';

export interface Place {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

async function emptyDirectory(): Promise<Place> {
  const directory = await temporaryDirectory('docs');
  return { directory, environment: {}, stop: () => removeDirectory(directory) };
}

async function withRegions(regions: TwoRegions): Promise<Place> {
  const directory = await temporaryDirectory('docs');
  // Documents are about commands, not about time: a machine that is busy with other tests must not look like servers that are silent.
  const spec = await readFile(regions.specFile, 'utf8');
  const patient = spec
    .replace(/^watch: .*$/m, 'watch: { every: 500ms, timeout: 10s, failures: 3 }')
    .replace(/^ {4}rpo: .*$/m, '    rpo: 60s');
  await writeFile(regions.specFile, patient);
  return {
    directory,
    environment: { ...regions.env, HOLDFAST_SPEC: regions.specFile, HOLDFAST_STATE: regions.stateDirectory },
    stop: async () => {
      await regions.stop();
      await removeDirectory(directory);
    },
  };
}

/** A platform in use: whoever takes the writes gets one now and then. A database where nothing happens can't show that its standby still receives. */
async function withWrites(regions: TwoRegions): Promise<Place> {
  const place = await withRegions(regions);
  const ending = new AbortController();
  const writing = (async () => {
    while (!ending.signal.aborted) {
      // One of the two is a standby, and a document may have stopped either: what is refused is nobody's loss.
      await Promise.allSettled(Object.values(regions.regions).map(({ database }) => database.query('SELECT txid_current()')));
      await delay(2_000, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  })();
  return {
    ...place,
    stop: async () => {
      ending.abort();
      await writing;
      await place.stop();
    },
  };
}

async function rpoNowMs(place: Place): Promise<number | undefined> {
  const { output } = await run(place, 'holdfast status --json || true');
  const last = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '{}') as { readonly readiness?: { readonly rpoNowMs?: number } };
  return last.readiness?.rpoNowMs;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`);
}

/** The active region is dead; its database was replicated asynchronously, the standby was behind, and nothing but a person can prove the fence. */
async function lostRegion(): Promise<Place> {
  const regions = await startTwoRegions({ databaseOnly: true, replication: 'asynchronous', automatic: false, lossBudget: '0s' });
  const place = await withRegions(regions);
  const serve = start(place, 'exec holdfast serve');
  const served = closed(serve);
  try {
    await until('canaries on both sides', async () => (await rpoNowMs(place)) !== undefined);
    await regions.regions['us-west-2'].database.query('SELECT pg_wal_replay_pause()');
    await until('a standby that is behind', async () => ((await rpoNowMs(place)) ?? 0) > 500);
    await regions.kill('us-east-1');
    serve.kill('SIGINT');
    await served;
    return place;
  } catch (error) {
    serve.kill('SIGKILL');
    await place.stop();
    throw error;
  }
}

/** Two regions and a witness, with etcd between them; nothing serves yet. */
async function threeRegions(): Promise<Place> {
  const [regions, etcd] = await Promise.all([startTwoRegions({ databaseOnly: true, automatic: false, lossBudget: '60s' }), startEtcd()]);
  const place = await withWrites(regions);
  const spec = (await readFile(regions.specFile, 'utf8')).replace(
    'us-west-2: { role: standby }',
    'us-west-2: { role: standby }\n  eu-west-1: { role: witness }',
  );
  // A busy machine must not look like a controller that has died.
  await writeFile(
    regions.specFile,
    `${spec}state: { etcd: { endpoints: ["${etcd.url}"] } }\ncontrollers: { ttl: 20s, renew-every: 1s, without-state: keep-serving }\n`,
  );
  return {
    ...place,
    stop: async () => {
      await place.stop();
      await etcd.stop();
    },
  };
}

const stuckSpec = (directory: string) => `holdfast: v1
name: batch
regions: { us-east-1: { role: active }, us-west-2: { role: standby } }
components:
  worker:
    driver: process
    processes:
      worker:
        start: [/bin/sh, -c, "test -f ${directory}/mended && touch ${directory}/runs"]
        stop: [rm, -f, ${directory}/runs]
        status: [test, -f, ${directory}/runs]
    sites:
      us-east-1: { hands: local }
      us-west-2: { hands: local }
`;

/** A failover that stands still at a step whose cause is not mended. */
async function stuckExecution(): Promise<Place> {
  const directory = await temporaryDirectory('docs');
  const environment = { HOLDFAST_SPEC: join(directory, 'holdfast.yaml'), HOLDFAST_STATE: join(directory, 'state') };
  await writeFile(environment.HOLDFAST_SPEC, stuckSpec(directory));
  const place = { directory, environment, stop: () => removeDirectory(directory) };
  const { exitCode, output } = await run(place, 'holdfast failover --yes');
  if (exitCode !== 1) throw new Error(`the failover should stand still, and ended with ${exitCode}:\n${output}`);
  return place;
}

const makers: Readonly<Record<string, () => Promise<Place>>> = {
  'empty directory': emptyDirectory,
  platform: async () => withWrites(await startTwoRegions({ automatic: false, lossBudget: '60s' })),
  'lost region': lostRegion,
  'stuck execution': stuckExecution,
  'three regions': threeRegions,
};
export const placeNames = Object.keys(makers);

export interface Ran {
  readonly exitCode: number | string;
  readonly output: string;
}

const limitMs = 60_000;

function start(place: Place, script: string): ChildProcess & { output: string } {
  const child = spawn('/bin/bash', ['-e', '-c', script], {
    cwd: place.directory,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${join(repositoryDirectory, 'bin')}:${process.env.PATH ?? ''}`,
      HOME: process.env.HOME ?? '/',
      USER: 'reader',
      NO_COLOR: '1',
      ...place.environment,
    },
  });
  const running = Object.assign(child, { output: '' });
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      running.output += text;
    });
  return running;
}

const closed = (child: ChildProcess) =>
  new Promise<number | string>((resolve) => child.once('close', (code, signal) => resolve(code ?? signal ?? 'ended')));

async function run(place: Place, script: string): Promise<Ran> {
  const child = start(place, script);
  const end = closed(child);
  const limit = setTimeout(() => child.pid && process.kill(-child.pid, 'SIGKILL'), limitMs);
  const exitCode = await end;
  clearTimeout(limit);
  return { exitCode, output: child.output };
}

export class Places {
  readonly #made = new Map<string, Place>();
  readonly #shared: Map<string, Place>;
  readonly #background: { readonly child: ChildProcess & { output: string }; readonly end: Promise<number | string> }[] = [];

  constructor(shared: Map<string, Place>) {
    this.#shared = shared;
  }

  async #place(name: string): Promise<Place> {
    const made = name === 'platform' ? this.#shared : this.#made;
    const known = made.get(name);
    if (known) return known;
    const make = makers[name];
    if (!make) throw new Error(`there is no place "${name}"; there are: ${placeNames.join(', ')}`);
    const place = await make();
    made.set(name, place);
    return place;
  }

  async run(name: string, script: string): Promise<Ran> {
    return run(await this.#place(name), script);
  }

  /** Leaves it running, once it has printed what is shown. */
  async startInBackground(name: string, script: string, shown: string): Promise<Ran> {
    const child = start(await this.#place(name), script);
    const end = closed(child);
    this.#background.push({ child, end });
    const deadline = performance.now() + limitMs;
    while (missingLine(shown, child.output) !== undefined && child.exitCode === null && performance.now() < deadline) await delay(20);
    return { exitCode: child.exitCode ?? 0, output: child.output };
  }

  /** Ends what is left running, as Ctrl-C would; returns how it ended. */
  async close(): Promise<readonly (number | string)[]> {
    const codes: (number | string)[] = [];
    for (const { child, end } of this.#background) {
      const limit = setTimeout(() => child.pid && process.kill(-child.pid, 'SIGKILL'), 15_000);
      if (child.pid && child.exitCode === null) process.kill(-child.pid, 'SIGINT');
      codes.push(await end);
      clearTimeout(limit);
    }
    for (const place of this.#made.values()) await place.stop();
    return codes;
  }
}

export const readDocument = (path: string) => readFile(join(repositoryDirectory, path), 'utf8');
