import { describe, expect, it } from 'vitest';
import { fakeHost } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import { fail } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import { Presence } from './presence.ts';

function presenceOn(isAway: () => boolean) {
  const host = fakeHost();
  const state = memoryState(host.clock).open();
  const store: StateStore = {
    ...state,
    acquireLease: async (...args) => {
      if (isAway()) throw fail('STATE_UNREACHABLE', { message: 'no member of etcd answers' });
      return state.acquireLease(...args);
    },
  };
  const { clock, log } = host;
  return { host, presence: new Presence({ store, clock, log, region: 'east', controller: 'one', ttlMs: 5_000, renewEveryMs: 1_000 }) };
}

describe('the presence of a controller', () => {
  it('waits for a state that is away when it begins', async () => {
    let away = true;
    const { host, presence } = presenceOn(() => away);
    const taken = presence.take(new AbortController().signal, true);
    await host.clock.advance(60_000);
    expect(presence.lease).toBeUndefined();
    away = false;
    await host.clock.advance(1_000);
    await taken;
    expect(presence.lease?.holder).toBe('one');
    await presence.release();
  });

  it('later hears at once that the state is away: there is a view to be shown and a region to be fenced', async () => {
    const { presence } = presenceOn(() => true);
    await expect(presence.take(new AbortController().signal)).rejects.toMatchObject({ code: 'STATE_UNREACHABLE' });
  });
});
