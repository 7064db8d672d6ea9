/**
 * What backups are for, and whether each purpose that the objectives name has a policy of its own: something that is taken for it, kept for long enough, and restored to prove it. Pure.
 */
import { formatDuration } from '../base/durations.ts';
import type { BackupPurpose, PurposeObjective } from './backup-purpose.ts';
import type { BackupSpec } from './backup-section.ts';
import { dayMs } from './bounded-duration.ts';
import { keptSpanMs } from './kept-span.ts';
import { longestPauseMs } from './schedule-times.ts';
import type { ComponentSpec, Objectives } from './spec.ts';

export interface UnservedPurpose {
  readonly purpose: BackupPurpose;
  readonly component: string;
  /** The entry of `backup` that falls short; undefined where none is for this purpose. */
  readonly entry?: number;
  readonly message: string;
  readonly hint: string;
}

/** The beginning of 2024: any instant will do for the longest pause of a schedule. */
const someInstantMs = 1_704_067_200_000;

export function findUnservedPurposes(
  objectives: Objectives,
  components: ReadonlyMap<string, Pick<ComponentSpec, 'name' | 'kind' | 'backup'>>,
): readonly UnservedPurpose[] {
  return [...(objectives.backups ?? [])].flatMap(([purpose, objective]) =>
    [...components.values()]
      .filter(({ name, kind }) => (objective.of === undefined ? kind === 'data' : objective.of.includes(name)))
      .flatMap((component) => findUnserved(purpose, objective, component)),
  );
}

function findUnserved(
  purpose: BackupPurpose,
  { reachMs }: PurposeObjective,
  { name, backup = [] }: Pick<ComponentSpec, 'name' | 'backup'>,
): readonly UnservedPurpose[] {
  const candidates = [...backup.entries()].filter(([, entry]) => entry.purposes?.includes(purpose));
  const missing = (message: string, hint: string, entry?: number) => [
    { purpose, component: name, message, hint, ...(entry === undefined ? {} : { entry }) },
  ];
  if (candidates.length === 0)
    return missing(
      `no backup of ${name} is for ${purpose}`,
      `Write for: [${purpose}] where it is served, with how long it is kept and when it is proven; or name with "of" what this purpose is about.`,
    );
  if (purpose === 'point-in-time' && !candidates.some(([, { schedule }]) => schedule === undefined))
    return missing(
      `${purpose} of ${name} has no archive: only the instants of the backups themselves can be restored`,
      'Archive its log all the time, for this purpose: { what: wal, continuous: true, for: [point-in-time] }.',
      candidates[0]?.[0],
    );
  const falls = candidates.map(([index, entry]) => ({ index, why: shortcomingOf(entry, backup, reachMs) }));
  // Any instant needs both the archive and what a restore begins from; of the others one good policy is enough.
  const bad = falls.filter(({ why }) => why !== undefined);
  const first = bad[0];
  if (first?.why === undefined || (purpose !== 'point-in-time' && bad.length < falls.length)) return [];
  return missing(`${purpose} of ${name} has no whole policy: ${first.why.what}`, first.why.hint, first.index);
}

function shortcomingOf(
  entry: BackupSpec,
  all: readonly BackupSpec[],
  reachMs: number,
): { readonly what: string; readonly hint: string } | undefined {
  const { what, keep, schedule, to } = entry;
  if (keep === undefined)
    return {
      what: `nothing says how long ${what} is kept`,
      hint: `Add keep: ${Math.ceil(reachMs / dayMs)}d, or the rules that reach as far.`,
    };
  const spanMs = keptSpanMs(keep, schedule === undefined ? 0 : longestPauseMs(schedule, someInstantMs));
  if (spanMs < reachMs)
    return {
      what: `${what} is kept for ${formatDuration(spanMs)}, and ${formatDuration(reachMs)} are asked for`,
      hint: 'Keep it longer, or ask for less.',
    };
  // An archive is restored together with what a restore begins from.
  const proven = schedule === undefined ? all.some((other) => other.to === to && other.prove !== undefined) : entry.prove !== undefined;
  return proven
    ? undefined
    : { what: `no restore of ${what} is ever tested`, hint: 'Add prove: { every: weekly } to it, or to what a restore begins from.' };
}
