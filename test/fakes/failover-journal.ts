/** The journal of a failover of two regions, as far as what it promoted can be read from it. */
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Clock } from '../../src/host/host.ts';
import type { JournalledPlan } from '../../src/state/execution-state.ts';
import { closingChanges, createExecution, eventChange, loadExecution } from '../../src/state/journal.ts';
import { type EventBody, sealEvent } from '../../src/state/journal-events.ts';

export async function beginJournal(
  store: StateStore,
  clock: Clock,
  { id, to, epoch }: { readonly id: string; readonly to: string; readonly epoch: number },
): Promise<void> {
  const step = { id: 'promote', verb: 'promote', component: 'orders', region: to, after: [], onFailure: 'stop' } as const;
  const plan: JournalledPlan = { kind: 'failover', platform: 'orders', epoch, parallel: 1, steps: [step] };
  const random = { next: () => 0.5, bytes: (count: number) => new Uint8Array(count) };
  await createExecution(store, { clock, random }, { plan, startedBy: 'serve', reason: 'a story', specDigest: '', id });
  await appendTo(store, clock, id, [{ type: 'started', data: { holder: 'serve', token: 1 } }]);
}

export async function appendTo(store: StateStore, clock: Clock, id: string, bodies: readonly EventBody[]): Promise<void> {
  for (const body of bodies) {
    const { header, state } = await loadExecution(store, id);
    const event = sealEvent(body, { seq: state.lastSeq, hash: state.lastHash }, clock.nowMs());
    const closing = body.type === 'finished' ? closingChanges(header, body.data.outcome, clock.nowMs()) : [];
    await store.commit([eventChange(id, event), ...closing]);
  }
}
