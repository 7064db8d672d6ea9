/**
 * The verb `check`: the signals are well, now, or for the whole of a bake.
 *
 * A bake begins when the step is first applied; the note says when. It fails at the first signal that is ill, and is done when every point since then was well: points in between two looks are asked
 * for as well, and a gap is no point. Dying in it loses nothing: the note is kept, and what was measured in between is with Prometheus.
 */
import { formatDuration } from '../../base/durations.ts';
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock } from '../../host/host.ts';
import { type Asking, askSignals, askSignalsOver, type SignalWord } from './signals.ts';

export function signalsVerb(asking: Asking, clock: Clock): Verb {
  const { bake } = asking.options;
  return {
    async inspect(_want, context) {
      const begunMs = begunOf(context.note);
      if (bake === undefined) return judgeNow(await askSignals(asking, context.signal));
      if (begunMs === undefined)
        return { state: 'absent', why: `the signals have not been watched for ${formatDuration(bake)} by this step` };
      return inspectBake(asking, bake, clock.nowMs() - begunMs, context);
    },
    async apply(_want, context) {
      if (bake === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
      if (begunOf(context.note) === undefined) await context.keepNote({ begunMs: clock.nowMs() });
    },
  };
}

function judgeNow(words: readonly SignalWord[]): Inspection {
  const others = words.filter(({ says }) => says !== 'well');
  if (others.length > 0) return { state: 'pending', why: others.map(({ why }) => why).join('; ') };
  return { state: 'done', output: { detail: words.map(({ why }) => why).join('; ') } };
}

async function inspectBake(asking: Asking, bakeMs: number, passedMs: number, context: StepContext): Promise<Inspection> {
  const now = await askSignals(asking, context.signal);
  const isOver = passedMs >= bakeMs;
  const over = isOver ? await askSignalsOver(asking, bakeMs, context.signal) : [];
  const ill = [...now, ...over].find(({ says }) => says === 'ill');
  if (ill !== undefined) throw fail('STEP_FAILED', { message: `${ill.why}, ${formatDuration(passedMs)} after the watch began` });
  const silent = [...now, ...over].filter(({ says }) => says === 'nothing').map(({ why }) => why);
  if (!isOver)
    return { state: 'pending', why: [`watched for ${formatDuration(passedMs)} of ${formatDuration(bakeMs)}`, ...silent].join('; ') };
  if (silent.length > 0) return { state: 'pending', why: silent.join('; ') };
  return { state: 'done', output: { detail: `well for ${formatDuration(bakeMs)}: ${over.map(({ why }) => why).join('; ')}` } };
}

function begunOf(note: Json | undefined): number | undefined {
  const value = typeof note === 'object' && note !== null && !Array.isArray(note) ? (note as JsonObject).begunMs : undefined;
  return typeof value === 'number' ? value : undefined;
}
