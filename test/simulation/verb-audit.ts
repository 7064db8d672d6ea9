/**
 * Watches over every verb that a controller calls on a site: each apply comes after a look of the same process that said `absent`, under the lease of its execution, with an intent that is
 * durable; and a note that was kept is given back to whoever goes on.
 */
import type { Json } from '../../src/base/json.ts';
import type { AnyDriver, DriverCatalog, Site } from '../../src/contracts/driver.ts';
import type { StepContext, Verb } from '../../src/contracts/verbs.ts';
import { journalKeys } from '../../src/state/journal.ts';
import type { Distortions } from './distortions.ts';
import type { Invariants } from './invariants.ts';
import type { SimulatedPlatform } from './simulated-platform.ts';

export class VerbAudit {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #distortions: Distortions;
  /** By execution and step, whichever process kept it. */
  readonly #notes = new Map<string, string>();

  constructor(platform: SimulatedPlatform, invariants: Invariants, distortions: Distortions) {
    this.#distortions = distortions;
    this.#platform = platform;
    this.#invariants = invariants;
  }

  /** The catalog as the process of that name, at that place, is given it. */
  over(catalog: DriverCatalog, holder: string, place: string): DriverCatalog {
    const looks = new Map<string, 'absent'>();
    return new Map([...catalog].map(([name, driver]) => [name, this.#driver(driver, holder, place, looks)]));
  }

  #driver(driver: AnyDriver, holder: string, place: string, looks: Map<string, 'absent'>): AnyDriver {
    return {
      ...driver,
      open: (context) => {
        const site = driver.open(context);
        const verbs = Object.entries(site.verbs).map(([name, verb]) => [name, this.#verb(name, verb, holder, looks)]);
        const observe = (signal: AbortSignal) => this.#distortions.told(place, context.region, () => site.observe(signal));
        return { ...site, ...(driver.kind === 'data' ? { observe } : {}), verbs: Object.fromEntries(verbs) as Site['verbs'] };
      },
    };
  }

  #verb(name: string, verb: Verb, holder: string, looks: Map<string, 'absent'>): Verb {
    const keyOf = (context: StepContext) => `${context.executionId} ${context.stepId}`;
    return {
      inspect: async (want, context) => {
        this.#checkNote(keyOf(context), context);
        looks.delete(keyOf(context));
        const seen = await verb.inspect(want, this.#noting(context));
        if (seen.state === 'absent') looks.set(keyOf(context), 'absent');
        return seen;
      },
      apply: (want, context) => {
        // The guard of a region acts by itself, under the lease of its region.
        if (context.executionId === 'primary-guard') return verb.apply(want, context);
        const key = keyOf(context);
        this.#checkNote(key, context);
        // Where the end of a lease may prove the fence, the driver tries again until one of the two is there, and looks by itself.
        if (!looks.delete(key) && want['barred'] === undefined)
          this.#invariants.violate('I4', `${name} of ${key} is applied although no look has said that it is absent`);
        this.#checkMayAct(context, holder);
        return verb.apply(want, this.#noting(context));
      },
    };
  }

  #noting(context: StepContext): StepContext {
    const key = `${context.executionId} ${context.stepId}`;
    return {
      ...context,
      keepNote: async (note: Json) => {
        await context.keepNote(note);
        this.#notes.set(key, JSON.stringify(note));
      },
    };
  }

  /** What was kept last is given back, or something newer that stands in the journal although nobody was told. */
  #checkNote(key: string, { executionId, stepId, note }: StepContext): void {
    const kept = this.#notes.get(key);
    const given = JSON.stringify(note);
    if (kept === undefined || given === kept) return;
    const events = this.#invariants.mirror.executions.get(executionId)?.events ?? [];
    const isNewer = events.some(
      (event) => event.type === 'step-note' && event.stepId === stepId && JSON.stringify(event.data.note) === given,
    );
    if (!isNewer) this.#invariants.violate('I4', `the note of ${key} is lost: ${kept} was kept, ${given} is given back`);
  }

  #checkMayAct({ executionId, stepId }: StepContext, holder: string): void {
    const lease = this.#platform.state.leaseNow(journalKeys.lease(executionId));
    if (lease?.held !== true || lease.holder !== holder)
      this.#invariants.violate('I4', `${holder} applies ${stepId} of ${executionId} without its lease`);
    const isUndo = stepId.startsWith('undo ');
    const id = isUndo ? stepId.slice('undo '.length) : stepId;
    const events = this.#invariants.mirror.executions.get(executionId)?.events ?? [];
    const durable = events.some((event) => event.type === (isUndo ? 'undo-intent' : 'step-intent') && event.stepId === id);
    if (!durable) this.#invariants.violate('I4', `${stepId} of ${executionId} is applied before its intent is durable`);
  }
}
