/**
 * What the controllers did between a cut and the first write after it, by what they say themselves: decisions, steps of the plan, what each of them took. Their wall clock is this machine's.
 */
import type { World } from '../../test/end-to-end/partitions/world.ts';

interface Moment {
  readonly atMs: number;
  readonly region: string;
  readonly what: string;
}

interface Said {
  readonly event: string;
  readonly atMs?: number;
  readonly decision?: { readonly summary: string };
  readonly journal?: {
    readonly type: string;
    readonly atMs: number;
    readonly stepId?: string;
    readonly data?: { readonly tookMs?: number; readonly effect?: string };
  };
}

function momentOf(region: string, { event, atMs, decision, journal }: Said): Moment | undefined {
  if (decision !== undefined && atMs !== undefined) return { atMs, region, what: `decides: ${decision.summary.slice(0, 110)}` };
  if (journal !== undefined) {
    const took = journal.data?.tookMs === undefined ? '' : ` after ${journal.data.tookMs} ms`;
    return { atMs: journal.atMs, region, what: `${journal.type} ${journal.stepId ?? ''}${took}`.trim() };
  }
  return atMs === undefined ? undefined : { atMs, region, what: event };
}

/** Lines, oldest first, with milliseconds since the cut. Whatever came before it, or long after the first write, is left out. */
export function describeTimeline(world: World, cutAtWallMs: number, firstWriteMs: number): readonly string[] {
  const said = [...world.controllers].flatMap(([region, controller]) =>
    controller.events().flatMap((event) => momentOf(region, event as Said) ?? []),
  );
  const moments = [...said, { atMs: cutAtWallMs + firstWriteMs, region: '', what: 'FIRST WRITE' }].toSorted(
    (left, right) => left.atMs - right.atMs,
  );
  return moments
    .map(({ atMs, region, what }) => ({ sinceMs: Math.round(atMs - cutAtWallMs), region, what }))
    .filter(({ sinceMs }) => sinceMs >= 0 && sinceMs <= firstWriteMs + 500)
    .map(({ sinceMs, region, what }) => `  ${String(sinceMs).padStart(6)} ms  ${region.padEnd(7)} ${what}`);
}
