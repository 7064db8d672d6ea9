/** Begins backups, proofs, restores and prunes as executions: draws the ids, says how long it should take, claims the slot. */

import type { Catalogue } from '../../backups/records.ts';
import { makeId } from '../../base/ids.ts';
import type { RecoveryTarget } from '../../contracts/backup.ts';
import type { Change } from '../../contracts/state-store.ts';
import {
  type BackupPlanFrame,
  compileBackup,
  compileProof,
  compilePrune,
  compileRestore,
  type ProveBackupWant,
} from '../../plans/compile-backup.ts';
import type { Plan } from '../../plans/plan.ts';
import type { VerbTiming } from '../../plans/situation.ts';
import type { Control } from '../control.ts';
import { beginExecution } from '../executions.ts';

interface Begin {
  readonly because: string;
  readonly by: string;
  /** Committed with the execution. */
  readonly alongside?: readonly Change[];
  readonly id?: string;
}

const guessMs = 60_000;
const guess: VerbTiming = { ms: guessMs, from: 'guess' };

async function frameOf(control: Control, because: string, expected: VerbTiming): Promise<BackupPlanFrame> {
  const { spec, host } = control.parts;
  const { region, epoch } = await control.backups.activeRegion();
  return { platform: spec.name, activeRegion: region, epoch, nowMs: host.clock.nowMs(), because, expected };
}

const begin = (control: Control, plan: Plan, { by, alongside, id }: Begin) =>
  beginExecution(control, plan, by, { ...(alongside ? { alongside } : {}), ...(id === undefined ? {} : { id }) });

export interface BackupWish extends Begin {
  readonly component: string;
  readonly what: string;
  readonly repository: string;
  /** How long the one before took. */
  readonly tookMs?: number;
}

export async function beginBackup(control: Control, wish: BackupWish): Promise<{ readonly execution: string; readonly backupId: string }> {
  const { component, what, repository, because, tookMs } = wish;
  const { host } = control.parts;
  const backupId = makeId(what, host.clock.nowMs(), () => host.random.next());
  const frame = await frameOf(control, because, tookMs === undefined ? guess : { ms: tookMs, from: 'measured' });
  return { execution: await begin(control, compileBackup(frame, { component, what, repository, backupId }), wish), backupId };
}

export async function beginProof(control: Control, want: ProveBackupWant, wish: Begin): Promise<string> {
  const frame = await frameOf(control, wish.because, guess);
  return begin(control, compileProof(frame, want), wish);
}

export interface RestoreWish extends Begin {
  readonly component: string;
  readonly repository: string;
  readonly backupId: string;
  readonly target: RecoveryTarget;
  readonly into: string;
  readonly on?: string;
  readonly expected: VerbTiming;
}

export async function beginRestore(control: Control, wish: RestoreWish): Promise<string> {
  const { component, repository, backupId, target, into, on, because, expected } = wish;
  const where = on === undefined ? { into } : { into, on };
  const frame = await frameOf(control, because, expected);
  return begin(control, compileRestore(frame, { component, repository, backupId, target: { ...target }, ...where }), wish);
}

export async function beginPrune(control: Control, repository: string, wish: Begin): Promise<string> {
  return begin(control, compilePrune(await frameOf(control, wish.because, guess), { repository }), wish);
}

/** How long a restore of so much should take, by the newest proof of the component that restored something; undefined: never measured. */
export function expectedRestoreMs(catalogue: Pick<Catalogue, 'entries'>, component: string, dataBytes: number): number | undefined {
  const measured = catalogue.entries
    .filter(({ backup }) => backup.component === component)
    .flatMap(({ backup, proofs }) => proofs.filter(({ phases }) => phases.fetchMs > 0).map((proof) => ({ proof, backup })))
    .sort((left, right) => left.proof.atMs - right.proof.atMs)
    .at(-1);
  if (!measured || measured.backup.facts.dataBytes <= 0) return undefined;
  const { fetchMs, startMs } = measured.proof.phases;
  return Math.round((fetchMs * dataBytes) / measured.backup.facts.dataBytes + startMs);
}
