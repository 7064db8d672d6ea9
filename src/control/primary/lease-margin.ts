/**
 * How long before the end of its lease a region is fenced. Pure.
 *
 * Invariant: never shorter than what a fence is reckoned to take by the newest trial of the hands. A trial is one sample of one moment: one that was slow is taken again, and the newest counts, so
 * that neither a slow moment keeps a region from serving for good, nor a quick one hides a machine that has become slow.
 */
import { fail } from '../../base/errors.ts';

const marginShare = 0.2;
/** A fence is a look, two or three commands and another look, on a machine that may be busier by then than when the hands were tried. */
const looksPerFence = 6;
const spareMs = 250;
/** Under a lease that is held, a trial that made the margin longer than it would be otherwise is taken again no sooner than this. */
const trialKeptMs = 60_000;

export interface MarginParts {
  readonly region: string;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  /** How long a look took when the hands were tried last. */
  readonly triedMs: number;
}

const leastMarginMs = (ttlMs: number) => Math.ceil(ttlMs * marginShare);

/** PRIMARY_TTL_TOO_SMALL where the margin leaves no room for two renewals. */
export function computeMarginMs({ region, ttlMs, renewEveryMs, triedMs }: MarginParts): number {
  const fenceMs = looksPerFence * triedMs + spareMs;
  const marginMs = Math.max(leastMarginMs(ttlMs), Math.ceil(fenceMs));
  const leastMs = marginMs + 2 * renewEveryMs;
  if (ttlMs < leastMs)
    throw fail('PRIMARY_TTL_TOO_SMALL', {
      subject: region,
      message: `fencing ${region} takes up to ${fenceMs} ms and the lease is renewed every ${renewEveryMs} ms: a time to live of ${ttlMs} ms is too short`,
      hint: `Set controllers.ttl to at least ${leastMs} ms.`,
      details: { fenceMs, ttlMs, leastMs },
    });
  return marginMs;
}

/** Whether a slow trial is behind the margin, and long enough ago to be taken again. */
export function isTrialStale(marginMs: number, ttlMs: number, trialAgeMs: number): boolean {
  return marginMs > leastMarginMs(ttlMs) && trialAgeMs >= trialKeptMs;
}
