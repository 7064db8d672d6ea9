/**
 * Makes a standby the primary.
 *
 * Invariant: a server on which a higher epoch was taken down is never promoted, and never told that it was. Done means: out of recovery, on a later timeline than before,
 * waiting for no standby but those that were asked for, and a write of ours (the epoch) has committed.
 * When the process dies: the timeline before is in the step's note, so a promotion that was signalled is recognised, and signalling twice has no second effect.
 *
 * A startup process that has just lost its primary can sleep through the signal for wal_retrieve_retry_interval (5 s by default): the signal wakes it while it waits
 * for the receiver, it clears the latch, and then sleeps out the retry interval before it acts. A reload wakes it from that sleep, so reloads are sent until it has
 * acted. Lowering the interval instead was rejected: it leaves a changed setting behind when the process dies between.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { parseLsn, positionAt } from './lsn.ts';
import type { Connection, ServerStatus } from './ports.ts';
import { formatStandbyNames } from './synchronous.ts';

const pollMs = 4;
const wakeEveryPolls = 4;
const slowPollMs = 100;
const quickPolls = 500;
const promotionTimeoutMs = 120_000;
const checkpointTimeoutMs = 600_000;

export function promoteVerb(access: Access): Verb {
  return {
    inspect: (want, context) => inspectPromotion(access, want, context),
    apply: (want, context) => promote(access, want, context),
  };
}

function wantedStandbys(access: Access, want: JsonObject): string {
  const regions = Array.isArray(want['standbys']) ? want['standbys'].map(String) : [];
  return formatStandbyNames(access.context.replication === 'synchronous' ? regions.map((region) => access.member(region)) : []);
}

function wantedEpoch(want: JsonObject): number {
  const epoch = want['epoch'];
  if (typeof epoch !== 'number') throw fail('BUG_BROKEN_BELIEF', { message: 'promote needs an epoch' });
  return epoch;
}

function timelineBefore(context: StepContext): number | undefined {
  const note = context.note as JsonObject | undefined;
  return typeof note?.['timeline'] === 'number' ? note['timeline'] : undefined;
}

async function refuseOlderEpoch(access: Access, connection: Connection, epoch: number, context: StepContext): Promise<number | undefined> {
  const known = await connection.readEpoch(access.context.component, access.limit(context.signal));
  if (known && known.epoch > epoch) {
    throw fail('SYSTEM_REFUSED', {
      subject: access.subject,
      message: `${access.subject} has already seen epoch ${known.epoch} (${known.region} was promoted); ours is ${epoch}`,
      hint: 'A newer execution has changed the active region: abort this one.',
      details: { knownEpoch: known.epoch, epoch },
    });
  }
  return known?.epoch;
}

async function inspectPromotion(access: Access, want: JsonObject, context: StepContext): Promise<Inspection> {
  const limit = access.limit(context.signal);
  const epoch = wantedEpoch(want);
  const { status, known } = await access.read('verb', limit, async (connection) => ({
    status: await connection.readStatus(limit),
    known: await refuseOlderEpoch(access, connection, epoch, context),
  }));
  if (status.inRecovery) return { state: 'absent', why: `${access.subject} is a standby` };
  const before = timelineBefore(context);
  if (before !== undefined && status.timeline < before) {
    return { state: 'unknown', why: `the timeline went from ${before} back to ${status.timeline}: another history answers` };
  }
  if (known !== epoch) return { state: 'absent', why: `it is a primary, and epoch ${epoch} is not taken down there yet` };
  if ((status.settings.synchronous_standby_names ?? '') !== wantedStandbys(access, want)) {
    return { state: 'absent', why: `it is a primary and waits for "${status.settings.synchronous_standby_names}"` };
  }
  return { state: 'done', output: outputOf(status) };
}

function outputOf(status: ServerStatus): JsonObject {
  return { position: positionAt(status.systemIdentifier, status.timeline, parseLsn(status.lsn)), timeline: status.timeline };
}

async function promote(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  const limit = access.limit(context.signal);
  const epoch = wantedEpoch(want);
  const connection = await access.connection('verb', limit);
  const status = await connection.readStatus(limit);
  await refuseOlderEpoch(access, connection, epoch, context);
  if (timelineBefore(context) === undefined) await context.keepNote({ timeline: status.timeline, wasStandby: status.inRecovery });
  // Before the promotion: otherwise the very first commit would wait for a standby that is not there.
  await connection.changeSettings({ synchronous_standby_names: wantedStandbys(access, want), default_transaction_read_only: null }, limit);
  if (status.inRecovery) {
    await signalUntilPromoted(access, connection, context);
    context.progress('out of recovery');
  }
  const { component, host, region } = access.context;
  const standing = await connection.writeEpoch(component, { epoch, region }, host.clock.nowMs(), limit);
  if (standing.epoch !== epoch) await refuseOlderEpoch(access, connection, epoch, context);
  finishInBackground(access);
}

async function signalUntilPromoted(access: Access, connection: Connection, context: StepContext): Promise<void> {
  const { clock } = access.context.host;
  const limit = access.limit(context.signal);
  const startedMs = clock.monotonicMs();
  try {
    await connection.signalPromotion(limit);
  } catch (error) {
    // It left recovery in between: somebody else's signal, or ours of before a crash.
    if (asHoldfastError(error).code !== 'SYSTEM_WRONG_ROLE') throw error;
  }
  for (let polls = 1; await connection.isInRecovery(limit); polls += 1) {
    if (clock.monotonicMs() - startedMs > promotionTimeoutMs) {
      throw fail('TIMED_OUT', {
        subject: access.subject,
        message: `still in recovery ${promotionTimeoutMs} ms after the signal to promote`,
      });
    }
    if (polls <= quickPolls ? polls % wakeEveryPolls === 0 : true) await connection.reload(limit);
    await clock.sleep(polls <= quickPolls ? pollMs : slowPollMs, context.signal);
  }
}

/**
 * What the new primary owes to its future standbys, out of the critical path: slots do not come along with a promotion, and a checkpoint makes the new timeline known to
 * pg_rewind. Not waited for: `follow` makes sure of both again.
 */
function finishInBackground(access: Access): void {
  const abort = new AbortController();
  const limit = { timeoutMs: checkpointTimeoutMs, signal: abort.signal };
  const finish = async () => {
    const connection = await access.connection('watch', limit);
    if (access.context.options.slots) {
      for (const region of access.otherRegions()) await connection.ensureSlot(access.member(region), limit);
    }
    await connection.checkpoint(limit);
  };
  finish().catch((thrown: unknown) => {
    access.context.host.log.warn('promotion.follow-up-failed', {
      component: access.context.component,
      region: access.region,
      error: asHoldfastError(thrown).message,
    });
  });
}
