/**
 * One restored copy: brought into an empty directory, started walled off, asked, stopped. Every phase is a check of its own, so that a failure says which level it belongs to.
 *
 * Invariant: whatever happens, the copy is stopped when this resolves. A process that dies leaves a copy that its driver lets die with it, and a directory that the next proof removes.
 */
import type { ErrorCode } from '../base/error-catalogue.ts';
import { asHoldfastError, type HoldfastError } from '../base/errors.ts';
import type { BackupReader, CheckResult, ProofLevel, RecoveryTarget, RestoredCopy, Restorer, RunningCopy } from '../contracts/backup.ts';
import type { CanaryRow } from '../contracts/canary.ts';
import type { Host } from '../host/host.ts';
import { type Expectation, judgeAnswer } from './proof-expectation.ts';
import { failed, isAtLeast, passed } from './proof-ladder.ts';
import { judgeReach } from './proof-reach.ts';
import type { ProofTarget } from './proof-targets.ts';

/** A question in the system's own words, and what its answer has to be. */
export interface UserCheck {
  readonly name?: string;
  readonly ask: string;
  readonly expect: Expectation;
}

/** What is done to a copy on purpose, to see that the checks notice. */
export interface CopyDamage {
  afterRestore?(copy: RestoredCopy): Promise<void>;
  afterStart?(copy: RunningCopy): Promise<void>;
}

export interface CopyRequest {
  readonly restorer: Restorer;
  readonly reader: BackupReader;
  readonly recoverTo: RecoveryTarget;
  readonly into: string;
  readonly level: ProofLevel;
  /** Compares with the fingerprint: the copy is brought to where the fingerprint was taken. */
  readonly compare: boolean;
  /** Judges the point that it came to, and asks the user's questions. */
  readonly target?: ProofTarget;
  readonly userChecks: readonly UserCheck[];
  readonly allowEmpty: boolean;
  readonly rtoMs?: number;
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly damage?: CopyDamage;
  onProgress(message: string): void;
}

export interface CopyOutcome {
  readonly checks: readonly CheckResult[];
  readonly fetchMs: number;
  readonly startMs: number;
  readonly checkMs: number;
  readonly reachedDetail: string;
  readonly canary?: CanaryRow;
  /** Set where an error ended it. */
  readonly error?: HoldfastError;
  /** It could not be stopped: that says nothing of the backup, and somebody has to know. */
  readonly notStopped?: string;
}

/** Not the level of the phase that they come up in, but that of what they say. */
const levelOfError: Partial<Record<ErrorCode, ProofLevel>> = {
  BACKUP_DAMAGED: 'P1',
  ARCHIVE_GAP: 'P5',
  RESTORE_TARGET_UNREACHABLE: 'P5',
  RECOVERY_FELL_SHORT: 'P5',
};

const phaseNames = { fetch: 'it can be restored', start: 'it starts', check: 'it can be checked' } as const;

class CopyRun {
  readonly request: CopyRequest;
  readonly checks: CheckResult[] = [];
  readonly tookMs = { fetch: 0, start: 0, check: 0 };
  reachedDetail = '';
  canary: CanaryRow | undefined;
  error: HoldfastError | undefined;
  running: RunningCopy | undefined;

  constructor(request: CopyRequest) {
    this.request = request;
  }

  /** Undefined when it failed; then the check is noted and nothing follows. */
  async phase<T>(kind: keyof typeof phaseNames, level: ProofLevel, work: () => Promise<T>): Promise<T | undefined> {
    const { clock } = this.request.host;
    const beganMs = clock.monotonicMs();
    try {
      this.request.signal.throwIfAborted();
      return await work();
    } catch (error) {
      this.error = asHoldfastError(error, this.request.reader.backupId);
      this.checks.push(failed(phaseNames[kind], levelOfError[this.error.code] ?? level, this.error.message));
      return undefined;
    } finally {
      this.tookMs[kind] += clock.monotonicMs() - beganMs;
    }
  }

  async run(): Promise<void> {
    const { restorer, reader, recoverTo, into, damage, onProgress } = this.request;
    onProgress(`restoring ${reader.backupId}`);
    const copy = await this.phase('fetch', 'P2', () => restorer.restore(reader, recoverTo, into));
    if (!copy) return;
    await damage?.afterRestore?.(copy);
    const sound = isAtLeast(this.request.level, 'P3');
    if (sound) {
      onProgress('checking it at rest');
      await this.phase('check', 'P3', async () => void this.checks.push(...(await copy.checkStopped())));
      if (this.error) return;
    }
    onProgress('starting it');
    this.running = await this.phase('start', 'P2', () => copy.start());
    if (!this.running) return;
    const { running } = this;
    this.reachedDetail = running.reached.detail;
    this.checks.push(passed(phaseNames.start, 'P2', `it runs; ${running.reached.detail}`));
    await damage?.afterStart?.(running);
    if (sound) {
      onProgress('checking it while it runs');
      await this.phase('check', 'P3', async () => void this.checks.push(...(await running.check())));
    }
    if (this.request.compare && !this.error) await this.phase('check', 'P4', () => this.compare(running));
    if (this.request.target && !this.error) await this.judge(running, this.request.target);
  }

  async compare(running: RunningCopy): Promise<void> {
    const { reader, allowEmpty, onProgress } = this.request;
    const { fingerprint } = reader.facts;
    if (!fingerprint) return;
    onProgress('comparing it with its fingerprint');
    const rows = fingerprint.entries.reduce((sum, { count }) => sum + count, 0);
    const results = await running.compare(fingerprint, reader.fingerprintKey);
    const name = 'its content equals its fingerprint';
    if (results.length === 0) this.checks.push(failed(name, 'P4', 'nothing was compared'));
    else if (rows === 0 && !allowEmpty)
      this.checks.push(failed(name, 'P4', 'the backup holds nothing at all: an empty copy that equals it shows nothing'));
    this.checks.push(...results);
  }

  async judge(running: RunningCopy, target: ProofTarget): Promise<void> {
    const { reader, level, rtoMs } = this.request;
    this.canary = await this.phase('check', 'P5', () => running.readCanary());
    if (this.error) return;
    if (isAtLeast(level, 'P4')) await this.ask(running);
    if (!isAtLeast(level, 'P5')) return;
    const elapsedMs = this.tookMs.fetch + this.tookMs.start;
    const { reached } = running;
    this.checks.push(
      ...judgeReach({ facts: reader.facts, target, reached, canary: this.canary, elapsedMs, ...(rtoMs === undefined ? {} : { rtoMs }) }),
    );
  }

  async ask(running: RunningCopy): Promise<void> {
    for (const { name, ask, expect } of this.request.userChecks) {
      const title = name ?? ask;
      await this.phase('check', 'P4', async () => {
        // A question that can't be answered is an answer that does not fit, and the next question is asked all the same.
        const judged = await running.ask(ask).then(
          (answer) => judgeAnswer(expect, answer),
          (error: unknown) => ({ ok: false, detail: asHoldfastError(error, title).message }),
        );
        this.checks.push({ name: title, level: 'P4', ...judged });
      });
    }
  }
}

export async function proveCopy(request: CopyRequest): Promise<CopyOutcome> {
  const run = new CopyRun(request);
  let notStopped: string | undefined;
  try {
    await run.run();
  } finally {
    notStopped = await stopCopy(request, run.running);
  }
  const { checks, tookMs, reachedDetail, canary, error } = run;
  return {
    checks,
    fetchMs: tookMs.fetch,
    startMs: tookMs.start,
    checkMs: tookMs.check,
    reachedDetail,
    ...(canary ? { canary } : {}),
    ...(error ? { error } : {}),
    ...(notStopped === undefined ? {} : { notStopped }),
  };
}

/** Undefined where it was; else why it was not. */
async function stopCopy({ host, into }: CopyRequest, running: RunningCopy | undefined): Promise<string | undefined> {
  try {
    await running?.stop();
    return undefined;
  } catch (error) {
    const { message } = asHoldfastError(error, into);
    host.log.error('proof.not-stopped', { directory: into, message });
    return `the copy in ${into} may still run: ${message}`;
  }
}
