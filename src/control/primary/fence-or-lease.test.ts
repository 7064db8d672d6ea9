import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import { fail } from '../../base/errors.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import { ensurePlatformState } from '../../state/platform-state.ts';
import { fenceOrLease } from './fence-or-lease.ts';
import { type GuardRecord, guardRecordChange, primaryKeys } from './primary-records.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, with: () => silent };
const never = <T>() => new Promise<T>(() => {});

interface World {
  readonly covered?: readonly string[];
  readonly fence?: Verb;
}

async function start({ covered = ['orders'], fence }: World) {
  const clock = fakeClock(0);
  const store = memoryState(clock).open();
  await ensurePlatformState(store, 'orders', 'east');
  const lease = await store.acquireLease('primary/east', 'keeper', 5_000);
  const record: GuardRecord = {
    token: lease.token,
    activeEpoch: 0,
    components: covered,
    ttlMs: 5_000,
    marginMs: 1_000,
    triedMs: 0,
    atMs: 0,
  };
  await store.commit([guardRecordChange('east', record, lease, undefined)]);
  await store.commit([{ kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 2, execution: 'x', atMs: 0 }, expected: 'absent' }]);
  const verb = fenceOrLease({ store, clock, component: 'orders', region: 'east', fence });
  const context: StepContext = {
    executionId: 'x',
    stepId: 'fence',
    epoch: 2,
    signal: new AbortController().signal,
    log: silent,
    progress: () => {},
    note: undefined,
    keepNote: async () => {},
  };
  return { clock, store, lease, verb, context, want: { survivors: ['west'], clean: false, barred: 2 } };
}

describe('the fence by the driver, or by the end of the lease', () => {
  it('a driver with a proof does not wait for the lease', async () => {
    let fenced = false;
    const fence: Verb = {
      inspect: async () => (fenced ? { state: 'done', output: { proof: 'cannot-acknowledge' } } : { state: 'absent', why: 'it serves' }),
      apply: async () => {
        fenced = true;
      },
    };
    const { verb, want, context, clock } = await start({ fence });
    expect((await verb.inspect(want, context)).state).toBe('absent');
    const applying = verb.apply(want, context);
    await clock.advance(250);
    await applying;
    expect(await verb.inspect(want, context)).toMatchObject({ state: 'done', output: { proof: 'cannot-acknowledge' } });
    expect(clock.monotonicMs()).toBeLessThan(300);
  });

  it.each<[string, Verb]>([
    ['hangs', { inspect: never, apply: never }],
    [
      'finds no proof',
      {
        inspect: async () => ({ state: 'absent', why: 'it can not be reached' }),
        apply: async () => {
          throw fail('FENCE_NOT_PROVEN', { message: 'no hands' });
        },
      },
    ],
    [
      'can not even look',
      {
        inspect: async () => {
          throw fail('SYSTEM_REFUSED', { message: 'no' });
        },
        apply: async () => {
          throw fail('SYSTEM_REFUSED', { message: 'no' });
        },
      },
    ],
  ])('the end of the lease is the proof where the driver %s', async (_name, fence) => {
    const { verb, want, context, clock } = await start({ fence });
    let overAtMs: number | undefined;
    const applying = verb.apply(want, context).then(() => {
      overAtMs = clock.monotonicMs();
    });
    await clock.advance(4_900);
    expect(overAtMs).toBeUndefined();
    await clock.advance(600);
    await applying;
    expect(overAtMs).toBeGreaterThanOrEqual(5_000);
    expect(await verb.inspect(want, context)).toMatchObject({ state: 'done', output: { proof: 'lease-expired' } });
  });

  it('a look that hangs is ended by the lease', async () => {
    const { verb, want, context, clock } = await start({ fence: { inspect: never, apply: never } });
    const looking = verb.inspect(want, context);
    await clock.advance(5_200);
    expect(await looking).toMatchObject({ state: 'done', output: { proof: 'lease-expired' } });
  });

  it('fails at once, as it always did, where neither can prove it', async () => {
    const fence: Verb = {
      inspect: async () => ({ state: 'absent', why: 'it can not be reached' }),
      apply: async () => {
        throw fail('FENCE_NOT_PROVEN', { message: 'no hands' });
      },
    };
    const { verb, want, context, clock } = await start({ fence, covered: [] });
    const failing = verb.apply(want, context).catch((error: { code: string }) => error.code);
    await clock.advance(500);
    expect(await failing).toBe('FENCE_NOT_PROVEN');
  });

  it('a site without any fence waits for the lease, and says so where that proves nothing either', async () => {
    const covered = await start({});
    const applying = covered.verb.apply(covered.want, covered.context);
    await covered.clock.advance(5_100);
    await applying;
    const uncovered = await start({ covered: ['another'] });
    await expect(uncovered.verb.apply(uncovered.want, uncovered.context)).rejects.toMatchObject({ code: 'FENCE_NOT_PROVEN' });
  });
});
