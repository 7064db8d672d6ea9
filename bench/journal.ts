/**
 * How many durable step transitions the engine makes in a second on the SQLite store. A transition is one event of the journal; each is on the disk (write-ahead log with
 * synchronous=FULL) before anything follows from it. Steps do nothing, so this is the engine and the journal alone.
 *   transitionsPerSecond        a plan of independent steps, 32 at once
 *   serialTransitionsPerSecond  a plan in which each step waits for the one before
 * Each is the median of the rounds. Prints one JSON object as its last line.
 *
 *   node bench/journal.ts [--steps N] [--rounds N] [--directory PATH] [--json]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Change, StateStore } from '../src/contracts/state-store.ts';
import type { Verb } from '../src/contracts/verbs.ts';
import { runExecution } from '../src/engine/run-execution.ts';
import { nodeHost } from '../src/host/node/node-host.ts';
import type { Plan, Step } from '../src/plans/plan.ts';
import { createExecution, loadExecution } from '../src/state/journal.ts';
import { openSqliteStore } from '../src/stores/sqlite/sqlite-store.ts';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '5' },
    directory: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});
const stepCount = Number(values.steps);
const rounds = Number(values.rounds);
const host = nodeHost({ logTo: 'silent' });

function step(place: number, after: readonly string[]): Step {
  return {
    id: `step ${place}`,
    verb: 'run',
    component: `component-${place}`,
    region: 'west',
    want: { number: place },
    after,
    why: 'does nothing',
    timeoutMs: 60_000,
    expectedMs: 1,
    expectedFrom: 'guess',
    onFailure: 'stop',
  };
}

function plan(serial: boolean): Plan {
  const steps = Array.from({ length: stepCount }, (_, place) => step(place, serial && place > 0 ? [`step ${place - 1}`] : []));
  return {
    kind: 'failover',
    platform: 'bench',
    from: 'east',
    to: 'west',
    epoch: 1,
    steps,
    parallel: serial ? 1 : 32,
    expectedMs: 1,
    madeAtMs: 0,
    madeBecause: 'a benchmark',
  };
}

interface Run {
  readonly transitionsPerSecond: number;
  readonly events: number;
  readonly commits: number;
  readonly tookMs: number;
}

async function run(store: StateStore, serial: boolean): Promise<Run> {
  const applied = new Set<number>();
  const verb: Verb = {
    inspect: async (want) =>
      applied.has(Number(want.number))
        ? { state: 'done', output: { number: Number(want.number) } }
        : { state: 'absent', why: 'not applied' },
    apply: async (want) => void applied.add(Number(want.number)),
  };
  let commits = 0;
  const counting: StateStore = new Proxy(store, {
    get(target, name) {
      if (name === 'commit') {
        return (changes: readonly Change[]) => {
          commits += 1;
          return target.commit(changes);
        };
      }
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const { id } = await createExecution(store, host, { plan: plan(serial), startedBy: 'bench', reason: 'bench', specDigest: 'none' });
  const beganMs = host.clock.monotonicMs();
  const state = await runExecution({
    store: counting,
    host,
    id,
    holder: 'bench',
    verbs: { resolve: () => verb },
    signal: new AbortController().signal,
  });
  const tookMs = host.clock.monotonicMs() - beganMs;
  // Reading it again checks every link of the chain: what is counted is really there.
  const { events } = await loadExecution(store, id);
  if (state.outcome !== 'done' || applied.size !== stepCount || events.length < stepCount * 3)
    throw new Error('the run is not what it should be');
  return { transitionsPerSecond: Math.round((events.length / tookMs) * 1_000), events: events.length, commits, tookMs: Math.round(tookMs) };
}

async function median(store: StateStore, serial: boolean): Promise<Run> {
  const runs: Run[] = [];
  await run(store, serial);
  for (let round = 0; round < rounds; round += 1) runs.push(await run(store, serial));
  runs.sort((left, right) => left.transitionsPerSecond - right.transitionsPerSecond);
  return runs[Math.floor(runs.length / 2)] as Run;
}

const directory = await mkdtemp(join(values.directory, 'holdfast-bench-'));
try {
  const store = await openSqliteStore({ path: join(directory, 'state.db'), host, platform: 'bench' });
  const parallel = await median(store, false);
  const serial = await median(store, true);
  await store.close();
  if (!values.json) {
    console.log(`parallel: ${parallel.events} transitions in ${parallel.tookMs} ms, ${parallel.commits} commits`);
    console.log(`serial:   ${serial.events} transitions in ${serial.tookMs} ms, ${serial.commits} commits`);
  }
  console.log(
    JSON.stringify({
      transitionsPerSecond: parallel.transitionsPerSecond,
      serialTransitionsPerSecond: serial.transitionsPerSecond,
      steps: stepCount,
      rounds,
      parallel,
      serial,
    }),
  );
} finally {
  await rm(directory, { recursive: true, force: true });
}
