/** Places in the write-ahead log. PostgreSQL writes them as two hexadecimal halves, `16/B374D848`; compared as text they would be in the wrong order. */
import { fail } from '../../base/errors.ts';
import type { Position } from '../../contracts/observation.ts';

export type Lsn = bigint;

export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text.trim());
  if (!match) throw fail('SYSTEM_WRONG_ANSWER', { message: `"${text}" is not a place in a write-ahead log` });
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

export function positionAt(systemIdentifier: string, timeline: number, lsn: Lsn): Position & { readonly [key: string]: string | number } {
  return { history: systemIdentifier, timeline, offset: lsn.toString(), text: formatLsn(lsn) };
}

/**
 * Where a server left each earlier timeline, from the text of its `.history` file: lines of `<timeline> <place> <reason>`. A server on the first timeline has no such
 * file and never left any.
 */
export function parseTimelineHistory(text: string): ReadonlyMap<number, Lsn> {
  const switches = new Map<number, Lsn>();
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (match?.[1] && match[2]) switches.set(Number(match[1]), parseLsn(match[2]));
  }
  return switches;
}

/** Whether two histories are one, as far as they are written down: the same timelines, left at the same places. */
export function sameSwitches(one: ReadonlyMap<number, Lsn>, other: ReadonlyMap<number, Lsn>): boolean {
  return one.size === other.size && [...one].every(([timeline, lsn]) => other.get(timeline) === lsn);
}
