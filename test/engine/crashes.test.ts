/**
 * Random plans on a random world, run by processes that die or are cut off at random points: the end is the same as without, every effect has happened once, every effect
 * came after its intent was durable, and no two processes ever applied at once. Negative controls show that the watching would notice.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change, StateStore } from '../../src/contracts/state-store.ts';
import { findResumable } from '../../src/engine/find-resumable.ts';
import { runExecution } from '../../src/engine/run-execution.ts';
import type { Plan, Step } from '../../src/plans/plan.ts';
import type { ExecutionState } from '../../src/state/execution-state.ts';
import { createExecution, journalKeys, loadExecution } from '../../src/state/journal.ts';
import type { JournalEvent } from '../../src/state/journal-events.ts';
import { putRequest } from '../../src/state/requests.ts';
import { type FakeHost, fakeHost, seededRandom } from '../fakes/host.ts';
import { memoryState } from '../fakes/memory-store.ts';
import { type Behaviour, FakeWorld, madeUpPlan, madeUpStep, undoOf } from './fake-platform.ts';
import { type Doom, MortalProcess } from './mortal-process.ts';

interface StepScript {
  /** Which of the earlier steps it comes after. */
  readonly after: readonly number[];
  readonly onFailure: Step['onFailure'];
  readonly behaviours: readonly Behaviour[];
  readonly undoBehaviours: readonly Behaviour[];
}
interface Script {
  readonly steps: readonly StepScript[];
  readonly parallel: number;
  readonly seed: number;
  readonly dooms: readonly (Doom & { readonly insideApply: number })[];
}

const noDoom = { atCommit: 0, when: 'before', how: 'dies', insideApply: 0 } as const;
const passing: readonly Behaviour[] = ['well', 'slowly', 'long', 'transient', 'unknown-before', 'unknown-after'];

const stepScript = (policy: Step['onFailure']): fc.Arbitrary<StepScript> =>
  fc.record({
    after: fc.uniqueArray(fc.nat(7), { maxLength: 3 }),
    onFailure: fc.constant(policy),
    behaviours: fc.oneof(
      { weight: 4, arbitrary: fc.array(fc.constantFrom<Behaviour>(...passing), { maxLength: 3 }) },
      {
        weight: 1,
        arbitrary: fc
          .array(fc.constantFrom<Behaviour>('transient', 'unknown-before'), { maxLength: 2 })
          .map((tries) => [...tries, 'refused' as const]),
      },
    ),
    undoBehaviours: fc.array(fc.constantFrom<Behaviour>(...passing), { maxLength: 2 }),
  });
const script: fc.Arbitrary<Script> = fc.record({
  steps: fc
    .constantFrom<Step['onFailure']>('stop', 'continue', 'roll-back')
    .chain((policy) => fc.array(stepScript(policy), { minLength: 1, maxLength: 7 })),
  parallel: fc.integer({ min: 1, max: 4 }),
  seed: fc.integer(),
  dooms: fc.array(
    fc.record({
      atCommit: fc.nat(12),
      when: fc.constantFrom('before', 'after'),
      how: fc.constantFrom('dies', 'dies', 'cut-off', 'stalls'),
      insideApply: fc.nat(5),
    }),
    { maxLength: 4 },
  ),
});

function planOf(made: Script): Plan {
  const id = (place: number) => `s${place}`;
  const steps = made.steps.map((step, place) =>
    madeUpStep(id(place), {
      after: step.after.filter((one) => one < place).map(id),
      onFailure: step.onFailure,
      ...(step.onFailure === 'roll-back' ? { undo: undoOf(id(place)) } : {}),
    }),
  );
  return madeUpPlan(steps, { parallel: made.parallel });
}

interface Ending {
  readonly state: ExecutionState;
  readonly holds: readonly string[];
  readonly world: FakeWorld;
  readonly processes: number;
}

/** Runs the script to its end; whoever dies is replaced. */
async function live(made: Script, wrap: (store: StateStore) => StateStore = (store) => store): Promise<Ending> {
  const host = fakeHost({ seed: made.seed });
  const chance = seededRandom(made.seed ^ 0x5bd1e995);
  const store = memoryState(host.clock).open();
  const plan = planOf(made);
  const { id } = await createExecution(store, host, { plan, startedBy: 'ann', reason: 'a test', specDigest: 'abc' });
  let applies = 0;
  let current: MortalProcess | undefined;
  let doom: Script['dooms'][number] = noDoom;
  const behaviours: Record<string, readonly Behaviour[]> = {};
  made.steps.forEach((step, place) => {
    behaviours[`s${place}`] = step.behaviours;
    behaviours[`not s${place}`] = step.undoBehaviours;
  });
  const world = new FakeWorld({
    clock: host.clock,
    behaviours,
    takesMs: () => Math.floor(chance.next() * 30),
    slowMs: () => Math.floor(chance.next() * 7_000),
    onApply: async (effect, name) => {
      const lease = await store.readLease(journalKeys.lease(id));
      if (!lease?.held || lease.holder !== name) world.violations.push(`${name} applies ${effect} without the lease`);
      applies += 1;
      if (doom.insideApply > 0 && applies === doom.insideApply) current?.die();
      if (effect.startsWith('not ')) {
        const left = followers(plan, effect.slice(4)).filter((follower) => world.holds.has(follower));
        if (left.length > 0) world.violations.push(`${effect} while ${left.join()} still holds`);
      }
      if (!(await hasIntent(store, id, effect))) world.violations.push(`${effect} before its intent`);
    },
  });
  for (let count = 1; ; count += 1) {
    if (count > 60) throw new Error(`no end: ${JSON.stringify((await loadExecution(store, id)).state)}`);
    doom = made.dooms[count - 1] ?? noDoom;
    applies = 0;
    const process = new MortalProcess(`p${count}`, wrap(store), host, doom, () => Math.floor(chance.next() * 8));
    current = process;
    const ended = await oneLife(host, process, id, world);
    if (ended?.outcome) return { state: ended, holds: [...world.holds].sort(), world, processes: count };
    if (ended?.status === 'failed') {
      expect(await findResumable(store, () => {})).toEqual([]);
      world.heal();
      await putRequest(store, host, id, { kind: 'retry', by: 'ann' });
    }
  }
}

/** The state where it came to one; undefined where the process died or lost its lease. */
async function oneLife(host: FakeHost, process: MortalProcess, id: string, world: FakeWorld): Promise<ExecutionState | undefined> {
  const stop = new AbortController();
  const acting = { name: process.name, alive: () => !process.isDead, stalls: () => (process.isStalled ? 1 : 0) };
  let ended = undefined as { readonly state?: ExecutionState; readonly code?: unknown } | undefined;
  for (let triedMs = 0; triedMs < 60_000 && !process.isDead; ) {
    ended = undefined as typeof ended;
    runExecution({
      store: process.store,
      host: process.host,
      id,
      holder: process.name,
      verbs: world.verbs(acting),
      signal: stop.signal,
    }).then(
      (state) => {
        ended = { state };
      },
      (error: { code?: unknown }) => {
        ended = { code: error.code };
      },
    );
    for (let passedMs = 0; passedMs < 600_000 && ended === undefined && !process.isDead; passedMs += 25) {
      await host.clock.advance(25);
      // A process that is cut off lives on; the next one begins beside it.
      if (process.isDoomed) break;
    }
    if (process.isDoomed) break;
    if (ended?.code !== 'STATE_LEASE_HELD') break;
    triedMs += 250;
    await host.clock.advance(250);
  }
  if (process.isDead || process.isStalled) world.forget(process.name);
  if (process.isDoomed) return undefined;
  if (ended?.code !== undefined && ended.code !== 'STATE_LEASE_LOST') throw new Error(`ended with ${String(ended.code)}`);
  return ended?.state;
}

async function hasIntent(store: StateStore, id: string, effect: string): Promise<boolean> {
  const events = (await store.range(journalKeys.events(id))).map((entry) => entry.value as unknown as JournalEvent);
  return events.some((event) => (event.type === 'step-intent' || event.type === 'undo-intent') && event.data.want.effect === effect);
}

/** What comes after the step, near or far. */
function followers(plan: Plan, stepId: string): readonly string[] {
  const direct = plan.steps.filter((step) => step.after.includes(stepId)).map((step) => step.id);
  return [...new Set([...direct, ...direct.flatMap((id) => followers(plan, id))])];
}

function stepsAtTheEnd(state: ExecutionState) {
  return state.steps.map((step) => ({ id: step.id, status: step.status, undo: step.undo?.status }));
}

describe('runners that die', () => {
  it('[X-02] [I4] the end is the same, each effect happened once, after its intent, and by one runner at a time', {
    timeout: 120_000,
  }, async () => {
    let replaced = 0;
    const check = fc.asyncProperty(script, async (made) => {
      const undisturbed = await live({ ...made, dooms: [] });
      const disturbed = await live(made);
      replaced += disturbed.processes - 1;
      expect(undisturbed.world.violations).toEqual([]);
      expect(disturbed.world.violations).toEqual([]);
      expect(disturbed.state.outcome).toBe(undisturbed.state.outcome);
      expect(disturbed.holds.filter((effect) => !effect.startsWith('not '))).toEqual(
        undisturbed.holds.filter((effect) => !effect.startsWith('not ')),
      );
      if (disturbed.state.outcome === 'done') expect(stepsAtTheEnd(disturbed.state)).toEqual(stepsAtTheEnd(undisturbed.state));
    });
    await fc.assert(check, { numRuns: Number(process.env.HOLDFAST_CRASH_RUNS ?? 150) });
    expect(replaced).toBeGreaterThan(50);
  });

  const plain: Script = {
    steps: [0, 1, 2].map((place) => ({ after: place === 0 ? [] : [place - 1], onFailure: 'stop', behaviours: [], undoBehaviours: [] })),
    parallel: 1,
    seed: 1,
    dooms: [],
  };

  it('negative control: a store that loses intents is noticed', async () => {
    const forgetful = (store: StateStore): StateStore => ({
      ...store,
      commit: (changes: readonly Change[]) =>
        store.commit(
          changes.map((change) =>
            change.kind === 'put' && (change.value as { type?: string }).type === 'step-intent'
              ? { ...change, key: `lost/${change.key}` }
              : change,
          ),
        ),
    });
    const { world } = await live(plain, forgetful);
    expect(world.violations).toContain('s0 before its intent');
  });

  it('negative control: an effect that happens twice is noticed, and so are two that apply at once', async () => {
    const host = fakeHost();
    const world = new FakeWorld({ clock: host.clock, takesMs: () => 10 });
    const context = { signal: new AbortController().signal } as never;
    const applies = ['one', 'two'].map((name) =>
      world
        .verbs({ name, alive: () => true, stalls: () => 0 })
        .resolve(madeUpStep('a'))
        .apply({ effect: 'a' }, context),
    );
    await host.clock.advance(100);
    await Promise.all(applies);
    expect(world.violations).toEqual(['two applies a while one applies', 'a happened 2 times']);
  });

  it('negative control: a dead process does nothing more', async () => {
    const host = fakeHost();
    const process = new MortalProcess('p', memoryState(host.clock).open(), host, { atCommit: 1, when: 'after', how: 'dies' }, () => 1);
    let answered = false;
    const settled = () => {
      answered = true;
    };
    process.store.commit([{ kind: 'put', key: 'a', value: 1, expected: 'absent' }]).then(settled, settled);
    await host.clock.advance(100);
    process.store.get('a').then(settled, settled);
    process.host.clock.after(1, settled);
    await host.clock.advance(100);
    expect(process.isDead).toBe(true);
    expect(answered).toBe(false);
  });
});
