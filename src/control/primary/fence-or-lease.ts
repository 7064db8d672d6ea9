/**
 * The fence of a site whose region holds its right to serve by a lease: the driver's own proofs and the end of the lease are worked on at the same time, and the first one counts.
 *
 * Invariant: neither waits for the other. A driver that finds no proof ends nothing while the lease may still give one; it is asked again, for a host that was silent may answer.
 * When the process dies, both are looked at anew.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Applied, Done, FenceProof, Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock } from '../../host/host.ts';
import { type LeaseProof, readLeaseProof } from './lease-proof.ts';

const pollMs = 50;
/** A driver that was told that the fence is proven: its commands under way are waited for so long. */
const farewellMs = 200;
const driverPauseMs = 500;

export interface FenceOrLeaseParts {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly component: string;
  readonly region: string;
  /** Undefined where the site has none: then the lease is all there is. */
  readonly fence: Verb | undefined;
}

export function fenceOrLease(parts: FenceOrLeaseParts): Verb {
  /** Before that nobody waits for the lease to be read: applying is safe, and reads it too. */
  let wasApplied = false;
  return {
    inspect: (want, context) => inspect(parts, want, context, wasApplied),
    apply: (want, context) => {
      wasApplied = true;
      return apply(parts, want, context);
    },
  };
}

function leaseProof({ store, clock, component, region }: FenceOrLeaseParts, want: JsonObject): Promise<LeaseProof> {
  return readLeaseProof(store, { component, region, epoch: Number(want.barred) }, () => clock.nowMs());
}

async function inspect(parts: FenceOrLeaseParts, want: JsonObject, context: StepContext, isPatient: boolean): Promise<Inspection> {
  if (parts.fence === undefined) {
    const lease = await leaseProof(parts, want);
    return 'proof' in lease ? { state: 'done', output: lease } : { state: 'absent', why: lease.why };
  }
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const firstRead = leaseProof(parts, want);
  const byLease = awaitLease(parts, want, context, signal, firstRead).then((output): Inspection => ({ state: 'done', output }));
  // What goes wrong with the lease is told by the next look; a driver that can't even look may be helped by the lease, and looks again by itself when it is applied.
  const byDriver = parts.fence.inspect(want, { ...context, signal }).catch((thrown: unknown): Inspection => {
    const error = asHoldfastError(thrown);
    if (context.signal.aborted || error.kind === 'bug' || error.kind === 'invalid') throw thrown;
    return { state: 'absent', why: error.message };
  });
  try {
    const seen = await Promise.race([byDriver, byLease.catch(() => byDriver)]);
    if (seen.state === 'done' || !isPatient) return seen;
    const lease = await firstRead.catch(() => undefined);
    return lease !== undefined && 'proof' in lease ? { state: 'done', output: lease } : seen;
  } finally {
    over.abort(new Error('seen enough'));
  }
}

async function apply(parts: FenceOrLeaseParts, want: JsonObject, context: StepContext): Promise<Applied> {
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const byDriver = parts.fence === undefined ? new Promise<never>(() => {}) : driveUntilProven(parts, parts.fence, want, context, signal);
  const byLease = awaitLease(parts, want, context, signal).then((output): Done => ({ state: 'done', output }));
  try {
    return await Promise.race([byDriver, byLease]);
  } finally {
    over.abort(new Error('the fence is proven'));
    if (parts.fence)
      await Promise.race([byDriver.catch(() => undefined), parts.clock.sleep(farewellMs, context.signal).catch(() => undefined)]);
  }
}

/** A driver that finds no proof has failed only where the lease will give none either. */
async function driveUntilProven(
  parts: FenceOrLeaseParts,
  fence: Verb,
  want: JsonObject,
  context: StepContext,
  signal: AbortSignal,
): Promise<void> {
  let { note } = context;
  const keepNote = async (kept: Json) => {
    await context.keepNote(kept);
    note = kept;
  };
  for (;;) {
    try {
      await fence.apply(want, { ...context, note, keepNote, signal });
      return;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (signal.aborted || error.kind === 'bug' || error.kind === 'invalid') throw thrown;
      const lease = await leaseProof(parts, want).catch(() => undefined);
      if (lease !== undefined && !('proof' in lease) && !lease.mayCome) throw thrown;
      context.progress(`${error.message}; the end of its lease is waited for`);
      await parts.clock.sleep(driverPauseMs, signal);
    }
  }
}

async function awaitLease(
  parts: FenceOrLeaseParts,
  want: JsonObject,
  context: StepContext,
  signal: AbortSignal,
  firstRead = leaseProof(parts, want),
): Promise<FenceProof> {
  for (let read = firstRead; ; read = leaseProof(parts, want)) {
    try {
      const found = await read;
      if ('proof' in found) return found;
      // Without a fence of its own there is nothing else to wait for.
      if (!found.mayCome && parts.fence === undefined) throw fail('FENCE_NOT_PROVEN', { message: found.why });
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.kind !== 'transient') throw thrown;
      context.log.debug('fence.lease-unread', { message: error.message });
    }
    await parts.clock.sleep(pollMs, signal);
  }
}
