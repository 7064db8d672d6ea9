/**
 * What a run was worth, from nothing but what clients were told and what is in the databases afterwards. Pure: the same record gives the same judgement.
 *
 * Invariant: a write counts as lost or as acknowledged twice only for what a client was really told; a number whose answer never came is nobody's promise.
 */
import type { Acknowledgement } from './checker.ts';

/** How late a client on a busy machine may note an answer that came before the promotion. What it *sent* after the other site's answer has no such excuse. */
const lateNoteMs = 250;

/** Two sites that acknowledged under one timeline, or an older one that still did after a newer one had begun. */
export function findSplitBrain(acknowledged: readonly Acknowledgement[]): string[] {
  const found: string[] = [];
  const siteOf = new Map<number, string>();
  const firstOf = new Map<number, Acknowledgement>();
  for (const each of acknowledged) {
    const site = siteOf.get(each.timeline) ?? each.site;
    siteOf.set(each.timeline, site);
    if (site !== each.site) found.push(`${each.site} and ${site} both acknowledged under timeline ${each.timeline}: ${describe(each)}`);
    const first = firstOf.get(each.timeline);
    if (first === undefined || each.atMs < first.atMs) firstOf.set(each.timeline, each);
  }
  for (const each of acknowledged) {
    for (const [timeline, first] of firstOf) {
      if (timeline <= each.timeline || each.site === first.site) continue;
      if (each.sentAtMs > first.atMs || each.atMs > first.atMs + lateNoteMs)
        found.push(
          `${describe(each)}, ${Math.round(each.atMs - first.atMs)} ms after ${first.site} had acknowledged under timeline ${timeline}`,
        );
    }
  }
  return found;
}

function describe({ number, site, from, timeline }: Acknowledgement): string {
  return `${site} acknowledged ${number} to the client in ${from} under timeline ${timeline}`;
}

/** The longest time without any acknowledgement that reaches into the span. */
export function computeOutageMs(acknowledged: readonly Acknowledgement[], fromMs: number, toMs: number): number {
  const times = acknowledged.map((each) => each.atMs).toSorted((left, right) => left - right);
  const before = times.findLast((atMs) => atMs < fromMs) ?? fromMs;
  const after = times.find((atMs) => atMs > toMs) ?? toMs;
  const all = [before, ...times.filter((atMs) => atMs >= fromMs && atMs <= toMs), after];
  return Math.max(...all.slice(1).map((atMs, index) => atMs - (all[index] as number)));
}

export function findMissing(acknowledged: readonly Acknowledgement[], present: ReadonlySet<number>): number[] {
  return acknowledged.map((each) => each.number).filter((number) => !present.has(number));
}

export function computeMedian(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
