/**
 * `lease-expired`: that a region can no longer acknowledge writes because the time for which it may is over.
 *
 * It rests on three things, read in this order: a bar of this execution's epoch stands before the lease; the lease is free, seen after the bar was; and the record of the guard, read after
 * that, names the component under the very token of that lease and for the very time in which the region has been active. Once the bar stands nobody can come to hold the lease; once the lease is free nobody can write such a record under it.
 * Invariant: whatever can't be read proves nothing.
 */
import type { StateStore } from '../../contracts/state-store.ts';
import type { FenceProof } from '../../contracts/verbs.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { primaryKeys, readBar, readGuardRecord } from './primary-records.ts';

export interface LeaseProofRequest {
  readonly region: string;
  readonly component: string;
  readonly epoch: number;
}

/** The proof; or why there is none, and whether time alone may bring it. */
export type LeaseProof = FenceProof | { readonly why: string; readonly mayCome: boolean };

export async function readLeaseProof(store: StateStore, request: LeaseProofRequest, nowMs: () => number): Promise<LeaseProof> {
  const { region, component, epoch } = request;
  const standing = await readBar(store, region);
  const never = (why: string) => ({ why, mayCome: false });
  if (standing === undefined || standing.bar.epoch < epoch) return never(`no bar of epoch ${epoch} stands before the lease of ${region}`);
  const lease = await store.readLease(primaryKeys.lease(region));
  if (lease === undefined) return never(`no controller ever held the lease of ${region}`);
  const [recorded, platform] = await Promise.all([readGuardRecord(store, region), readPlatformState(store)]);
  const isOfThisTime = platform?.state.activeRegion === region && recorded?.record.activeEpoch === (platform.state.activeEpoch ?? 0);
  if (!isOfThisTime || recorded?.record.token !== lease.token) return never(`no guard was armed under the last lease of ${region}`);
  if (!recorded.record.components.includes(component)) return never(`the guard of ${region} does not cover ${component}`);
  // Looked at before the record was: one that was free then stays so.
  if (lease.held) return { why: `${lease.holder} holds the lease of ${region}`, mayCome: true };
  return {
    proof: 'lease-expired',
    evidence: `the lease of ${region} is over, nobody can take it any more, and its guard fences ${component} before that`,
    sinceMs: nowMs(),
  };
}
