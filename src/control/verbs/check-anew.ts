/**
 * The steps that touch something first, advance-epoch and the first fence, behind what was looked at before them: the verdict on the source, and the readiness and the loss of the target. Whoever goes
 * on with a change that another process began finds those looks in the journal, as old as the time in which nobody ran it; meanwhile the source may have come back, and have taken writes that nobody
 * counted.
 *
 * Invariant: the epoch is advanced and the first fence begun only on looks that this very process has taken a moment ago, or with the approval of people, which comes after the looks. Once a fence may
 * have done something, what is seen of the source says nothing any more of what it was before. When the process dies, the next one looks anew.
 */
import { fail } from '../../base/errors.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock } from '../../host/host.ts';
import type { Plan, Step } from '../../plans/plan.ts';
import type { StepState } from '../../state/execution-state.ts';
import { loadExecution } from '../../state/journal.ts';
import type { PlatformParts } from './platform-verb.ts';

/** Far more than it takes from the looks to the epoch, and less than any lease lasts by default. */
const freshMs = 3_000;

const lookVerbs = ['confirm-verdict', 'check-target'];
export const isLook = (verb: string) => lookVerbs.includes(verb);

/** When the looks of one run last held. */
export class TakenLooks {
  readonly #clock: Clock;
  readonly #heldAtMs = new Map<string, number>();
  /** Whether this run has written down that it begins the step. */
  readonly wasBegunHere: (step: string) => boolean;

  constructor(clock: Clock, wasBegunHere: (step: string) => boolean) {
    this.#clock = clock;
    this.wasBegunHere = wasBegunHere;
  }

  note(step: string): void {
    this.#heldAtMs.set(step, this.#clock.monotonicMs());
  }

  /** Of those that were taken at all: a run that has taken none has none that is fresh. */
  get areAllFresh(): boolean {
    return this.#heldAtMs.size > 0 && [...this.#heldAtMs.keys()].every((step) => this.isFresh(step));
  }

  isFresh(step: string): boolean {
    const atMs = this.#heldAtMs.get(step);
    return atMs !== undefined && this.#clock.monotonicMs() - atMs <= freshMs;
  }
}

/** The look itself, noted when it holds. */
export function notedLook(look: Verb, step: string, taken: TakenLooks): Verb {
  return {
    inspect: async (want, context) => {
      const seen = await look.inspect(want, context);
      if (seen.state === 'done') taken.note(step);
      return seen;
    },
    apply: (want, context) => look.apply(want, context),
  };
}

/** @param look the verb of such a step, noting what holds */
export function checkAnew(parts: Pick<PlatformParts, 'store'>, verb: Verb, taken: TakenLooks, look: (step: Step) => Verb): Verb {
  return {
    inspect: async (want, context) => {
      const seen = await verb.inspect(want, context);
      if (seen.state !== 'absent') return seen;
      return (await takeStaleLooks(parts, taken, look, context)) ?? seen;
    },
    apply: (want, context) => verb.apply(want, context),
  };
}

/** An attempt that this run has begun itself waits for these looks; one that another run began may have come to anything. */
function mayHaveBegun(step: StepState, taken: TakenLooks): boolean {
  return step.status === 'done' || step.note !== undefined || step.attempts > (taken.wasBegunHere(step.id) ? 1 : 0);
}

/** What keeps the step from being begun; undefined where nothing does. */
async function takeStaleLooks(
  { store }: Pick<PlatformParts, 'store'>,
  taken: TakenLooks,
  look: (step: Step) => Verb,
  context: StepContext,
): Promise<Inspection | undefined> {
  if (taken.areAllFresh) return undefined;
  const { header, state } = await loadExecution<Plan>(store, context.executionId);
  const { plan } = header;
  const looks = plan.steps.filter(({ verb }) => isLook(verb));
  if (plan.kind !== 'failover' || plan.steps.some(({ verb }) => verb === 'approve')) return undefined;
  if (state.steps.some((step) => step.verb === 'fence' && mayHaveBegun(step, taken))) return undefined;
  for (const step of looks.filter(({ id }) => !taken.isFresh(id))) {
    const seen = await look(step).inspect(step.want, { ...context, note: undefined });
    if (seen.state === 'absent')
      throw fail('EXECUTION_NOT_ALLOWED', {
        message: `what was seen before no longer holds: ${seen.why}`,
        hint: 'Nothing was fenced. End it with holdfast abort; if the region has to fail over all the same, run holdfast switchover or holdfast failover by hand.',
      });
    if (seen.state !== 'done') return seen;
  }
  return undefined;
}
