/**
 * Restores a snapshot into a directory, and runs it walled off.
 *
 * Invariant: nothing that exists is written over. The append-only file stays off: a server with it on would ignore the snapshot and start with what the append-only file has, or empty.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { Json } from '../../base/json.ts';
import { compareVersions } from '../../base/versions.ts';
import type {
  BackupReader,
  CheckResult,
  RecoveryTarget,
  RestoredCopy,
  RestorePreview,
  Restorer,
  RestorerContext,
  RunningCopy,
} from '../../contracts/backup.ts';
import { makeRestoreTarget, writePartToFile } from '../../contracts/restore-files.ts';
import { snapshotPart } from './backup-source.ts';
import { parseCanaryRow } from './canary.ts';
import { compareFingerprints, readFingerprint } from './fingerprint.ts';
import { keysOf } from './keys.ts';
import type { RedisOptions } from './options.ts';
import type { RedisPort, Reply } from './port.ts';
import { programsOf, readProgramVersion, type ScratchRedis, startScratchRedis } from './scratch-redis.ts';

const checkMaxMs = 6 * 3_600_000;

type Context = RestorerContext<RedisOptions>;

export function openRestorer(context: Context, port: RedisPort): Restorer {
  return {
    preview: (backup, target) => preview(context, backup, target),
    restore: async (backup, target, into) => {
      refuseOtherInstant(backup, target);
      await makeRestoreTarget(context.host, into);
      context.progress(`writing ${backup.parts.find(({ name }) => name === snapshotPart)?.bytes ?? 0} bytes to ${into}`);
      await writePartToFile(context.host, backup, snapshotPart, `${into}/${snapshotPart}`, context.signal);
      return restoredCopy(context, port, backup, into);
    },
  };
}

const isOwnInstant = (target: RecoveryTarget): boolean => target.kind === 'newest' || target.kind === 'consistent';

function refuseOtherInstant(backup: BackupReader, target: RecoveryTarget): void {
  if (!isOwnInstant(target))
    throw fail('RESTORE_TARGET_UNREACHABLE', {
      message: `a snapshot of Redis comes back to its own instant only, ${formatInstant(backup.facts.consistentAtMs)}`,
      hint: 'Take the newest backup before the instant that is wanted: holdfast backups lists them.',
    });
}

async function preview(context: Context, backup: BackupReader, target: RecoveryTarget): Promise<RestorePreview> {
  const { facts } = backup;
  const problems: { message: string; hint: string }[] = [];
  const programs = programsOf(facts.engine);
  for (const program of [programs.server, programs.checkSnapshot]) {
    const version = await readProgramVersion(context.host, program, context.signal);
    if (version === undefined)
      problems.push({ message: `${program} is not installed on this machine`, hint: 'Install the package that has it.' });
    else if (program === programs.server && compareVersions(version.split('.').slice(0, 2).join('.'), facts.engineVersion) < 0)
      problems.push({
        message: `${program} here is ${version}; the snapshot was written by ${facts.engineVersion}, and an older server can not read it`,
        hint: `Install ${facts.engineVersion} or newer.`,
      });
  }
  if (!isOwnInstant(target))
    problems.push({
      message: `a snapshot of Redis comes back to its own instant only, ${formatInstant(facts.consistentAtMs)}`,
      hint: 'Take the newest backup before the instant that is wanted.',
    });
  return {
    target: `the snapshot of ${formatInstant(facts.consistentAtMs)}`,
    newestMs: facts.consistentAtMs,
    bytes: backup.parts.reduce((sum, { bytes }) => sum + bytes, 0),
    problems,
  };
}

function restoredCopy(context: Context, port: RedisPort, backup: BackupReader, directory: string): RestoredCopy {
  const programs = programsOf(backup.facts.engine);
  return {
    directory,
    checkStopped: async () => [await checkSnapshot(context, programs.checkSnapshot, `${directory}/${snapshotPart}`)],
    start: async () => {
      const databases = Number(backup.facts.more?.databases ?? 16);
      const loadedFromMs = context.host.clock.nowMs();
      const place = { directory, workDirectory: context.workDirectory, program: programs.server, databases };
      const scratch = await startScratchRedis(context.host, port, place, context.signal);
      return runningCopy(context, backup, scratch, programs.client, loadedFromMs);
    },
    startHint: `${programs.server} --dir ${directory} --dbfilename ${snapshotPart} --appendonly no; once it has read its data, switch the append-only file on with CONFIG SET appendonly yes`,
  };
}

async function checkSnapshot(context: Context, program: string, file: string): Promise<CheckResult> {
  const { exitCode, stdout } = await context.host.processes.run({ program, args: [file], timeoutMs: checkMaxMs, signal: context.signal });
  const words = stdout.trim().split('\n');
  return {
    name: program,
    level: 'P3',
    ok: exitCode === 0,
    detail:
      exitCode === 0
        ? (words.find((line) => /keys read/.test(line)) ?? 'the snapshot is whole').replace(/^\[info\]\s*/, '')
        : words.slice(-4).join(' · '),
  };
}

function runningCopy(context: Context, backup: BackupReader, scratch: ScratchRedis, client: string, loadedFromMs: number): RunningCopy {
  const { facts } = backup;
  return {
    reached: {
      ...(facts.position === undefined ? {} : { position: facts.position }),
      atMs: facts.consistentAtMs,
      detail: `came to the snapshot of ${formatInstant(facts.consistentAtMs)}`,
    },
    check: async () => [],
    compare: async (expected, key) => {
      const takenAtMs = typeof expected.spansFromMs === 'number' ? expected.spansFromMs : facts.consistentAtMs;
      const seen = await readFingerprint(scratch.connection, key, takenAtMs, context.signal);
      return compareFingerprints(expected, seen, { fromMs: loadedFromMs, toMs: context.host.clock.nowMs() });
    },
    readCanary: async () => {
      const [, reply] = await scratch.connection.send(
        [
          ['SELECT', '0'],
          ['GET', keysOf(context.component).canary],
        ],
        { timeoutMs: 10_000, signal: context.signal },
      );
      if (reply instanceof HoldfastError) throw reply;
      return typeof reply === 'string' ? parseCanaryRow(reply) : undefined;
    },
    ask: async (question) => firstValue(await scratch.command(...splitWords(question))),
    address: `${client} -s ${scratch.socketPath}`,
    stop: () => scratch.stop(),
  };
}

function firstValue(reply: Reply): Json {
  if (Array.isArray(reply)) return reply.length === 0 ? null : firstValue(reply[0] as Reply);
  return reply instanceof Uint8Array ? Buffer.from(reply).toString('utf8') : (reply as Json);
}

/** As redis-cli splits: by blanks, with quotes around what has blanks in it. */
export function splitWords(question: string): readonly string[] {
  const words = [...question.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, plain]) => double?.replace(/\\(.)/g, '$1') ?? single ?? (plain as string),
  );
  if (words.length === 0)
    throw fail('USAGE', { message: 'the question is empty', hint: 'Ask with a command, for instance: GET orders:count' });
  return words;
}
