/**
 * What of a repository is kept and what may go. Pure: a catalogue, policies and an instant in, a plan out.
 *
 * Only proven backups count. Never goes: the newest proven one, what a kept one needs, what is leased or locked. Everything is ordered by the instant that a backup comes back to,
 * never by name. Where something is not as it should be (the clock, a record that can't be read, failing proofs, too much at once) nothing goes, and the plan says why.
 */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import { type CatalogueEntry, provenLevel } from './records.ts';
import { type ArchiveCut, computeArchiveCuts } from './retention-archives.ts';
import { formGroups, inOrder, isProven, type RetentionGroup, type RetentionInput } from './retention-groups.ts';
import { computeRefusals, findFreeze } from './retention-guards.ts';
import { findReasonsToKeep } from './retention-keep.ts';

export interface RetentionPlan {
  readonly nowMs: number;
  readonly keep: readonly { readonly entry: CatalogueEntry; readonly because: readonly string[] }[];
  /** Gets a tombstone now. */
  readonly remove: readonly { readonly entry: CatalogueEntry; readonly because: string }[];
  /** Has a tombstone, and time left to be wanted back. */
  readonly waiting: readonly { readonly entry: CatalogueEntry; readonly untilMs: number }[];
  /** Its grace is over: its objects go now. Newest first, so that nothing is left that needs what has gone. */
  readonly due: readonly { readonly entry: CatalogueEntry; readonly because: string }[];
  /** Whole log segments before these go, once everything that is due has gone. */
  readonly archives: readonly ArchiveCut[];
  /** Why nothing of a component (or, without one, nothing at all) goes although something could. */
  readonly refusals: readonly RetentionRefusal[];
  readonly warnings: readonly string[];
}

export interface RetentionRefusal {
  readonly component?: string;
  readonly message: string;
  /** What would have gone. */
  readonly wouldRemove: number;
}

/** Everything that the kept ones can't be restored without, by id; through as many steps as it takes. */
function closeOverNeeds(
  entries: readonly CatalogueEntry[],
  reasons: Map<CatalogueEntry, string[]>,
): { readonly missing: readonly string[] } {
  const key = (component: string, backupId: string) => `${component}\n${backupId}`;
  const byId = new Map(entries.map((entry) => [key(entry.backup.component, entry.backup.backupId), entry]));
  const missing: string[] = [];
  const toVisit = [...reasons.keys()];
  for (let entry = toVisit.pop(); entry !== undefined; entry = toVisit.pop()) {
    const { component, backupId, facts } = entry.backup;
    for (const id of facts.needs ?? []) {
      const needed = byId.get(key(component, id));
      if (!needed) missing.push(`${component}: ${backupId} needs ${id}, which is not there`);
      else {
        const known = reasons.get(needed);
        const reason = `${backupId} needs it`;
        if (known) known.push(reason);
        else {
          reasons.set(needed, [reason]);
          toVisit.push(needed);
        }
      }
    }
  }
  return { missing };
}

interface GroupDecision {
  readonly remove: { entry: CatalogueEntry; because: string }[];
  readonly waiting: { entry: CatalogueEntry; untilMs: number }[];
  readonly due: { entry: CatalogueEntry; because: string }[];
  readonly held: string[];
}

function decideGroup(group: RetentionGroup, kept: ReadonlyMap<CatalogueEntry, string[]>, nowMs: number): GroupDecision {
  const decision: GroupDecision = { remove: [], waiting: [], due: [], held: [] };
  for (const entry of group.entries.toReversed()) {
    const { tombstone, backup } = entry;
    const reasons = kept.get(entry);
    if (tombstone) {
      const untilMs = tombstone.atMs + group.policy.graceMs;
      if (untilMs > nowMs) decision.waiting.push({ entry, untilMs });
      else if (reasons) decision.held.push(`${backup.component}: ${backup.backupId} has a tombstone and stays: ${reasons.join('; ')}`);
      else decision.due.push({ entry, because: tombstone.because });
    } else if (!reasons) {
      const ageText = formatDuration(nowMs - backup.facts.consistentAtMs);
      const because = isProven(entry, group.policy)
        ? `${ageText} old, and nothing in what is to be kept asks for it`
        : `${ageText} old, not proven, and a newer one is`;
      decision.remove.push({ entry, because });
    }
  }
  return decision;
}

export function computeRetention(input: RetentionInput): RetentionPlan {
  const { nowMs, catalogue } = input;
  const { groups, without } = formGroups(input);
  const reasons = new Map<CatalogueEntry, string[]>();
  for (const group of groups) for (const [entry, because] of findReasonsToKeep(group, nowMs)) reasons.set(entry, because);
  for (const entry of without) reasons.set(entry, [`the spec does not say how long ${entry.backup.what} is kept`]);
  const { missing } = closeOverNeeds(catalogue.entries, reasons);

  const refusals: RetentionRefusal[] = [];
  const warnings: string[] = [...missing];
  const remove: { entry: CatalogueEntry; because: string }[] = [];
  const waiting: { entry: CatalogueEntry; untilMs: number }[] = [];
  const due: { entry: CatalogueEntry; because: string }[] = [];
  const frozenComponents = new Map((input.frozen ?? []).map(({ component, why }) => [component, why]));
  for (const group of groups) {
    const why = findFreeze(group);
    if (why !== undefined) frozenComponents.set(group.component, why);
  }
  const nowhere = computeRefusals(input, groups);
  for (const group of groups) {
    const decision = decideGroup(group, reasons, nowMs);
    warnings.push(...decision.held);
    waiting.push(...decision.waiting);
    const going = decision.remove.length + decision.due.length;
    const live = group.entries.filter((entry) => !entry.tombstone).length;
    const share = live === 0 ? 0 : decision.remove.length / live;
    const frozen = frozenComponents.get(group.component);
    const tooMuch =
      share > group.policy.deleteShareMax
        ? `${group.component}: ${decision.remove.length} of ${live} ${group.what} backups would go, more than ${Math.round(group.policy.deleteShareMax * 100)} % of them`
        : undefined;
    const stop = nowhere[0] ?? frozen ?? tooMuch;
    if (stop === undefined) {
      remove.push(...decision.remove);
      due.push(...decision.due);
    } else {
      if (nowhere.length === 0 && going > 0) refusals.push({ component: group.component, message: stop, wouldRemove: going });
      for (const { entry } of [...decision.remove, ...decision.due]) reasons.set(entry, [`nothing goes: ${stop}`]);
    }
  }
  for (const message of nowhere) refusals.unshift({ message, wouldRemove: 0 });
  // Across kinds too: an increment goes before the base that it needs.
  const order = new Map(inOrder(due.map(({ entry }) => entry)).map((entry, index) => [entry, index]));
  due.sort((left, right) => (order.get(right.entry) as number) - (order.get(left.entry) as number));

  const gone = new Set(due.map(({ entry }) => entry));
  const staying = catalogue.entries.filter((entry) => !gone.has(entry));
  const blocked = new Set(nowhere.length > 0 ? catalogue.entries.map(({ backup }) => backup.component) : frozenComponents.keys());
  const cuts = computeArchiveCuts({ staying, archives: input.archives ?? [], policyOf: input.policyOf, nowMs, blocked });
  const going = new Set(remove.map(({ entry }) => entry));
  const keep = inOrder(catalogue.entries)
    .filter((entry) => !entry.tombstone && !going.has(entry))
    .map((entry) => ({ entry, because: reasons.get(entry) ?? [] }));
  return { nowMs, keep, remove, waiting, due, archives: cuts.cuts, refusals, warnings: [...warnings, ...cuts.warnings] };
}

/** The plan in words, one line each: for a dry run and for what is journalled before anything goes. */
export function describeRetention(plan: RetentionPlan): readonly string[] {
  const name = (entry: CatalogueEntry) =>
    `${entry.backup.component} ${entry.backup.what} ${entry.backup.backupId} (${formatInstant(entry.backup.facts.consistentAtMs)}, proven ${provenLevel(entry)})`;
  return [
    ...plan.refusals.map((refusal) => `refused: ${refusal.message}`),
    ...plan.keep.map(({ entry, because }) => `keep ${name(entry)}: ${because.join('; ')}`),
    ...plan.remove.map(({ entry, because }) => `tombstone ${name(entry)}: ${because}`),
    ...plan.waiting.map(({ entry, untilMs }) => `wait ${name(entry)}: its grace ends ${formatInstant(untilMs)}`),
    ...plan.due.map(({ entry, because }) => `remove ${name(entry)}: ${because}`),
    ...plan.archives.map(
      (cut) =>
        `remove log of ${cut.component} (${cut.identity})${cut.after === undefined ? '' : ` after ${cut.after} and`} before ${cut.before}: ${cut.because}`,
    ),
    ...plan.warnings.map((warning) => `note: ${warning}`),
  ];
}
