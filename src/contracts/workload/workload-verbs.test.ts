import { expect, test } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { fail } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { Reading } from '../observation.ts';
import type { StepContext } from '../verbs.ts';
import { fenceVerb, type Workload } from './workload-verbs.ts';

const refused: Reading = { health: 'down', evidence: { kind: 'refused', detail: 'connection refused by 10.0.1.20:80' } };
const up: Reading = { health: 'up', evidence: { kind: 'answered', detail: 'HTTP 200' } };

/** A workload whose host takes no command. */
function stranded(): { workload: Workload; context: StepContext; see: (reading: Reading) => void } {
  let reading = refused;
  const kept: { note: Json | undefined } = { note: undefined };
  const workload: Workload = {
    replicas: () => 1,
    observe: async () => reading,
    bring: async () => {
      throw fail('HANDS_UNREACHABLE', { message: 'connection refused by 10.0.1.1:22' });
    },
  };
  const context = {
    executionId: 'failover-1',
    stepId: 'fence orders east',
    epoch: 2,
    signal: new AbortController().signal,
    progress: () => {},
    get note() {
      return kept.note;
    },
    keepNote: async (note: Json) => {
      kept.note = note;
    },
  } as unknown as StepContext;
  return { workload, context, see: (seen) => (reading = seen) };
}

test('a workload that went with its host is fenced by nothing listening, and the proof says that nothing bars it', async () => {
  const { workload, context } = stranded();
  const verb = fenceVerb(workload, fakeClock(0));
  expect((await verb.inspect({}, context)).state).toBe('absent');
  await verb.apply({}, context);
  expect(await verb.inspect({}, context)).toMatchObject({
    state: 'done',
    output: { proof: 'nothing-listens', evidence: expect.stringContaining('nothing bars it') },
  });
});

test('a workload that still answers is not fenced only because its host takes no command', async () => {
  const { workload, context, see } = stranded();
  see(up);
  const verb = fenceVerb(workload, fakeClock(0));
  await expect(verb.apply({}, context)).rejects.toMatchObject({ code: 'HANDS_UNREACHABLE' });
  expect((await verb.inspect({}, context)).state).toBe('absent');
});

test('one that has come back after its host was gone has to be stopped again', async () => {
  const { workload, context, see } = stranded();
  const verb = fenceVerb(workload, fakeClock(0));
  await verb.apply({}, context);
  see(up);
  expect(await verb.inspect({}, context)).toMatchObject({ state: 'absent', why: expect.stringContaining('it is back') });
});
