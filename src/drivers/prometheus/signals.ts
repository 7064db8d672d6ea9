/**
 * What a signal says: well, ill, or nothing. Three answers, for in a disaster the exporter often dies first, and a series that is missing looks like one without errors.
 *
 * Invariant: `well` needs a fresh sample, traffic where that is asked for, and a number within the bounds in every series. NaN (nothing divided by nothing) is no number. A value just at its bound
 * is well.
 */
import { formatDuration } from '../../base/durations.ts';
import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { PrometheusClient, SeriesValues } from './client.ts';
import type { ComponentOptions, SignalOptions } from './options.ts';

export interface SignalWord {
  readonly signal: string;
  readonly says: 'well' | 'ill' | 'nothing';
  readonly why: string;
  /** The worst value, where there is one that can be written down. */
  readonly value?: number;
  /** The error behind `nothing`. */
  readonly error?: HoldfastError;
}

export interface Asking {
  readonly client: PrometheusClient;
  readonly options: ComponentOptions;
  /** What $region stands for. */
  readonly label: string;
}

export function askSignals(asking: Asking, signal: AbortSignal): Promise<readonly SignalWord[]> {
  return Promise.all(Object.entries(asking.options.signals).map(([name, options]) => askSignal(asking, name, options, signal)));
}

async function askSignal(asking: Asking, name: string, options: SignalOptions, signal: AbortSignal): Promise<SignalWord> {
  const { client } = asking;
  const ask = (expression: string) => client.query(filled(asking, expression), signal);
  try {
    const [newest, traffic, values] = await Promise.all([
      ask(`time() - max(timestamp(${options.series}))`),
      options.traffic === undefined ? undefined : ask(options.traffic),
      ask(options.query),
    ]);
    const silent = whySilent(asking, options, newest, traffic);
    return silent === undefined ? judge(name, options, values) : { signal: name, says: 'nothing', why: silent };
  } catch (thrown) {
    return nothingFor(name, thrown);
  }
}

/** Over the time that has passed: ill if any point was, well only if every step has its point. */
export async function askSignalsOver(asking: Asking, durationMs: number, signal: AbortSignal): Promise<readonly SignalWord[]> {
  const stepSeconds = asking.options['bake-step'] / 1_000;
  const [now] = await asking.client.query('time()', signal);
  const endSeconds = now?.points[0]?.value ?? Number.NaN;
  const range = { startSeconds: endSeconds - durationMs / 1_000, endSeconds, stepSeconds };
  const steps = Math.floor(durationMs / 1_000 / stepSeconds) + 1;
  return Promise.all(
    Object.entries(asking.options.signals).map(async ([name, options]) => {
      try {
        const values = await asking.client.queryRange(filled(asking, options.query), range, signal);
        const word = judge(name, options, values);
        const fewest = Math.min(...values.map(({ points }) => points.length));
        if (word.says !== 'well' || fewest >= steps) return word;
        return {
          signal: name,
          says: 'nothing',
          why: `${name} has ${fewest} of ${steps} points over ${formatDuration(durationMs)}`,
        } as const;
      } catch (thrown) {
        return nothingFor(name, thrown);
      }
    }),
  );
}

function nothingFor(name: string, thrown: unknown): SignalWord {
  const interrupted = thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError');
  if (interrupted && !(thrown instanceof HoldfastError))
    return { signal: name, says: 'nothing', why: `${name}: no answer before the probe was ended` };
  const error = asHoldfastError(thrown);
  if (error.kind === 'bug' || error.kind === 'invalid') throw error;
  return { signal: name, says: 'nothing', why: `${name}: ${error.message}`, error };
}

function filled({ label }: Asking, expression: string): string {
  return expression.replaceAll('$region', label);
}

function whySilent(
  { options: { 'fresh-within': freshMs } }: Asking,
  options: SignalOptions,
  newest: readonly SeriesValues[],
  traffic: readonly SeriesValues[] | undefined,
): string | undefined {
  const ageSeconds = newest[0]?.points[0]?.value;
  if (ageSeconds === undefined || Number.isNaN(ageSeconds)) return `there are no series ${options.series}`;
  if (ageSeconds * 1_000 > freshMs)
    return `the newest sample of ${options.series} is ${formatDuration(Math.round(ageSeconds * 1_000))} old`;
  if (traffic === undefined) return undefined;
  const total = traffic.reduce((sum, { points }) => sum + (points[0]?.value ?? Number.NaN), 0);
  if (traffic.length > 0 && total > 0 && total >= options['traffic-at-least']) return undefined;
  return traffic.length === 0 || Number.isNaN(total)
    ? `nothing counts the traffic: ${options.traffic}`
    : `there is too little traffic: ${total}`;
}

function judge(name: string, { above, below, query }: SignalOptions, values: readonly SeriesValues[]): SignalWord {
  const all = values.flatMap((series) => series.points.map(({ value }) => ({ series: series.name, value })));
  const isIll = ({ value }: { value: number }) => (above !== undefined && value > above) || (below !== undefined && value < below);
  const ill = all.filter(isIll);
  if (ill.length > 0) {
    const worst = ill.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
    const bound = above !== undefined && worst.value > above ? `above ${above}` : `below ${below}`;
    return { signal: name, says: 'ill', why: `${name} is ${worst.value}, ${bound} (${worst.series})`, ...written(worst.value) };
  }
  if (all.length === 0) return { signal: name, says: 'nothing', why: `${name}: ${query} gives no series` };
  const nan = all.find(({ value }) => Number.isNaN(value));
  if (nan !== undefined) return { signal: name, says: 'nothing', why: `${name} is not a number (${nan.series}): nothing was counted` };
  const largest = Math.max(...all.map(({ value }) => value));
  return { signal: name, says: 'well', why: `${name} is ${largest}`, ...written(largest) };
}

/** JSON has no infinities. */
function written(value: number): { value?: number } {
  return Number.isFinite(value) ? { value } : {};
}
