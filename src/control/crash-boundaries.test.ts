/**
 * Every boundary of a failover's journal, on the toy platform: the controller dies just before or just after a commit, the next one goes on, and the effects are those of an
 * undisturbed failover. The same on real servers is test/end-to-end/sweep.ts.
 */
import { expect, it } from 'vitest';
import { type ToyController, ToyPlatform } from '../../test/fakes/toy-control.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import { listExecutions, loadExecution } from '../state/journal.ts';
import { readPlatformState } from '../state/platform-state.ts';

interface Ending {
  readonly died: boolean;
  readonly end: {
    readonly effects: readonly string[];
    readonly active: string | undefined;
    readonly epoch: number | undefined;
    readonly writable: readonly string[];
    readonly executions: readonly string[];
    /** Events that were acknowledged and are not in the journal. */
    readonly forgotten: number;
  };
}

interface Fate {
  readonly commit: number;
  readonly moment: 'before' | 'after';
  readonly forget?: boolean;
}

const isJournal = ({ key }: Change) => /^executions\/[^/]+(\/events\/|$)/.test(key);
const isEvent = ({ key }: Change) => key.includes('/events/');
const never = new Promise<number>(() => {});

function doomed(store: StateStore, fate: Fate, acknowledged: Set<string>, die: () => void): StateStore {
  let commits = 0;
  return {
    ...store,
    commit: async (changes) => {
      if (!changes.some(isJournal)) return store.commit(changes);
      commits += 1;
      const here = commits === fate.commit;
      if (here && fate.moment === 'before') {
        die();
        return never;
      }
      const revision = await store.commit(fate.forget ? changes.filter((change) => !isEvent(change)) : changes);
      for (const change of changes.filter(isEvent)) acknowledged.add(change.key);
      if (here) {
        die();
        return never;
      }
      return revision;
    },
  };
}

async function failOver(fate: Fate | undefined): Promise<Ending> {
  const platform = new ToyPlatform();
  const acknowledged = new Set<string>();
  let died = false;
  try {
    const first: ToyController = await platform.serve({
      wrap: (store) =>
        fate
          ? doomed(store, fate, acknowledged, () => {
              died = true;
              first.kill();
            })
          : store,
    });
    await platform.host.clock.advance(3_000);
    platform.world.kill('east');
    const state = platform.state.open();
    const ended = async () => {
      const all = await listExecutions(state);
      return all.length > 0 && all.every((each) => each.endedAtMs !== undefined);
    };
    await platform.until(async () => died || (await ended()), 60_000);
    if (died) await platform.serve();
    await platform.until(ended, 120_000);
    const record = (await readPlatformState(state))?.state;
    const executions = await listExecutions(state);
    const keys = new Set((await state.range('executions/')).map((entry) => entry.key));
    for (const { id } of executions) await loadExecution(state, id);
    return {
      died,
      end: {
        effects: [...platform.world.effects].sort(),
        active: record?.activeRegion,
        epoch: record?.epoch,
        writable: platform.world.writable('db'),
        executions: executions.map((each) => `${each.kind} ${each.status}`),
        forgotten: [...acknowledged].filter((key) => !keys.has(key)).length,
      },
    };
  } finally {
    await platform.close();
  }
}

async function sweep(forget: boolean): Promise<{ readonly boundaries: number; readonly different: readonly string[] }> {
  const { end: undisturbed } = await failOver(undefined);
  const different: string[] = [];
  let boundaries = 0;
  for (let commit = 1; ; commit += 1) {
    for (const moment of ['before', 'after'] as const) {
      const { died, end } = await failOver({ commit, moment, forget });
      if (!died) return { boundaries, different };
      boundaries += 1;
      if (JSON.stringify(end) !== JSON.stringify(undisturbed)) different.push(`${moment} ${commit}: ${JSON.stringify(end)}`);
    }
  }
}

it('[X-02] [I4] a failover ends the same wherever its controller dies, and each effect happens once', async () => {
  const { boundaries, different } = await sweep(false);
  expect(different).toEqual([]);
  expect(boundaries).toBeGreaterThan(20);
});

it('is able to fail: with a journal that acknowledges events and forgets them, it does not end the same', async () => {
  const { different } = await sweep(true);
  expect(different.length).toBeGreaterThan(0);
});
