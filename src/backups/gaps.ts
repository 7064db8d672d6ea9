/**
 * Holes in archived logs. A hole is recorded once, and a person's acknowledgement is a second record of it: it silences the alarm, and a restore goes across the hole no more than before.
 *
 * Invariant: no record is changed, so a hole is never forgotten. Dying between two records leaves the hole recorded.
 */
import { makeId } from '../base/ids.ts';
import { recordPrefix } from './object-names.ts';
import { writeRecord } from './record-objects.ts';
import type { GapRecord } from './records.ts';
import type { RepositoryParts } from './repository-parts.ts';

export async function writeGap(parts: RepositoryParts, gap: GapRecord): Promise<void> {
  const { clock, random } = parts.store.host;
  const id = makeId('gap', clock.nowMs(), () => random.next());
  await writeRecord(parts, 'gaps', recordPrefix('gaps', gap.component, gap.identity) + id, gap, { lock: true });
}

/** One of each hole, with its acknowledgement where there is one, in the order of where they begin. */
export function mergeGaps(records: readonly GapRecord[]): readonly GapRecord[] {
  const holes = new Map<string, GapRecord>();
  for (const record of records.toSorted((a, b) => a.atMs - b.atMs)) {
    const name = JSON.stringify([record.component, record.identity, record.from, record.to]);
    const known = holes.get(name);
    if (known === undefined) holes.set(name, record);
    else if (known.acknowledged === undefined && record.acknowledged !== undefined)
      holes.set(name, { ...known, acknowledged: record.acknowledged });
  }
  return [...holes.values()].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : a.atMs - b.atMs));
}
