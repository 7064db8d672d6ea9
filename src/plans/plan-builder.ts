/**
 * Collects steps and closes them into a plan: names are unique, every `after` names a step that exists, the graph has no cycle, the expected time is that of the longest path.
 */
import { assert } from '../base/assert.ts';
import type { JsonObject } from '../base/json.ts';
import type { SiteVerb } from '../contracts/verbs.ts';
import type { OnFailure, Plan, PlanKind, PlatformVerb, Step } from './plan.ts';
import type { Situation } from './situation.ts';

/** Never less than this, however quick the verb has been: a loaded machine must not turn a slow step into a failed one. */
const leastTimeoutMs = 30_000;
const timeoutFactor = 20;
const platformStepMs = 5;

interface Extra {
  readonly after?: readonly (string | undefined)[];
  readonly why: string;
  readonly onFailure?: OnFailure;
  readonly mayLose?: string | undefined;
  readonly undo?: { readonly verb: SiteVerb | PlatformVerb; readonly want: JsonObject } | undefined;
  readonly timeoutMs?: number;
}

export class PlanBuilder {
  readonly #situation: Situation;
  readonly #steps: Step[] = [];

  constructor(situation: Situation) {
    this.#situation = situation;
  }

  /** Adds a step of the control plane; returns its id. */
  platform(verb: PlatformVerb, want: JsonObject, extra: Extra & { readonly name?: string }): string {
    return this.#add({ id: extra.name ?? verb, verb, want, expectedMs: platformStepMs, expectedFrom: 'guess' }, extra);
  }

  /** Adds a step at a site; returns its id. */
  site(verb: SiteVerb, component: string, region: string, want: JsonObject, extra: Extra): string {
    const timing = this.#situation.timing(component, verb);
    return this.#add(
      { id: `${verb} ${component} ${region}`, verb, component, region, want, expectedMs: timing.ms, expectedFrom: timing.from },
      extra,
    );
  }

  #add(core: Pick<Step, 'id' | 'verb' | 'component' | 'region' | 'want' | 'expectedMs' | 'expectedFrom'>, extra: Extra): string {
    let id = core.id;
    for (let count = 2; this.#steps.some((step) => step.id === id); count += 1) id = `${core.id} (${count})`;
    this.#steps.push({
      ...core,
      id,
      after: [...new Set((extra.after ?? []).filter((step) => step !== undefined))],
      why: extra.why,
      timeoutMs: extra.timeoutMs ?? Math.max(leastTimeoutMs, core.expectedMs * timeoutFactor),
      onFailure: extra.onFailure ?? 'stop',
      ...(extra.mayLose === undefined ? {} : { mayLose: extra.mayLose }),
      ...(extra.undo === undefined ? {} : { undo: extra.undo }),
    });
    return id;
  }

  close(parts: {
    kind: PlanKind;
    platform: string;
    from: string;
    to: string;
    epoch: number;
    because: string;
    mayLose?: string | undefined;
  }): Plan {
    return {
      kind: parts.kind,
      platform: parts.platform,
      from: parts.from,
      to: parts.to,
      epoch: parts.epoch,
      steps: this.#steps,
      parallel: 16,
      expectedMs: longestPathMs(this.#steps),
      ...(parts.mayLose === undefined ? {} : { mayLose: parts.mayLose }),
      madeAtMs: this.#situation.nowMs,
      madeBecause: parts.because,
    };
  }
}

/** The expected time of a graph of steps with nothing waiting for a free place. A broken graph is a bug of the planner. */
export function longestPathMs(steps: readonly Step[]): number {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const ends = new Map<string, number>();
  const under = new Set<string>();
  const endOf = (id: string): number => {
    const known = ends.get(id);
    if (known !== undefined) return known;
    const step = byId.get(id);
    assert(step, `the step "${id}" that another waits for is in the plan`);
    assert(!under.has(id), `the plan has no cycle through "${id}"`);
    under.add(id);
    const end = Math.max(0, ...step.after.map(endOf)) + step.expectedMs;
    under.delete(id);
    ends.set(id, end);
    return end;
  };
  return Math.max(0, ...steps.map((step) => endOf(step.id)));
}
