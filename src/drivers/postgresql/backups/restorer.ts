/**
 * Restores a backup of PostgreSQL on this machine: with nothing but the repository and the programs of the same major version.
 *
 * Invariant: everything that would make the recovery end elsewhere than asked is found before a byte is written: another version, a hole in the log on the way, a target that the log does not
 * reach. What is found only while recovering ends in an error, never in a copy that looks right.
 */

import type { ErrorCode } from '../../../base/error-catalogue.ts';
import { fail } from '../../../base/errors.ts';
import { formatInstant } from '../../../base/instants.ts';
import type {
  ArchiveReader,
  BackupReader,
  LossRecord,
  RecoveryTarget,
  RestoredCopy,
  RestorePreview,
  Restorer,
  RestorerContext,
} from '../../../contracts/backup.ts';
import { formatLsn, parseLsn } from '../lsn.ts';
import type { ComponentOptions } from '../options.ts';
import { type BackupDetails, backupDetails } from './backup-details.ts';
import { combineChain, readChain } from './combine-chain.ts';
import { isDump } from './dump-details.ts';
import { findLosses } from './find-losses.ts';
import { readNewestCommit } from './newest-commit.ts';
import { ownWalOf } from './own-wal.ts';
import { assertReachable, giveToOwner, openPrograms, type Programs } from './programs.ts';
import { describeTarget } from './recovery-target.ts';
import { findRecoveryWay, type RecoveryWay } from './recovery-way.ts';
import { previewDump, restoreDump } from './restore-dump.ts';
import { PostgresqlRestoredCopy } from './restored-copy.ts';
import { refuseUnlessEmpty, unpackBackup } from './unpack-backup.ts';
import { parseSegmentName, segmentStart } from './wal-names.ts';

interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

interface Prepared {
  readonly details: BackupDetails;
  readonly archive: ArchiveReader;
  readonly way: RecoveryWay;
  readonly programs: Programs | undefined;
  readonly newestMs: number | undefined;
  readonly problems: readonly Problem[];
  /** The full backup first; one alone where it builds on nothing. */
  readonly chain: readonly BackupReader[];
}

/** A path of a socket may have 107 bytes, its name among them. */
const runDirectoryMost = 80;

export class PostgresqlRestorer implements Restorer {
  readonly #context: RestorerContext<ComponentOptions>;
  /** Of the last preview: a restore that follows it at once does what was shown. */
  #previewed: { readonly backup: BackupReader; readonly target: RecoveryTarget; readonly prepared: Prepared } | undefined;

  constructor(context: RestorerContext<ComponentOptions>) {
    this.#context = context;
  }

  get #runDirectory(): string {
    return `${this.#context.workDirectory}/postgresql`;
  }

  async preview(backup: BackupReader, target: RecoveryTarget): Promise<RestorePreview> {
    if (isDump(backup)) return previewDump(this.#context, backup, target);
    const prepared = await this.#prepare(backup, target);
    this.#previewed = { backup, target, prepared };
    const { way, newestMs, problems } = prepared;
    return {
      target: describeTarget(target, way.timeline),
      ...(newestMs === undefined ? {} : { newestMs }),
      bytes: backup.facts.dataBytes,
      problems: problems.map(({ message, hint }) => ({ message, hint })),
    };
  }

  async restore(backup: BackupReader, target: RecoveryTarget, into: string): Promise<RestoredCopy> {
    const { host } = this.#context;
    await refuseUnlessEmpty(host, into);
    if (isDump(backup)) return restoreDump({ context: this.#context, runDirectory: this.#runDirectory }, backup, target, into);
    const { details, archive, way, programs, problems, chain } =
      this.#takePreviewed(backup, target) ?? (await this.#prepare(backup, target));
    const [problem] = problems;
    if (problem) throw fail(problem.code, { message: problem.message, hint: problem.hint, subject: backup.backupId });
    if (!programs) throw fail('HANDS_NO_PROGRAM', { message: `PostgreSQL ${details.major} is not installed` });
    await assertReachable(host, programs, into);
    const reading = chain.map((each) => interruptible(each, this.#context.signal));
    if (chain.length > 1)
      await combineChain(reading, { context: this.#context, details, programs, into, directory: `${this.#runDirectory}/chain` });
    else
      await unpackBackup(host, interruptible(backup, this.#context.signal), details, programs, into, (message) =>
        this.#context.progress(message),
      );
    return new PostgresqlRestoredCopy({
      context: this.#context,
      backup,
      archive,
      details,
      programs,
      target,
      way,
      directory: into,
      runDirectory: this.#runDirectory,
    });
  }

  async *findLosses(backup: BackupReader): AsyncIterable<LossRecord> {
    const { host, options, signal, workDirectory: directory } = this.#context;
    const programs = await openPrograms(host, backupDetails(backup).major, options['restore-bin-directory']);
    yield* findLosses({ host, programs, backup, directory, signal });
  }

  #takePreviewed(backup: BackupReader, target: RecoveryTarget): Prepared | undefined {
    const previewed = this.#previewed;
    this.#previewed = undefined;
    return previewed?.backup === backup && previewed.target === target ? previewed.prepared : undefined;
  }

  async #prepare(backup: BackupReader, target: RecoveryTarget): Promise<Prepared> {
    const details = backupDetails(backup);
    const problems: Problem[] = [];
    const programs = await this.#findPrograms(details, problems);
    const chain = await this.#findChain(backup, programs, problems);
    await this.#makeRunDirectory(programs);
    const archive = joined(ownWalOf(backup), backup.archive);
    const way = await findRecoveryWay({ ...details, archive, through: this.#through(backup, details, target) });
    // Both look at the last segment: it is fetched once.
    const looked = rememberingLast(archive);
    const newestMs = programs && (await this.#newest(programs, looked, way, details));
    const end = await endOf(looked, way, details);
    if (end < details.stopLsn)
      problems.push(cutOff(way, `the log that the backup needs (up to ${formatLsn(details.stopLsn)}) is not all there`));
    else problems.push(...judgeTarget(target, way, details, end, newestMs));
    return { details, archive, way, programs, newestMs, problems, chain };
  }

  #through(backup: BackupReader, details: BackupDetails, target: RecoveryTarget): { timeline: number; lsn: bigint }[] {
    const fingerprint = backup.facts.fingerprint?.position;
    const places = [{ timeline: details.timeline, lsn: details.stopLsn }];
    if (target.kind === 'position' && fingerprint?.text === target.text)
      places.push({ timeline: fingerprint.timeline, lsn: BigInt(fingerprint.offset) });
    return places;
  }

  async #findPrograms(details: BackupDetails, problems: Problem[]): Promise<Programs | undefined> {
    try {
      return await openPrograms(this.#context.host, details.major, this.#context.options['restore-bin-directory']);
    } catch (error) {
      const { code, message, hint } = error as Problem;
      if (code !== 'HANDS_NO_PROGRAM' && code !== 'HANDS_WRONG_USER') throw error;
      problems.push({ code, message, hint });
      return undefined;
    }
  }

  async #findChain(backup: BackupReader, programs: Programs | undefined, problems: Problem[]): Promise<readonly BackupReader[]> {
    try {
      const chain = await readChain(backup);
      if (chain.length > 1 && programs && !(await this.#context.host.files.exists(`${programs.directory}/pg_combinebackup`)))
        problems.push({
          code: 'HANDS_NO_PROGRAM',
          message: `${backup.backupId} builds on ${chain[0]?.backupId}, and pg_combinebackup is not in ${programs.directory}`,
          hint: `Install all of the programs of PostgreSQL ${programs.major}, or restore a full backup: holdfast backups lists them.`,
        });
      return chain;
    } catch (error) {
      const { code, message, hint } = error as Problem;
      if (code !== 'BACKUP_DAMAGED') throw error;
      problems.push({ code, message, hint });
      return [backup];
    }
  }

  async #makeRunDirectory(programs: Programs | undefined): Promise<void> {
    if (this.#runDirectory.length > runDirectoryMost)
      throw fail('USAGE', { message: `${this.#runDirectory} is too long for the path of a socket: take a shorter work directory` });
    await this.#context.host.files.makeDirectory(this.#runDirectory, { mode: 0o700 });
    if (!programs) return;
    await assertReachable(this.#context.host, programs, this.#runDirectory);
    await giveToOwner(this.#context.host, programs, this.#runDirectory);
  }

  async #newest(programs: Programs, archive: ArchiveReader, way: RecoveryWay, details: BackupDetails): Promise<number> {
    const { host, signal } = this.#context;
    const found = await readNewestCommit(host, programs, archive, way.segments, details.segmentBytes, this.#runDirectory, signal);
    return Math.max(found?.atMs ?? 0, details.consistentByMs);
  }
}

/** Whoever goes on with an interrupted restore clears what lies there: by then nobody may write into it any more. */
function interruptible(backup: BackupReader, signal: AbortSignal): BackupReader {
  return {
    ...backup,
    async *readPart(name) {
      for await (const piece of backup.readPart(name)) {
        signal.throwIfAborted();
        yield piece;
      }
    },
  };
}

const emptyArchive: ArchiveReader = { async *list() {}, fetch: async () => undefined, gaps: async () => [] };

/** A backup that carries its own log, and goes on in an archive that was begun since. */
function joined(own: ArchiveReader | undefined, archive: ArchiveReader | undefined): ArchiveReader {
  if (!own || !archive) return own ?? archive ?? emptyArchive;
  return {
    async *list(from) {
      const names = new Set<string>();
      for (const each of [own, archive]) for await (const name of each.list(from)) names.add(name);
      yield* [...names].sort();
    },
    fetch: async (name) => {
      const found = await own.fetch(name);
      return found?.whole === true ? found : ((await archive.fetch(name)) ?? found);
    },
    gaps: () => archive.gaps(),
  };
}

/** What was fetched last is not fetched again. */
function rememberingLast(archive: ArchiveReader): ArchiveReader {
  let last: { readonly name: string; readonly found: ReturnType<ArchiveReader['fetch']> } | undefined;
  return {
    list: (from) => archive.list(from),
    fetch: (name) => {
      if (last?.name !== name) last = { name, found: archive.fetch(name) };
      return last.found;
    },
    gaps: () => archive.gaps(),
  };
}

/** Where the log that can be read ends. */
async function endOf(archive: ArchiveReader, way: RecoveryWay, details: BackupDetails): Promise<bigint> {
  const last = way.segments.at(-1);
  if (last === undefined) return 0n;
  const found = await archive.fetch(last);
  return segmentStart(parseSegmentName(last, details.segmentBytes).number, details.segmentBytes) + BigInt(found?.bytes.length ?? 0);
}

function cutOff({ hole, segments }: RecoveryWay, what: string): Problem {
  const why =
    hole === undefined
      ? `the archive ends with ${segments.at(-1) ?? 'nothing'}`
      : `it has a hole from ${hole.from} to ${hole.to}: ${hole.why}`;
  return {
    code: 'ARCHIVE_GAP',
    message: `${what}: ${why}`,
    hint: 'Restore to a point before the hole, or from a backup that was taken after it.',
  };
}

function judgeTarget(
  target: RecoveryTarget,
  way: RecoveryWay,
  details: BackupDetails,
  end: bigint,
  newestMs: number | undefined,
): readonly Problem[] {
  const unreachable = (message: string, hint: string): Problem => ({ code: 'RESTORE_TARGET_UNREACHABLE', message, hint });
  const before = 'Take an older backup, or a later point.';
  const behind = newestMs === undefined ? 'Take an earlier point.' : `The last instant that can be reached is ${formatInstant(newestMs)}.`;
  switch (target.kind) {
    case 'consistent':
      return [];
    case 'newest':
      return way.hole === undefined ? [] : [cutOff(way, 'the newest point lies behind a hole in the log')];
    case 'time':
      if (target.atMs < details.consistentByMs)
        return [
          unreachable(
            `${formatInstant(target.atMs)} is before this backup became consistent, at ${formatInstant(details.consistentByMs)}`,
            before,
          ),
        ];
      if (newestMs === undefined || target.atMs < newestMs) return [];
      if (way.hole) return [cutOff(way, `${formatInstant(target.atMs)} lies behind a hole in the log`)];
      return [
        unreachable(`the archive has no transaction after ${formatInstant(target.atMs)}: it can not be told whether that is all`, behind),
      ];
    case 'position': {
      const lsn = parseLsn(target.text);
      if (lsn < details.stopLsn)
        return [unreachable(`${target.text} is before the end of this backup, ${formatLsn(details.stopLsn)}`, before)];
      if (lsn <= end) return [];
      if (way.hole) return [cutOff(way, `${target.text} lies behind a hole in the log`)];
      return [unreachable(`the archive ends at ${formatLsn(end)}, before ${target.text}`, behind)];
    }
    default:
      // Only the recovery itself can tell; it never crosses a hole, and fails where it does not come to the target.
      return [];
  }
}
