/**
 * The verbs of a workload (scale, await-ready, fence, check), the same for every driver that can say how much of it runs and ask for more or less.
 *
 * Scaling is asking for a size, and asking twice is asking once. Where the driver can count, the count decides whether it has been done. Where it can't, the step's own note
 * does: `asked` is made durable before the command and `answered` after it. A controller that dies in between finds `asked` without `answered` and asks again.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Clock } from '../../host/host.ts';
import type { Reading } from '../observation.ts';
import type { FenceProof, Inspection, StepContext, Verb } from '../verbs.ts';

export type WorkloadSize = 'full' | 'standby' | 'none';

export interface WorkloadCounts {
  /** How many are set to run. */
  readonly wanted: number;
  readonly ready: number;
}

/** What a driver must know of its workload. */
export interface Workload {
  /** How many make up this size. Asked of the system where the spec leaves it to what was recorded there. */
  replicas(size: WorkloadSize, signal: AbortSignal): number | Promise<number>;
  observe(signal: AbortSignal): Promise<Reading>;
  /** Undefined where the site has no way to count. */
  readonly readCounts?: ((signal: AbortSignal) => Promise<WorkloadCounts>) | undefined;
  /** Asks for the size; a second time has no further effect. With `bar`, nothing of an older epoch may start it again, where the driver can see to that. */
  readonly bring?: ((size: WorkloadSize, context: StepContext, bar?: boolean) => Promise<void>) | undefined;
}

interface ScaleNote extends JsonObject {
  readonly size: WorkloadSize;
  /** How many were set to run before; null where nobody could count. */
  readonly previous: number | null;
  readonly answered: boolean;
  /** Its host took no command, and nothing listened. */
  readonly hostGone?: boolean;
}

const sizes: readonly WorkloadSize[] = ['full', 'standby', 'none'];

function wantedSize(want: JsonObject): WorkloadSize {
  const size = sizes.find((each) => each === want.size);
  if (size === undefined) throw fail('BUG_BROKEN_BELIEF', { message: `a size is full, standby or none, not ${JSON.stringify(want.size)}` });
  return size;
}

function noteOf(context: StepContext, size: WorkloadSize): ScaleNote | undefined {
  const note = context.note as ScaleNote | undefined;
  return note?.size === size ? note : undefined;
}

/** Nothing listens any more, or a balancer says that nobody stands behind it. */
function nothingAnswers(reading: Reading, counted: boolean): boolean {
  if (reading.evidence.kind === 'refused') return true;
  return counted && reading.health !== 'up';
}

export function scaleVerb(workload: Workload): Verb {
  return {
    inspect: (want, context) => inspectScale(workload, wantedSize(want), context),
    apply: (want, context) => bringSize(workload, wantedSize(want), context, false),
  };
}

async function inspectScale(workload: Workload, size: WorkloadSize, context: StepContext): Promise<Inspection> {
  const wanted = await workload.replicas(size, context.signal);
  const note = noteOf(context, size);
  if (workload.readCounts) {
    const counts = await workload.readCounts(context.signal);
    if (counts.wanted === wanted) return { state: 'done', output: { wanted, previous: note?.previous ?? counts.wanted } };
    const why = `${counts.wanted} set to run, ${wanted} wanted for ${size}`;
    return note?.answered ? { state: 'pending', why } : { state: 'absent', why };
  }
  const done: Inspection = { state: 'done', output: { wanted, previous: note?.previous ?? null } };
  if (wanted > 0) {
    return note?.answered ? done : { state: 'absent', why: `${size} has not been asked for by this step, and nothing counts the replicas` };
  }
  const reading = await workload.observe(context.signal);
  if (nothingAnswers(reading, false)) return done;
  return { state: note?.answered ? 'pending' : 'absent', why: `wanted: nothing listens; seen: ${reading.evidence.detail}` };
}

async function bringSize(workload: Workload, size: WorkloadSize, context: StepContext, bar: boolean): Promise<void> {
  if (!workload.bring) throw fail('HANDS_MISSING', { message: 'the site has no commands to scale with' });
  const before = noteOf(context, size);
  const previous = before ? before.previous : await readPrevious(workload, context.signal);
  await context.keepNote({ size, previous, answered: false } satisfies ScaleNote);
  await workload.bring(size, context, bar);
  await context.keepNote({ size, previous, answered: true } satisfies ScaleNote);
}

/** Without a count only one number can be told from outside: nothing listens, so there is none. */
async function readPrevious(workload: Workload, signal: AbortSignal): Promise<number | null> {
  if (workload.readCounts) return (await workload.readCounts(signal)).wanted;
  return nothingAnswers(await workload.observe(signal), false) ? 0 : null;
}

/** Waits only: `inspect` never says absent, so there is nothing to apply. */
export function awaitReadyVerb(workload: Workload): Verb {
  return {
    async inspect(want, context) {
      const size = wantedSize(want);
      const wanted = await workload.replicas(size, context.signal);
      const share = typeof want.share === 'number' ? want.share : 1;
      const enough = Math.ceil(wanted * share);
      const reading = await workload.observe(context.signal);
      const ready =
        reading.replicas?.ready ??
        (workload.readCounts ? (await workload.readCounts(context.signal)).ready : reading.health === 'up' ? wanted : 0);
      if (wanted === 0)
        return nothingAnswers(reading, ready === 0)
          ? { state: 'done', output: { wanted, ready: 0 } }
          : { state: 'pending', why: `${ready} still ready: ${reading.evidence.detail}` };
      // A count without an answer is not enough: clients need the answer.
      if (reading.health === 'up' && ready >= enough) return { state: 'done', output: { wanted, ready } };
      return { state: 'pending', why: `${ready} of ${wanted} ready, ${enough} needed: ${reading.evidence.detail}` };
    },
    async apply() {
      throw fail('BUG_BROKEN_BELIEF', { message: 'await-ready only waits: there is nothing to apply' });
    },
  };
}

/**
 * Stopped by this step's own command and then seen gone. What was found stopped without having been stopped by us is stopped again: only then is it known that a restart
 * policy or an older execution does not bring it back at once.
 */
export function fenceVerb(workload: Workload, clock: Clock): Verb {
  return {
    async inspect(_want, context) {
      const note = noteOf(context, 'none');
      if (note?.hostGone) return inspectHostGone(workload, clock, context);
      if (!note?.answered) return { state: 'absent', why: 'this step has not stopped it yet' };
      const counts = await workload.readCounts?.(context.signal);
      if (counts && counts.wanted > 0) return { state: 'pending', why: `${counts.wanted} still set to run` };
      const reading = await workload.observe(context.signal);
      if (!nothingAnswers(reading, counts !== undefined)) return { state: 'pending', why: `stopped, but: ${reading.evidence.detail}` };
      const counted = counts ? 'none is set to run' : 'the stop command succeeded';
      const proof: FenceProof = { proof: 'stopped', evidence: `${counted}; ${reading.evidence.detail}`, sinceMs: clock.nowMs() };
      return { state: 'done', output: proof };
    },
    async apply(_want, context) {
      try {
        await bringSize(workload, 'none', context, true);
      } catch (thrown) {
        // With its host gone no command can stop it. Where nothing listens there is nothing to stop, though nothing bars it either.
        const gone = thrown instanceof HoldfastError && thrown.code === 'HANDS_UNREACHABLE';
        if (!gone || (await workload.observe(context.signal)).evidence.kind !== 'refused') throw thrown;
        await context.keepNote({ size: 'none', previous: null, answered: false, hostGone: true });
      }
    },
  };
}

async function inspectHostGone(workload: Workload, clock: Clock, context: StepContext): Promise<Inspection> {
  const { evidence } = await workload.observe(context.signal);
  if (evidence.kind !== 'refused') return { state: 'absent', why: `it is back: ${evidence.detail}` };
  const proof: FenceProof = {
    proof: 'nothing-listens',
    evidence: `${evidence.detail}; its host can not be reached for commands, so nothing bars it from being started again`,
    sinceMs: clock.nowMs(),
  };
  return { state: 'done', output: proof };
}

/** The smoke checks, or where there are none the health check. Waits only, as await-ready does. */
export function checkVerb(workload: Workload, smoke: ((signal: AbortSignal) => Promise<Inspection>) | undefined): Verb {
  return {
    async inspect(_want, context) {
      if (smoke) return smoke(context.signal);
      const { health, evidence } = await workload.observe(context.signal);
      return health === 'up' ? { state: 'done', output: { detail: evidence.detail } } : { state: 'pending', why: evidence.detail };
    },
    async apply() {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}
