/**
 * Counts what this process has run, for as long as it lives: how long steps took, how executions ended. Told of each event once it is durable; keeps numbers only, so that nothing that
 * goes on here can hold up a step.
 */
import type { MetricSample } from '../../base/metric.ts';
import type { ExecutionState } from '../../state/execution-state.ts';
import type { JournalEvent } from '../../state/journal-events.ts';

/** Seconds: from a query to the restore of everything. */
const bounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600] as const;

interface Durations {
  readonly labels: { readonly verb: string; readonly result: string };
  readonly upTo: number[];
  sum: number;
  count: number;
}

/** Ids are `<kind>-<time and chance>`. */
const kindOf = (id: string): string => id.slice(0, id.lastIndexOf('-'));

export class ExecutionCounts {
  readonly #durations = new Map<string, Durations>();
  readonly #ended = new Map<string, { readonly labels: { readonly kind: string; readonly outcome: string }; count: number }>();

  count(event: JournalEvent, state: ExecutionState): void {
    if (event.type === 'step-done' || event.type === 'step-failed') {
      const verb = state.steps.find(({ id }) => id === event.stepId)?.verb;
      const result = event.type === 'step-done' ? event.data.effect : 'failed';
      if (verb !== undefined) this.#add(verb, result, event.data.tookMs / 1_000);
    } else if (event.type === 'finished') this.#end(kindOf(state.id), event.data.outcome);
  }

  #add(verb: string, result: string, tookSeconds: number): void {
    const key = `${verb} ${result}`;
    const known = this.#durations.get(key) ?? { labels: { verb, result }, upTo: bounds.map(() => 0), sum: 0, count: 0 };
    this.#durations.set(key, known);
    bounds.forEach((bound, at) => {
      if (tookSeconds <= bound) known.upTo[at] = (known.upTo[at] ?? 0) + 1;
    });
    known.sum += tookSeconds;
    known.count += 1;
  }

  #end(kind: string, outcome: string): void {
    const key = `${kind} ${outcome}`;
    const known = this.#ended.get(key) ?? { labels: { kind, outcome }, count: 0 };
    this.#ended.set(key, known);
    known.count += 1;
  }

  samples(): readonly MetricSample[] {
    const samples: MetricSample[] = [];
    const name = 'holdfast_step_duration_seconds';
    for (const { labels, upTo, sum, count } of this.#durations.values()) {
      bounds.forEach((bound, at) => {
        samples.push({ name, suffix: '_bucket', labels: { ...labels, le: String(bound) }, value: upTo[at] ?? 0 });
      });
      samples.push({ name, suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count });
      samples.push({ name, suffix: '_sum', labels, value: sum });
      samples.push({ name, suffix: '_count', labels, value: count });
    }
    for (const { labels, count } of this.#ended.values()) samples.push({ name: 'holdfast_executions_ended_total', labels, value: count });
    return samples;
  }
}
