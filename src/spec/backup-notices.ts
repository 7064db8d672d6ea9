/**
 * What the backups of a spec promise and can't keep, or contradict each other in. Nothing of it is a fault (somebody may want it so), and nothing of it may go unsaid: each notice names
 * both places. Pure.
 */
import { formatDuration } from '../base/durations.ts';
import type { BackupSpec } from './backup-section.ts';
import { Contradictions } from './contradictions.ts';
import type { Fault, SpecPath } from './fault.ts';
import { keptSpanMs } from './kept-span.ts';
import { type LocatedNode, nodeAt } from './located-node.ts';
import type { RepositorySpec } from './repository-spec.ts';
import { longestPauseMs } from './schedule-times.ts';
import type { ComponentSpec, Objectives, RegionSpec } from './spec.ts';

export interface NoticeParts {
  readonly objectives: Objectives;
  readonly regions: ReadonlyMap<string, RegionSpec>;
  readonly components: ReadonlyMap<string, ComponentSpec>;
  readonly repositories: ReadonlyMap<string, RepositorySpec>;
}

/** The beginning of 2024. Any year will do for the longest pause of a schedule; this one is a leap year, with two changes of the clocks. */
const someInstantMs = 1_704_067_200_000;

interface Located {
  readonly backup: BackupSpec;
  readonly path: SpecPath;
  /** Undefined for what is archived all the time. */
  readonly pauseMs?: number;
}

export function backupNotices(root: LocatedNode, parts: NoticeParts): readonly Fault[] {
  const notices = new Contradictions(root);
  for (const component of parts.components.values()) {
    const located = locate(root, component);
    for (const one of located) {
      checkKeep(one, component.name, notices);
      checkProofs(one, component.name, notices);
    }
    checkArchive(located, component.name, notices);
    checkObjective(located, component, parts.objectives, notices);
    checkRegions(located, component.name, parts, notices);
  }
  return notices.found;
}

/** The entries of the component with their places: as they are read, each stands for the one of the same what and repository. */
function locate(root: LocatedNode, component: ComponentSpec): readonly Located[] {
  const path = ['components', component.name, 'backup'];
  const written = nodeAt(root, path);
  const count = written?.kind === 'list' ? written.items.length : 0;
  // A spec with faults has fewer entries than are written, and is refused anyway.
  if (count !== (component.backup ?? []).length) return [];
  return (component.backup ?? []).map((backup, index) => ({
    backup,
    path: [...path, index],
    ...(backup.schedule ? { pauseMs: longestPauseMs(backup.schedule, someInstantMs) } : {}),
  }));
}

function checkKeep({ backup, path, pauseMs }: Located, component: string, notices: Contradictions): void {
  const { keep } = backup;
  if (keep === undefined || pauseMs === undefined) return;
  const spanMs = keptSpanMs(keep, pauseMs);
  if (spanMs < pauseMs)
    notices.add(
      [...path, 'keep'],
      `${backup.what} of ${component} is kept for ${formatDuration(spanMs)}, and up to ${formatDuration(pauseMs)} go by between two of them`,
      [...path, 'every'],
      'The newest proven one is kept all the same; nothing older is. Keep longer, or back up more often.',
    );
  else if (keep.proven !== undefined && keep.forMs !== undefined && keep.proven * pauseMs < keep.forMs)
    notices.add(
      [...path, 'keep', 'proven'],
      `${keep.proven} backups of ${backup.what} of ${component} reach back ${formatDuration(keep.proven * pauseMs)}, and "days" keeps ${formatDuration(keep.forMs)}`,
      [...path, 'keep', 'days'],
      'Both rules hold, so the longer one decides: take away the one that is not meant.',
    );
}

function checkProofs({ backup, path, pauseMs }: Located, component: string, notices: Contradictions): void {
  if (backup.prove === undefined || backup.keep === undefined || pauseMs === undefined) return;
  const proofPauseMs = longestPauseMs(backup.prove.schedule, someInstantMs);
  const spanMs = keptSpanMs(backup.keep, pauseMs);
  if (proofPauseMs > spanMs)
    notices.add(
      [...path, 'prove', 'every'],
      `${backup.what} of ${component} is proven every ${formatDuration(proofPauseMs)}, and kept for ${formatDuration(spanMs)}`,
      [...path, 'keep'],
      'Only proven backups count: prove at least once in the time that they are kept.',
    );
}

/** Between the backups kept, only an archive that reaches as far back leads to any instant. */
function checkArchive(located: readonly Located[], component: string, notices: Contradictions): void {
  for (const archive of located.filter((one) => one.pauseMs === undefined)) {
    const archiveMs = archive.backup.keep?.forMs;
    if (archiveMs === undefined) continue;
    for (const base of located) {
      if (base.pauseMs === undefined || base.backup.to !== archive.backup.to) continue;
      const baseMs = base.backup.keep && keptSpanMs(base.backup.keep, base.pauseMs);
      const other = [...base.path, notices.has([...base.path, 'keep']) ? 'keep' : 'every'];
      if (archiveMs < base.pauseMs)
        notices.add(
          [...archive.path, 'keep'],
          `${archive.backup.what} of ${component} is kept for ${formatDuration(archiveMs)}, and up to ${formatDuration(base.pauseMs)} go by between two of ${base.backup.what}`,
          [...base.path, 'every'],
          'What the newest backup needs is kept all the same. Keep it longer, or back up more often.',
        );
      else if (baseMs !== undefined && archiveMs < baseMs)
        notices.add(
          [...archive.path, 'keep'],
          `${archive.backup.what} of ${component} is kept for ${formatDuration(archiveMs)}, and ${base.backup.what} for ${formatDuration(baseMs)}: before ${formatDuration(archiveMs)} ago only the instants of the backups themselves can be restored`,
          other,
          'Keep both for as long, if any instant is meant.',
        );
    }
  }
}

function checkObjective(located: readonly Located[], component: ComponentSpec, objectives: Objectives, notices: Contradictions): void {
  const rpoMs = component.rpoMs ?? objectives.rpoMs;
  if (rpoMs === undefined || located.length === 0 || located.some((one) => one.pauseMs === undefined)) return;
  const best = [...located].sort((left, right) => (left.pauseMs as number) - (right.pauseMs as number))[0] as Located;
  if ((best.pauseMs as number) <= rpoMs) return;
  notices.add(
    [...best.path, 'every'],
    `no more than ${formatDuration(rpoMs)} of ${component.name} may be lost, and up to ${formatDuration(best.pauseMs as number)} go by between two backups`,
    component.rpoMs === undefined ? ['objectives', 'rpo'] : ['components', component.name, 'rpo'],
    'A standby keeps this objective when a region is lost, but not when data is destroyed: archive the log too (continuous: true), or back up more often.',
  );
}

/** A copy in the region that is lost is no copy. */
function checkRegions(
  located: readonly Located[],
  component: string,
  { regions, repositories }: NoticeParts,
  notices: Contradictions,
): void {
  const active = [...regions.values()].find((region) => region.role === 'active')?.name;
  const first = located[0];
  if (active === undefined || first === undefined) return;
  const used = [...new Set(located.map((one) => one.backup.to))];
  if (!used.every((name) => repositories.get(name)?.inRegion === active)) return;
  const written = notices.has(['repositories', used[0] as string, 'in-region']) ? 'in-region' : 'region';
  notices.add(
    ['repositories', used[0] as string, written],
    `${component} is backed up only into ${active}, the region that is active: whoever loses it loses the backups too`,
    first.path,
    'Name a repository in another region with "to", or move this one.',
  );
}
