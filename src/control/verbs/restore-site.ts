/**
 * restore-site {component, region}: the site serves the newest recovery point that can be reached, brought there from the repository. For components without a standby.
 *
 * The backup is chosen when the step begins and kept as its note, so that whoever goes on after a death brings the very same one. The copy is recovered beside, on this machine, before
 * anything is touched at the site; what was there is moved aside under the execution's name, never written over and never deleted. A marker beside the directory says whose copy lies
 * there and is written when all of it has arrived; what lies there without it, beside our own directory of before, is a copy that was cut off, and is made anew.
 */
import { assert } from '../../base/assert.ts';
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { CallsReturn, DirectoryReturn, SiteReturn } from '../../contracts/site-return.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import { chooseRecoveryPoint, type RecoveryChoice } from '../backups/choose-recovery-point.ts';
import { recoverCopy } from '../backups/recover-copy.ts';
import { ownHands, remotePlace, type SitePlace } from '../backups/restore-place.ts';
import { scratchNameFor, scratchPath, withScratch } from '../backups/scratch.ts';
import type { PlatformParts } from './platform-verb.ts';

interface Note extends JsonObject {
  readonly choice: RecoveryChoice & JsonObject;
  /** Where what was at the site goes; of a site that is a directory. */
  readonly before?: string;
  /** What the driver keeps of its calls; of a site that takes its content by calls. */
  readonly own?: Json;
}

interface Work {
  readonly parts: BackupParts;
  readonly component: string;
  readonly region: string;
  readonly site: SiteReturn;
}

export function restoreSite({ backups: parts }: PlatformParts): Verb {
  const workOf = (want: JsonObject): Work => {
    const [component, region] = [String(want.component), String(want.region)];
    const site = parts.openReturn(component, region);
    if (site) return { parts, component, region, site };
    throw fail('NO_SUCH_VERB', {
      subject: `${component} in ${region}`,
      message: `${component} in ${region} can't be brought back from a backup as it is configured`,
      hint: 'Give the site what its driver needs for it (hands, a data directory): see its page in the reference.',
    });
  };
  return {
    inspect: async (want, context) => {
      const work = workOf(want);
      return work.site.kind === 'directory' ? inspectDirectory(work, work.site, context) : inspectCalls(work, work.site, context);
    },
    apply: async (want, context) => {
      const work = workOf(want);
      const note = (context.note as Note | undefined) ?? (await choose(work, context));
      if (work.site.kind === 'directory') await bringDirectory(work, work.site, note, context);
      else await bringByCalls(work, work.site, note, context);
    },
  };
}

async function choose({ parts, component, site }: Work, context: StepContext): Promise<Note> {
  const choice = await chooseRecoveryPoint(parts, component);
  const note: Note = {
    choice: { ...choice, target: { ...choice.target } as unknown as RecoveryTarget & JsonObject },
    ...(site.kind === 'directory' ? { before: `${site.directory}.before-${context.executionId}` } : {}),
  };
  await context.keepNote(note);
  return note;
}

const placeOf = ({ parts, component, region }: Work, { directory }: DirectoryReturn): SitePlace =>
  remotePlace(parts.host, parts.handsOf(component, region) ?? ownHands(parts.host), directory);

async function inspectDirectory(work: Work, site: DirectoryReturn, context: StepContext): Promise<Inspection> {
  const marker = await placeOf(work, site).readMarker();
  if (marker?.execution !== context.executionId) return { state: 'absent', why: `${site.directory} holds no copy of ours yet` };
  if (await site.serves(context)) return { state: 'done', output: marker };
  return { state: 'absent', why: 'the copy is there, and was not started yet' };
}

async function bringDirectory(work: Work, site: DirectoryReturn, { choice, before }: Note, context: StepContext): Promise<void> {
  const { parts, component, region } = work;
  assert(before !== undefined, 'the note of a directory says where what was there goes');
  const place = placeOf(work, site);
  if ((await place.readMarker())?.execution !== context.executionId) {
    const startedMs = parts.host.clock.monotonicMs();
    const wish = { component, ...choice, scratchName: scratchNameFor(context.executionId, component) };
    await recoverCopy(parts, wish, context, async (copy, directory, signal) => {
      context.progress(`making room in ${region}`);
      await site.stop(context);
      await place.moveAside(before);
      context.progress(`unpacking in ${region}`);
      await place.bring(directory, signal);
      await place.writeMarker({
        execution: context.executionId,
        ...copy,
        reachedAtMs: copy.reachedAtMs ?? choice.consistentAtMs,
        directory: site.directory,
        startHint: copy.startHint.replaceAll(directory, site.directory),
        region,
        tookMs: Math.round(parts.host.clock.monotonicMs() - startedMs),
      });
    });
  }
  context.progress('starting');
  await site.serve((await place.exists(before)) ? before : undefined, context);
}

async function inspectCalls(work: Work, site: CallsReturn, context: StepContext): Promise<Inspection> {
  const note = context.note as Note | undefined;
  if (!note || !(await site.holds(restoreId(work, context), context)))
    return { state: 'absent', why: `${work.component} in ${work.region} holds nothing that this step brought` };
  const { repository, backupId, consistentAtMs } = note.choice;
  return { state: 'done', output: { component: work.component, region: work.region, repository, backupId, reachedAtMs: consistentAtMs } };
}

async function bringByCalls(work: Work, site: CallsReturn, note: Note, context: StepContext): Promise<void> {
  const { parts, component } = work;
  const { choice, own } = note;
  const repository = await parts.repository(choice.repository);
  const scratch = scratchPath(parts.scratchDirectory, parts.spec.name, scratchNameFor(context.executionId, component));
  await withScratch(parts.host, scratch, async (workDirectory) => {
    const backup = await repository.openBackup(component, choice.backupId);
    const keepOwn = (kept: Json): Promise<void> => context.keepNote({ ...note, own: kept });
    await site.bring(backup, choice.target, restoreId(work, context), { ...context, workDirectory, own, keepOwn });
  });
}

/** One execution brings a site back once. */
const restoreId = ({ component, region }: Work, { executionId }: StepContext): string => `${executionId}/${component}/${region}`;
