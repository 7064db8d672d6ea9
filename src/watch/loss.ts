/**
 * Measured loss, from canary numbers. Pure.
 *
 * The window is the time in which acknowledged client writes may have been lost. It opens when the last surviving row was written: everything acknowledged before that was in
 * the store before it and survived with it. It closes when the store could no longer acknowledge anything to anybody. A row that was not acknowledged to us says nothing about
 * others, and neither does silence: a store that only we can't reach goes on. So the window closes at the evidence of a live host that nothing is there any more (where rows
 * still came in after that, one period after the last of them), and never later than the fence, which is the proof.
 */
import type { CanaryRow } from '../contracts/driver.ts';
import type { AcknowledgedCanary } from './canary-writer.ts';

export interface MeasuredLoss {
  readonly component: string;
  /** Acknowledged rows that did not survive; 0 when the newest acknowledged one did. */
  readonly lostCanaries: number;
  readonly lastAcknowledged?: number;
  readonly lastSurviving?: number;
  /** Set when rows, or writes between rows, may be lost. */
  readonly window?: { readonly fromMs: number; readonly toMs: number };
  /** False where it can't be told: no row was ever acknowledged, or none can be read. */
  readonly measured: boolean;
  readonly detail: string;
}

/** How the old site came to its end. */
export interface EndOfSite {
  /** When a live host first said that nothing is there any more (`refused`, `connection-lost`). */
  readonly goneAtMs?: number;
  /** From when its fence held. */
  readonly fencedAtMs?: number;
  /** Where neither is known, it may have acknowledged writes until now. */
  readonly nowMs: number;
  /** Nothing that was acknowledged was on that site alone: synchronous replication, or its last position had arrived. */
  readonly nothingAlone: boolean;
}

function computeEndMs(acknowledged: AcknowledgedCanary, everyMs: number, end: EndOfSite): number {
  const fencedAtMs = end.fencedAtMs ?? end.nowMs;
  const goneAtMs = end.goneAtMs === undefined ? fencedAtMs : Math.max(end.goneAtMs, acknowledged.acknowledgedAtMs + everyMs);
  return Math.max(acknowledged.acknowledgedAtMs, Math.min(goneAtMs, fencedAtMs));
}

export function computeLoss(
  component: string,
  acknowledged: AcknowledgedCanary | undefined,
  surviving: CanaryRow | undefined,
  everyMs: number,
  end: EndOfSite,
): MeasuredLoss {
  if (!acknowledged)
    return { component, lostCanaries: 0, measured: false, detail: 'no canary row had been acknowledged before, so the loss is unproven' };
  const survivingNumber = surviving?.number ?? 0;
  const lostCanaries = Math.max(0, acknowledged.number - survivingNumber);
  const numbers = { lastAcknowledged: acknowledged.number, ...(surviving ? { lastSurviving: surviving.number } : {}) };
  const window = { fromMs: surviving?.atMs ?? 0, toMs: computeEndMs(acknowledged, everyMs, end) };
  if (lostCanaries > 0)
    return {
      component,
      lostCanaries,
      ...numbers,
      window,
      measured: true,
      detail: surviving
        ? `canaries ${survivingNumber + 1} to ${acknowledged.number} were acknowledged and did not survive`
        : `none of the ${acknowledged.number} canaries survived`,
    };
  const survived = `canary ${acknowledged.number}, the last one acknowledged, survived`;
  if (end.nothingAlone || window.toMs <= window.fromMs) return { component, lostCanaries, ...numbers, measured: true, detail: survived };
  return {
    component,
    lostCanaries,
    ...numbers,
    window,
    measured: true,
    detail: `${survived}; what was acknowledged after it may not have`,
  };
}
