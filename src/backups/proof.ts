/**
 * Proves one backup by restoring it somewhere harmless and looking at what came back, level by level; works for any driver.
 *
 * Invariant: every attempt leaves a record, also one that failed or was stopped, and nothing else: no copy, no directory, no lease. A process that dies leaves no record; its lease
 * ends by itself and its directory is removed by the next proof on the machine.
 */
import type { ErrorCode } from '../base/error-catalogue.ts';
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { AnyDriverBackups, BackupFacts, BackupReader, CheckResult, ProofLevel, RecoveryTarget } from '../contracts/backup.ts';
import type { Host } from '../host/host.ts';
import type { BackupRepository } from './backup-repository.ts';
import { type CopyDamage, type CopyOutcome, proveCopy, type UserCheck } from './proof-copy.ts';
import { computeReached, failed, firstFailure, isAtLeast, passed } from './proof-ladder.ts';
import { holdLease } from './proof-lease.ts';
import { wantedInstantMs } from './proof-reach.ts';
import { makeScratch, removeAbandoned, type Scratch } from './proof-scratch.ts';
import type { ProofTarget } from './proof-targets.ts';
import type { CatalogueEntry, PhaseTimes, ProofRecord } from './records.ts';

export interface SabotageMark {
  /** The kind of damage: the same for each time that it is tried. */
  readonly name: string;
  /** What was struck this time, once it is known. */
  detail(): string;
  /** Whether anything was: a proof over damage that nobody came across shows nothing. */
  struck(): boolean;
  readonly copy?: CopyDamage;
  /** Read instead of what the repository has. */
  readonly reader?: BackupReader;
}

export interface ProofRequest {
  readonly repository: BackupRepository;
  readonly component: string;
  readonly backups: Pick<AnyDriverBackups, 'openRestorer'>;
  /** The component's options, as its driver parsed them. */
  readonly options: unknown;
  readonly entry: Pick<CatalogueEntry, 'backup'>;
  readonly level: ProofLevel;
  readonly target: ProofTarget;
  readonly userChecks?: readonly UserCheck[];
  readonly host: Host;
  /** On this machine, with room for the restored data. */
  readonly scratchDirectory: string;
  readonly by: string;
  readonly signal: AbortSignal;
  /** Longer is flagged, not stopped. */
  readonly budgetMs?: number;
  /** Restored and started within it: part of P5. */
  readonly rtoMs?: number;
  /** A backup of a system that holds nothing is fine. */
  readonly allowEmpty?: boolean;
  onProgress(message: string): void;
  /** A negative control: the record says so and never counts. */
  readonly sabotage?: SabotageMark;
}

/** These say something of the prover's own place, and nothing of the backup. */
const inconclusiveCodes: readonly ErrorCode[] = [
  'HANDS_NO_PROGRAM',
  'INTERRUPTED',
  'KEY_MISSING',
  'STATE_FULL',
  'STORE_NOT_ALLOWED',
  'STORE_UNREACHABLE',
];

/** Where the fingerprint was taken. Most systems take it at the backup's own instant, and know no other. */
function fingerprintTarget({ fingerprint, position }: BackupFacts): RecoveryTarget {
  const at = fingerprint?.position;
  return at === undefined || at.offset === position?.offset ? { kind: 'consistent' } : { kind: 'position', text: at.text };
}

class Proving {
  readonly request: ProofRequest;
  readonly proofId: string;
  readonly checks: CheckResult[] = [];
  times: { verifyMs?: number; fetchMs: number; startMs: number; checkMs: number } = { fetchMs: 0, startMs: 0, checkMs: 0 };
  reachedDetail = '';
  canary: ProofRecord['canary'];
  inconclusive: string | undefined;
  readonly leftBehind: string[] = [];

  constructor(request: ProofRequest) {
    this.request = request;
    const { clock, random } = request.host;
    this.proofId = makeId('proof', clock.nowMs(), () => random.next());
  }

  note(error: HoldfastError): void {
    if (this.request.signal.aborted) this.inconclusive = `stopped: ${error.message}`;
    else if (inconclusiveCodes.includes(error.code)) this.inconclusive = error.message;
  }

  /** What came from nowhere that has a check of its own. */
  fail(thrown: unknown): void {
    const error = asHoldfastError(thrown, this.request.entry.backup.backupId);
    this.note(error);
    this.checks.push(failed('the proof could be made', 'P2', error.message));
  }

  /** P1. False: the rest would only say the same again. */
  async verify(signal: AbortSignal): Promise<boolean> {
    const { repository, component, entry, host, onProgress } = this.request;
    const beganMs = host.clock.monotonicMs();
    const name = 'every piece is there, with the right digest';
    try {
      const problems = await repository.verifyPieces(component, entry.backup.backupId, signal, (done, of) =>
        onProgress(`reading pieces: ${of === 0 ? 100 : Math.floor((done * 100) / of)} %`),
      );
      this.checks.push(
        problems.length === 0 ? passed(name, 'P1', `${entry.backup.pieces} pieces`) : failed(name, 'P1', problems.slice(0, 5).join('; ')),
      );
      return problems.length === 0;
    } catch (thrown) {
      const error = asHoldfastError(thrown, entry.backup.backupId);
      this.note(error);
      this.checks.push(failed(name, 'P1', error.message));
      return false;
    } finally {
      this.times = { ...this.times, verifyMs: Math.round(host.clock.monotonicMs() - beganMs) };
    }
  }

  /**
   * Content is compared where the fingerprint was taken; the target is often another point. Then two copies are restored, one after the other.
   */
  planCopies(reader: BackupReader): { readonly recoverTo: RecoveryTarget; readonly compare: boolean; readonly target?: ProofTarget }[] {
    const { level, target } = this.request;
    if (!isAtLeast(level, 'P4')) return [{ recoverTo: target.target, compare: false, target }];
    const { fingerprint } = reader.facts;
    if (!fingerprint) {
      this.checks.push(failed('its content equals its fingerprint', 'P4', 'the backup has no fingerprint, so this can not be decided'));
      return [{ recoverTo: target.target, compare: false, target }];
    }
    const at = fingerprintTarget(reader.facts);
    // Without a log there is one point only, and it is both.
    if (!reader.archive || target.target.kind === 'consistent') return [{ recoverTo: at, compare: true, target }];
    return [
      { recoverTo: at, compare: true },
      { recoverTo: target.target, compare: false, target },
    ];
  }

  async proveCopies(scratch: Scratch, signal: AbortSignal): Promise<void> {
    const { repository, component, entry, backups, options, host, level, rtoMs, onProgress, sabotage } = this.request;
    const reader = sabotage?.reader ?? (await repository.openBackup(component, entry.backup.backupId));
    const context = { signal, log: host.log, progress: onProgress, host, component, options };
    for (const [index, copy] of this.planCopies(reader).entries()) {
      const restorer = backups.openRestorer({ ...context, workDirectory: await scratch.makeDirectory(`work-${index}`) });
      const into = await scratch.makeDirectory(`copy-${index}`);
      const outcome = await proveCopy({
        restorer,
        reader,
        ...copy,
        into,
        level,
        userChecks: this.request.userChecks ?? [],
        allowEmpty: this.request.allowEmpty === true,
        host,
        signal,
        onProgress,
        ...(rtoMs === undefined ? {} : { rtoMs }),
        ...(sabotage?.copy ? { damage: sabotage.copy } : {}),
      });
      this.take(outcome, reader, copy.target);
      if (outcome.error) return;
    }
  }

  take(outcome: CopyOutcome, reader: BackupReader, target: ProofTarget | undefined): void {
    this.checks.push(...outcome.checks);
    const { fetchMs, startMs, checkMs } = this.times;
    this.times = {
      ...this.times,
      // The slower of two copies: what a restore takes is what it takes at worst.
      fetchMs: Math.max(fetchMs, Math.round(outcome.fetchMs)),
      startMs: Math.max(startMs, Math.round(outcome.startMs)),
      checkMs: checkMs + Math.round(outcome.checkMs),
    };
    if (outcome.reachedDetail !== '') this.reachedDetail = outcome.reachedDetail;
    if (outcome.error) this.note(outcome.error);
    if (outcome.notStopped !== undefined) this.leftBehind.push(outcome.notStopped);
    if (!outcome.canary || !target) return;
    const gapMs = Math.max(0, wantedInstantMs({ facts: reader.facts, target }) - outcome.canary.atMs);
    this.canary = { number: outcome.canary.number, gapMs };
  }

  /** A level without any check of its own would count as not reached without a word. */
  fillSilentLevels(): void {
    if (!isAtLeast(this.request.level, 'P3') || computeReached(this.checks) !== 'P2') return;
    if (!this.checks.some(({ level }) => level === 'P3'))
      this.checks.push(failed("the engine's own checks", 'P3', 'the driver has none, so this can not be decided'));
  }

  record(tookMs: number): ProofRecord {
    const { request, times, canary, leftBehind } = this;
    this.fillSilentLevels();
    if (request.sabotage?.struck() === false)
      this.inconclusive ??= `the damage was not done: ${firstFailure(this.checks)?.detail ?? 'nobody came across it'}`;
    const reached = computeReached(this.checks);
    const phases: PhaseTimes = times;
    return {
      proofId: this.proofId,
      component: request.component,
      backupId: request.entry.backup.backupId,
      atMs: request.host.clock.nowMs(),
      wanted: request.level,
      reached,
      ok: isAtLeast(reached, request.level) && this.inconclusive === undefined,
      target: request.sabotage ? `${request.target.text}; damaged: ${request.sabotage.detail()}` : request.target.text,
      ...(request.target.drawn === undefined ? {} : { drawn: request.target.drawn }),
      checks: this.checks,
      phases,
      reachedDetail: this.reachedDetail,
      ...(canary ? { canary } : {}),
      ...(this.inconclusive === undefined ? {} : { inconclusive: this.inconclusive }),
      tookMs: Math.round(tookMs),
      ...(request.budgetMs === undefined ? {} : { budgetMs: request.budgetMs }),
      ...(leftBehind.length === 0 ? {} : { leftBehind: leftBehind.join('; ') }),
      ...(request.sabotage ? { sabotage: request.sabotage.name } : {}),
      by: request.by,
    };
  }
}

/** A lease that was taken after the tombstone may be too late. Whoever removes looks for leases after the tombstone, so one of the two sees the other. */
async function refuseTombstone({ repository, component, entry }: ProofRequest): Promise<void> {
  const { backupId } = entry.backup;
  const found = (await repository.readCatalogue(component)).entries.find(({ backup }) => backup.backupId === backupId);
  if (!found) throw fail('NOT_FOUND', { message: `there is no backup ${backupId} of ${component}`, subject: component });
  if (found.tombstone) throw fail('NOT_FOUND', { message: `${backupId} has a tombstone: it counts as removed`, subject: component });
}

/** P1 alone needs no place to restore to. */
async function proveLevels(proving: Proving, signal: AbortSignal): Promise<void> {
  const { host, scratchDirectory, level, onProgress } = proving.request;
  if (!(await proving.verify(signal)) || level === 'P1') return;
  await removeAbandoned(host, scratchDirectory);
  const scratch = await makeScratch(host, scratchDirectory, proving.proofId);
  try {
    await proving.proveCopies(scratch, signal);
  } catch (thrown) {
    proving.fail(thrown);
  }
  onProgress('cleaning up');
  const left = await scratch.remove();
  if (left !== undefined) proving.leftBehind.push(left);
}

export async function proveBackup(request: ProofRequest): Promise<ProofRecord> {
  const { repository, component, entry, host, by, signal } = request;
  const { backupId } = entry.backup;
  const proving = new Proving(request);
  const beganMs = host.clock.monotonicMs();
  const lease = await holdLease({ repository, component, backupId, holder: by, what: 'a proof', host, signal });
  try {
    await refuseTombstone(request);
    try {
      await proveLevels(proving, lease.signal);
    } catch (thrown) {
      proving.fail(thrown);
    }
    const record = proving.record(host.clock.monotonicMs() - beganMs);
    await repository.writeProof(record);
    return record;
  } finally {
    await lease.release();
  }
}
