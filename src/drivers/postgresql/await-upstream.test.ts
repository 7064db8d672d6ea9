import { expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { fail } from '../../base/errors.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { awaitUpstream } from './await-upstream.ts';

function rig(answer: () => unknown) {
  const clock = fakeClock(0);
  const access = {
    subject: 'orders in east',
    context: { host: { clock } },
    limit: (signal: AbortSignal) => ({ timeoutMs: 5_000, signal }),
    read: async () => answer(),
  } as unknown as Access;
  const context = { signal: new AbortController().signal, progress: () => undefined } as unknown as StepContext;
  return { clock, asked: awaitUpstream(access, 'west', context, async () => 'never asked') };
}

const refused = () => {
  throw fail('SYSTEM_UNREACHABLE', { message: 'connection refused' });
};

it('an upstream that is away for a moment is waited for', async () => {
  let isThere = false;
  const { clock, asked } = rig(() => (isThere ? 'its status' : refused()));
  await clock.advance(10_000);
  isThere = true;
  await clock.advance(1_000);
  expect(await asked).toBe('its status');
});

it('one that stays away is refused after a minute, and no earlier: it is for people to say what is to be done', async () => {
  const { clock, asked } = rig(refused);
  const seen = asked.then(
    () => undefined,
    (error: unknown) => error,
  );
  let isOver = false;
  void seen.then(() => {
    isOver = true;
  });
  await clock.advance(59_000);
  expect(isOver).toBe(false);
  await clock.advance(2_000);
  expect(await seen).toMatchObject({ code: 'SYSTEM_REFUSED', kind: 'refused', message: expect.stringContaining('connection refused') });
});

it('what is wrong with the question is said at once', async () => {
  await expect(
    rig(() => {
      throw fail('SYSTEM_WRONG_CREDENTIALS', { message: 'the password is wrong' });
    }).asked,
  ).rejects.toMatchObject({ code: 'SYSTEM_WRONG_CREDENTIALS' });
});
