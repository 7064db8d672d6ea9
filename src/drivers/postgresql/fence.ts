/**
 * Makes sure that a former primary can no longer acknowledge writes, also after a restart, and says how that is known.
 *
 * Two proofs are worked on at the same time, and the first one counts:
 *   stopped             by hands on its host: barred (a start brings up a standby), every process ended, the end of its log read.
 *   cannot-acknowledge  without its host: it acknowledged a write only with the word of a standby that it named, and each of those has been cut off for good, on its own
 *                       side, from its former primary. Needs what was last known of the primary (`lastKnown`), for it may be dead.
 * A refused connection alone proves nothing: whoever starts the server again would have a primary.
 *
 * Invariant: `clean` never cuts a standby off, since the orderly stop has to send it the rest of the log.
 * When the process dies: the bar comes before the stop, so at each instant the server is as it was, or comes up as a standby. A standby that was cut off stays so until it
 * is promoted or made to follow.
 */
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProof, Inspection, LastKnown, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { cutOffSurvivors, inspectCut, regionsToCut } from './cut-off.ts';
import { parseLsn, positionAt } from './lsn.ts';
import type { ClusterState, Machine } from './ports.ts';
import { newBarWord } from './return-by-lease.ts';

const ownLookMs = 400;
const handsLookMs = 3_000;
const hurriedLookMs = 30;
const stopNowMs = 15_000;
const orderlyStopMs = 120_000;
/** Once the other proof stands, hands that have not answered by then are not waited for: their host is most likely dead. */
const handsGraceMs = 60;

export function fenceVerb(access: Access): Verb {
  return {
    inspect: (want, context) => inspectFence(access, want, context),
    apply: (want, context) => (want['clean'] === true ? fenceCleanly(access, want, context) : fenceQuickly(access, want, context)),
  };
}

async function inspectFence(access: Access, want: JsonObject, context: StepContext): Promise<Inspection> {
  if (want.byHands === true) return await inspectByHands(access, context);
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  const server = lookAtServer(access, signal);
  const looks: Look[] = [server, lookByHands(access, want, server, signal)];
  const cutCounts = want['clean'] !== true && typeof regionsToCut(access, want) !== 'string';
  if (cutCounts) looks.push(inspectCut(access, want, signal));
  try {
    // Before the first apply nobody waits for a dead host: applying is safe, and quick without it.
    const hurry = cutCounts && context.note === undefined;
    const proof = await (hurry ? Promise.race([firstProof(looks), nothingWithin(access, hurriedLookMs, signal)]) : firstProof(looks));
    context.signal.throwIfAborted();
    if (proof) {
      if (want.clean === true && proof.position === undefined) throw notOrderly(access);
      return { state: 'done', output: proof };
    }
    if (hurry) return { state: 'absent', why: 'nothing proves yet that it is fenced' };
    const reasons = await Promise.all(looks);
    return { state: 'absent', why: reasons.filter((reason) => typeof reason === 'string').join('; ') };
  } finally {
    over.abort(new Error('seen enough'));
  }
}

/**
 * The server is asked beside it: one that answers as a standby is fenced already. Hands that do not work are an error, for nothing else counts.
 * A bar that an earlier fence of this kind put may be about to be lifted by a process that does not know that its time is over: only the one that was put now is beyond its reach.
 */
async function inspectByHands(access: Access, context: StepContext): Promise<Inspection> {
  const machine = access.requireMachine();
  const state = await machine.readState(access.limit(context.signal, handsLookMs));
  const isOurs = state.barWord === '' || state.barWord === (context.note as { word?: string } | undefined)?.word;
  if (state.processes === 0 && state.barred && isOurs) return { state: 'done', output: stoppedProof(access, state) };
  if (state.processes === 0 && state.barred) return { state: 'absent', why: 'it is stopped, and its bar could be lifted again' };
  if (!state.barred) return { state: 'absent', why: 'a start would bring up a primary' };
  // Only of a server that runs barred it has to be asked what it is: a standby, or a primary whose end was begun.
  const seen = await lookAtServer(access, context.signal);
  if (typeof seen !== 'string') return { state: 'done', output: seen };
  return { state: 'absent', why: `${state.processes} of its processes run; ${seen}` };
}

async function nothingWithin(access: Access, durationMs: number, signal: AbortSignal): Promise<undefined> {
  await access.context.host.clock.sleep(durationMs, signal).catch(() => undefined);
  return undefined;
}

type Look = Promise<FenceProof | string>;

/** The first look that proves it, without waiting for those that hang. */
async function firstProof(looks: readonly Look[]): Promise<FenceProof | undefined> {
  const proofs = looks.map(async (look) => {
    const seen = await look;
    if (typeof seen === 'string') throw new Error(seen);
    return seen;
  });
  return Promise.any(proofs).catch(() => undefined);
}

const runsAsPrimary = 'it runs as a primary';

async function lookAtServer(access: Access, signal: AbortSignal): Look {
  const limit = access.limit(signal, ownLookMs);
  try {
    const status = await access.read('verb', limit, (connection) => connection.readStatus(limit));
    if (!status.inRecovery) return runsAsPrimary;
    return {
      proof: 'demoted',
      evidence: `${access.subject} runs as a standby, and a restart brings it back as one`,
      sinceMs: access.context.host.clock.nowMs(),
      position: positionAt(status.systemIdentifier, status.timeline, parseLsn(status.lsn)),
    };
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

/** What hands see counts only for the very server that clients reach: a data-directory of another one must not pass for proof. */
async function lookByHands(access: Access, want: JsonObject, server: Look, signal: AbortSignal): Look {
  if (!access.machine) return 'it has no hands';
  try {
    const state = await access.machine.readState(access.limit(signal, handsLookMs));
    if (state.processes > 0) return `${state.processes} of its processes run`;
    if (!state.barred) return 'it is stopped, but a start would bring up a primary';
    if (state.barWord !== '') return 'it is stopped, and barred only until its region holds its lease again';
    const stranger = strangerIn(state, want);
    if (stranger !== undefined) return stranger;
    if ((await server) === runsAsPrimary)
      return 'a primary answers at its url, and runs in another data-directory than the one in the spec';
    return stoppedProof(access, state);
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

function reasonOf(thrown: unknown): string {
  const error = asHoldfastError(thrown);
  if (error.kind === 'bug') throw error;
  return error.message;
}

/** What says that the data directory is not the one of the server that the plan means. */
function strangerIn(state: ClusterState, want: JsonObject): string | undefined {
  const history = (want['lastKnown'] as LastKnown | undefined)?.position?.history;
  if (history === undefined || history === state.systemIdentifier) return undefined;
  return `its data-directory holds system ${state.systemIdentifier}, not ${history}`;
}

/** Bars what the plan means, and nothing else. */
async function barOwn(machine: Machine, want: JsonObject, signal: AbortSignal): Promise<ClusterState> {
  const state = await machine.readState({ timeoutMs: handsLookMs, signal });
  const stranger = strangerIn(state, want);
  if (stranger !== undefined) throw fail('SYSTEM_WRONG_IDENTITY', { message: stranger });
  await machine.bar('', { timeoutMs: handsLookMs, signal });
  return state;
}

function stoppedProof(access: Access, state: ClusterState): FenceProof {
  // The last record of an orderly stop begins there; whoever applied more than its beginning has all of it.
  const end = parseLsn(state.checkpointLsn) + 1n;
  return {
    proof: 'stopped',
    evidence: `no process runs in the data directory, and standby.signal bars it from starting as a primary (${state.state})`,
    sinceMs: access.context.host.clock.nowMs(),
    ...(state.state === 'shut down' ? { position: positionAt(state.systemIdentifier, state.timeline, end) } : {}),
  };
}

async function fenceCleanly(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  const machine = access.requireMachine();
  await barOwn(machine, want, context.signal);
  await machine.stop('orderly', access.limit(context.signal, orderlyStopMs));
}

async function fenceQuickly(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  if (want.byHands === true) {
    // Each command costs time that the lease has not got: nothing is looked at here that would not change what is done.
    const machine = access.requireMachine();
    const word = newBarWord(access);
    await machine.bar(word, access.limit(context.signal, handsLookMs));
    await context.keepNote({ word });
    await machine.stop('now', access.limit(context.signal, stopNowMs));
    return;
  }
  // It only tells later looks to take their time: nothing waits for it but the end.
  const noted = context.keepNote({ applied: true });
  noted.catch(() => {}); // It is awaited below.
  const handsAbort = new AbortController();
  const signal = AbortSignal.any([context.signal, handsAbort.signal]);
  let barred = false;
  const stopping = stopByHands(access, want, signal, () => {
    barred = true;
  });
  const cutting = cutOffSurvivors(access, want, context);
  const first = await Promise.any([stopping, cutting]).catch((all: AggregateError) => all);
  if (first instanceof AggregateError) throw notProven(access, first.errors);
  if (first === 'stopped') {
    await cutting.catch((thrown: unknown) => context.log.debug('fence.cut-off-failed', { error: asHoldfastError(thrown).message }));
    await noted;
    return;
  }
  // The proof stands. Hands that have got through go on, for a stopped server needs no belief; others are given up.
  const { clock } = access.context.host;
  const settled = stopping.then(
    () => true,
    () => true,
  );
  await Promise.race([settled, clock.sleep(handsGraceMs, context.signal)]);
  if (!barred) handsAbort.abort(new Error('the fence is proven without hands'));
  await Promise.all([settled, noted]);
}

/** A server that still answers is given a moment to send its log to the standbys, unless those are being cut off. */
async function stopByHands(access: Access, want: JsonObject, signal: AbortSignal, onBarred: () => void): Promise<'stopped'> {
  const machine = access.requireMachine();
  const { processes } = await barOwn(machine, want, signal);
  onBarred();
  const orderlyMs = typeof regionsToCut(access, want) === 'string' ? access.context.options['orderly-stop'] : 0;
  if (processes > 0 && orderlyMs > 0) {
    try {
      await machine.stop('orderly', { timeoutMs: orderlyMs, signal });
      return 'stopped';
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      access.context.host.log.info('fence.orderly-stop-failed', { region: access.region, error: asHoldfastError(thrown).message });
    }
  }
  await machine.stop('now', { timeoutMs: stopNowMs, signal });
  return 'stopped';
}

/** A planned change must not go on from here: the standbys may lack the end of the log. */
function notOrderly(access: Access): HoldfastError {
  return fail('SYSTEM_REFUSED', {
    subject: access.subject,
    message: `${access.subject} has stopped, but not in an orderly way: whether the standbys have all of its log can not be told`,
    hint: 'Undo the change (the server starts again and recovers), or fail over.',
  });
}

/** @param errors of stopping by hands, and of cutting the survivors off */
function notProven(access: Access, errors: readonly unknown[]): HoldfastError {
  const reasons = errors.map((error) => asHoldfastError(error));
  const bug = reasons.find((error) => error.kind === 'bug');
  if (bug) return bug;
  // A survivor that is only slow to answer can still be cut off: that is tried again, and a proof missed by moments must not end a failover.
  const cutting = reasons[1];
  if (cutting && (cutting.kind === 'transient' || cutting.kind === 'unknown-outcome')) return cutting;
  return fail('FENCE_NOT_PROVEN', {
    subject: access.subject,
    message: `nothing proves that ${access.subject} can no longer acknowledge writes: ${reasons.map((error) => error.message).join('; ')}`,
    details: { reasons: reasons.map((error) => error.message) },
  });
}
