/**
 * Keeps the state small while the platform is served: executions beyond the number that the spec wants go to the first repository as evidence, and out of the state.
 *
 * It works beside the loop that decides and never makes it wait: a repository that hangs delays nothing. Dying in it loses nothing: see trimExecutions.
 */
import { asHoldfastError } from '../base/errors.ts';
import { trimExecutions } from '../state/trim-executions.ts';
import { readRunRecords } from './backups/run-records.ts';
import type { Control } from './control.ts';

const firstAfterMs = 10 * 60_000;
const everyMs = 60 * 60_000;

export class Trimmer {
  readonly #control: Control;
  #nextAtMonotonicMs: number;
  #working = false;

  constructor(control: Control) {
    this.#control = control;
    this.#nextAtMonotonicMs = control.parts.host.clock.monotonicMs() + firstAfterMs;
  }

  /** Returns at once. */
  turn(mayAct: () => boolean): void {
    const { host, spec } = this.#control.parts;
    const nowMs = host.clock.monotonicMs();
    if (this.#working || nowMs < this.#nextAtMonotonicMs || (spec.repositories?.size ?? 0) === 0) return;
    this.#working = true;
    this.#nextAtMonotonicMs = nowMs + everyMs;
    void trimNow(this.#control, mayAct)
      .catch((thrown) => host.log.warn('executions.not-trimmed', { message: asHoldfastError(thrown).message }))
      .finally(() => {
        this.#working = false;
      });
  }
}

/** Resolves to how many executions have left the state. */
export async function trimNow(control: Control, mayAct: () => boolean): Promise<number> {
  const { store, host, spec } = control.parts;
  const [name] = spec.repositories?.keys() ?? [];
  if (name === undefined) return 0;
  // The last run of each schedule is what the next one is counted from.
  const needed = new Set([...(await readRunRecords(store)).values()].map(({ execution }) => execution));
  return await trimExecutions(store, {
    keep: spec.controllers.keepExecutions,
    needed,
    mayAct,
    log: host.log,
    place: `repository ${name}`,
    archive: async (id, evidence) => {
      const { repository } = await control.backups.opened(name);
      await repository.writeEvidence(id, evidence);
    },
  });
}
