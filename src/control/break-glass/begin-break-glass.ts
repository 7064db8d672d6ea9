/**
 * Makes a local state from which one failover can be run although the shared state is gone: what was last known of it, an epoch above everything that can be found, and the word of the
 * person who does it.
 *
 * Invariant: it is made in one commit, before anything is touched; a local state in which one was begun is gone on with, never begun anew. Dying before the commit leaves nothing.
 */
import { fail } from '../../base/errors.ts';
import type { Change, Entry, StateStore } from '../../contracts/state-store.ts';
import type { PlatformState } from '../../state/platform-state.ts';
import { type BreakGlassRecord, breakGlassKey, chooseBaseEpoch, readBreakGlass } from './break-glass-record.ts';
import type { FoundEpochs } from './find-epochs.ts';

export interface BreakGlassRequest {
  readonly id: string;
  readonly platform: string;
  readonly from: string;
  readonly to: string;
  readonly by: string;
  readonly fencedBy: string;
  readonly because: string;
  readonly atMs: number;
  /** The newest epoch that a person knows of. */
  readonly toldEpoch?: number;
  /** What this machine last read of the shared state. */
  readonly lastKnown: readonly Entry[];
  readonly epochs: FoundEpochs;
}

export async function beginBreakGlass(local: StateStore, request: BreakGlassRequest): Promise<BreakGlassRecord> {
  const known = request.lastKnown.find(({ key }) => key === 'platform')?.value as PlatformState | undefined;
  const found = {
    ...request.epochs.found,
    ...(known ? { 'what this machine last read of the state': known.epoch } : {}),
    ...(request.toldEpoch === undefined ? {} : { [`the word of ${request.by}`]: request.toldEpoch }),
  };
  const highestFound = Math.max(0, ...Object.values(found));
  const { id, platform, from, to, by, fencedBy, because, atMs } = request;
  const baseEpoch = chooseBaseEpoch(highestFound);
  const record: BreakGlassRecord = {
    id,
    platform,
    from,
    to,
    by,
    fencedBy,
    because,
    atMs,
    highestFound,
    found,
    silent: request.epochs.silent,
    baseEpoch,
  };
  const state: PlatformState = { platform, activeRegion: from, epoch: baseEpoch };
  const put = (key: string, value: Change & { kind: 'put' } extends { value: infer V } ? V : never): Change => ({
    kind: 'put',
    key,
    value,
    expected: 'absent',
  });
  const remembered = request.lastKnown.filter(({ key }) => key !== 'platform').map(({ key, value }) => put(key, value));
  await local.commit([put(breakGlassKey, record), put('platform', state), ...remembered]);
  return record;
}

/** A local state in which one was begun and is not reconciled yet. */
export async function findUnreconciled(local: StateStore): Promise<BreakGlassRecord | undefined> {
  const standing = await readBreakGlass(local);
  if (standing === undefined) return undefined;
  if (standing.record.reconciledAtMs === undefined) return standing.record;
  throw fail('EXECUTION_NOT_ALLOWED', {
    subject: standing.record.id,
    message: `the local journal holds ${standing.record.id}, which was reconciled already`,
    hint: 'Move the directory break-glass of the state directory away before another failover without the shared state.',
  });
}
