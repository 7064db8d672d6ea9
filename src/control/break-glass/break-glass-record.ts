/**
 * What is written down of a failover without the shared state: in the local journal before it begins, in the shared state once it is reconciled.
 *
 * Invariant: its epoch is above everything that could be found, and leaves a gap: what the lost state may have given away unseen lies in between.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { StateStore } from '../../contracts/state-store.ts';

export const breakGlassKey = 'break-glass';
export const breakGlassPrefix = 'break-glasses/';

export interface BreakGlassRecord extends JsonObject {
  readonly id: string;
  readonly platform: string;
  readonly from: string;
  readonly to: string;
  readonly by: string;
  /** Who vouches that the other side can no longer acknowledge writes. */
  readonly fencedBy: string;
  readonly because: string;
  readonly atMs: number;
  /** The highest epoch that was found, wherever. */
  readonly highestFound: number;
  readonly found: { readonly [where: string]: number };
  /** Whose word is missing, and why. */
  readonly silent: { readonly [where: string]: string };
  /** The local journal begins with this epoch; the failover's own is the next. */
  readonly baseEpoch: number;
  readonly reconciledAtMs?: number;
}

/** Epochs of a failover without the state are recognised by the gap before them. */
const gap = 1_000;

export function chooseBaseEpoch(highestFound: number): number {
  return (Math.floor(highestFound / gap) + 1) * gap;
}

export async function readBreakGlass(
  store: StateStore,
): Promise<{ readonly record: BreakGlassRecord; readonly revision: number } | undefined> {
  const entry = await store.get(breakGlassKey);
  if (entry === undefined) return undefined;
  const record = entry.value as BreakGlassRecord;
  if (typeof record?.baseEpoch !== 'number' || typeof record.to !== 'string')
    throw fail('STATE_DAMAGED', { subject: breakGlassKey, message: 'the record of the break-glass failover can not be understood' });
  return { record, revision: entry.revision };
}
