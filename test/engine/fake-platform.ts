/**
 * Plans of made-up steps and the world they act on: counts each effect, and watches over what the engine promises.
 */
import { fail } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import type { Inspection, StepContext, Verb } from '../../src/contracts/verbs.ts';
import type { VerbResolver } from '../../src/engine/run-options.ts';
import type { Clock } from '../../src/host/host.ts';
import type { Plan, Step } from '../../src/plans/plan.ts';

export function madeUpStep(id: string, parts: Partial<Step> = {}): Step {
  return {
    id,
    verb: 'run',
    component: id,
    region: 'west',
    want: { effect: id },
    after: [],
    why: 'a test',
    timeoutMs: 60_000,
    expectedMs: 1,
    expectedFrom: 'guess',
    onFailure: 'stop',
    ...parts,
  };
}

export function madeUpPlan(steps: readonly Step[], parts: Partial<Plan> = {}): Plan {
  return {
    kind: 'failover',
    platform: 'orders',
    from: 'east',
    to: 'west',
    epoch: 7,
    steps,
    parallel: 4,
    expectedMs: 10,
    madeAtMs: 0,
    madeBecause: 'a test',
    ...parts,
  };
}

/** How one call of apply behaves. `after` and `before` say whether it had its effect when it threw. */
export type Behaviour = 'well' | 'slowly' | 'long' | 'transient' | 'unknown-before' | 'unknown-after' | 'refused' | 'hangs' | 'bug';

export interface WorldParts {
  readonly clock: Clock;
  readonly takesMs?: () => number;
  /** One per call of apply of that effect; when used up it goes well. `refused` stays until healed. */
  readonly behaviours?: Readonly<Record<string, readonly Behaviour[]>>;
  /** Called as apply begins. Throws or records when something is not as promised. */
  readonly onApply?: (effect: string, process: string) => void | Promise<void>;
  /** How long an effect stays on its way when it is slow, and how long a long apply takes. */
  readonly slowMs?: () => number;
}

export interface ActingProcess {
  readonly name: string;
  /** False: it is dead and does nothing more. */
  readonly alive: () => boolean;
  /** How often it has stood still for long. What was on its way to the system when it did is refused there, as a system that knows the epoch does. */
  readonly stalls: () => number;
}

/** A world with effects that are there or not. An effect named `x` is undone by one named `not x`. */
export class FakeWorld {
  readonly holds = new Set<string>();
  readonly counts = new Map<string, number>();
  readonly calls: string[] = [];
  readonly violations: string[] = [];
  readonly #parts: WorldParts;
  readonly #coming = new Map<string, number>();
  readonly #used = new Map<string, number>();
  #healed = false;

  constructor(parts: WorldParts) {
    this.#parts = parts;
  }

  /** From now on everything goes well. */
  heal(): void {
    this.#healed = true;
  }

  /** The verbs as one process has them. */
  verbs(process: ActingProcess = { name: 'only', alive: () => true, stalls: () => 0 }): VerbResolver {
    return { resolve: () => this.#verb(process) };
  }

  #applying = new Set<string>();

  #verb(process: ActingProcess): Verb {
    const takes = async (context: StepContext) => {
      const takesMs = this.#parts.takesMs?.() ?? 0;
      if (takesMs > 0) await this.#parts.clock.sleep(takesMs, context.signal);
      if (!process.alive()) await never();
    };
    return {
      inspect: async (want, context) => {
        await takes(context);
        return this.#look(String(want.effect));
      },
      apply: async (want, context) => {
        if (!process.alive()) await never();
        const effect = String(want.effect);
        this.calls.push(effect);
        if (this.#coming.has(effect)) this.violations.push(`${effect} was applied again while it was on its way`);
        await this.#parts.onApply?.(effect, process.name);
        if (!process.alive()) await never();
        const others = [...this.#applying].filter((name) => name !== process.name);
        if (others.length > 0) this.violations.push(`${process.name} applies ${effect} while ${others.join()} applies`);
        this.#applying.add(process.name);
        const stalls = process.stalls();
        try {
          await takes(context);
          await this.#behave(effect, context, process.alive, () => process.stalls() === stalls);
          await takes(context);
        } finally {
          this.#applying.delete(process.name);
        }
      },
    };
  }

  /** A process that died no longer applies. */
  forget(name: string): void {
    this.#applying.delete(name);
  }

  #look(effect: string): Inspection {
    const dueMs = this.#coming.get(effect);
    if (dueMs !== undefined && dueMs <= this.#parts.clock.monotonicMs()) {
      this.#coming.delete(effect);
      this.#take(effect);
    }
    if (this.holds.has(effect)) return { state: 'done', output: { effect, position: `at ${effect}` } };
    return this.#coming.has(effect)
      ? { state: 'pending', why: `${effect} is on its way` }
      : { state: 'absent', why: `${effect} is not there` };
  }

  async #behave(effect: string, context: StepContext, isAlive: () => boolean, isLetIn: () => boolean): Promise<void> {
    if (!isLetIn()) throw fail('SYSTEM_REFUSED', { message: 'an old epoch' });
    const used = this.#used.get(effect) ?? 0;
    const planned = this.#healed ? undefined : this.#parts.behaviours?.[effect]?.[used];
    const behaviour = planned ?? 'well';
    if (behaviour !== 'refused') this.#used.set(effect, used + 1);
    switch (behaviour) {
      case 'well':
        return this.#take(effect);
      case 'slowly':
        this.#coming.set(effect, this.#parts.clock.monotonicMs() + (this.#parts.slowMs?.() ?? 40));
        return;
      case 'long':
        await this.#parts.clock.sleep(this.#parts.slowMs?.() ?? 40, context.signal);
        if (!isAlive()) await never();
        if (!isLetIn()) throw fail('SYSTEM_REFUSED', { message: 'an old epoch' });
        return this.#take(effect);
      case 'transient':
        throw fail('SYSTEM_UNREACHABLE', { message: 'no route' });
      case 'unknown-before':
        throw fail('SYSTEM_OUTCOME_UNKNOWN');
      case 'unknown-after':
        this.#take(effect);
        throw fail('SYSTEM_OUTCOME_UNKNOWN');
      case 'refused':
        throw fail('SYSTEM_REFUSED', { message: 'no' });
      case 'bug':
        throw new TypeError('undefined is not a function');
      case 'hangs':
        return never();
    }
  }

  #take(effect: string): void {
    const count = (this.counts.get(effect) ?? 0) + 1;
    this.counts.set(effect, count);
    if (this.holds.has(effect)) this.violations.push(`${effect} happened ${count} times`);
    this.holds.add(effect);
    const opposite = effect.startsWith('not ') ? effect.slice(4) : `not ${effect}`;
    this.holds.delete(opposite);
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}

export function undoOf(id: string): { readonly verb: 'run'; readonly want: JsonObject } {
  return { verb: 'run', want: { effect: `not ${id}` } };
}
