/**
 * Looks through an archived log for transactions that took much away, so that somebody who has to undo one finds the instant before it. Reads only; segments lie in the work
 * directory while they are read, at most `windowSegments` of them.
 */
import { fail } from '../../../base/errors.ts';
import type { ArchiveReader, BackupReader, LossRecord } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import { parseLsn } from '../lsn.ts';
import { type LogLoss, LossFinder } from './log-losses.ts';
import { giveToOwner, type Programs } from './programs.ts';
import { isSegmentName, readSegmentHeader } from './wal-names.ts';

const windowSegments = 16;
const dumpTimeoutMs = 600_000;

export interface LossSearch {
  readonly host: Host;
  readonly programs: Programs;
  readonly backup: BackupReader;
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** In the order of their commits, from where the backup needs its log on. */
export async function* findLosses(search: LossSearch): AsyncIterable<LossRecord> {
  const { archive, facts } = search.backup;
  if (!archive || !facts.archive)
    throw fail('RESTORE_TARGET_UNREACHABLE', {
      message: 'the backup has no archived log to look through',
      hint: 'Archive the log continuously: a backup with what: wal, continuous: true.',
    });
  const looking = `${search.directory}/losses`;
  await search.host.files.makeDirectory(looking, { mode: 0o755 });
  try {
    // Records go across segments: each window begins with the last segment of the one before.
    let finder = new LossFinder();
    let seen = 0n;
    let timeline = '';
    for await (const names of windowsOf(archive, facts.archive.first)) {
      if (names[0]?.slice(0, 8) !== timeline) {
        timeline = names[0]?.slice(0, 8) ?? '';
        finder = new LossFinder();
      }
      await bring(search, archive, looking, names);
      for await (const line of dump(search, looking, names)) {
        const lsn = /, lsn: ([0-9A-F]+\/[0-9A-F]+),/.exec(line)?.[1];
        if (lsn === undefined || parseLsn(lsn) <= seen) continue;
        seen = parseLsn(lsn);
        const loss = finder.take(line);
        if (loss) yield recordOf(loss);
      }
    }
  } finally {
    await search.host.files.remove(looking);
  }
}

function recordOf(loss: LogLoss): LossRecord {
  const { transaction, atMs, position, rowsDeleted, filesDropped, truncated, tables } = loss;
  const parts = [
    ...(filesDropped > 0 ? [`dropped or emptied ${filesDropped} tables or indexes`] : []),
    ...(truncated && filesDropped === 0 ? ['truncated a table'] : []),
    ...(rowsDeleted > 0
      ? [`deleted ${rowsDeleted} rows of ${tables.length} ${tables.length === 1 ? 'table' : 'tables'} (${tables.join(', ')})`]
      : []),
  ];
  return {
    summary: parts.join(', '),
    transaction,
    atMs,
    position,
    rows: rowsDeleted,
    dropped: truncated ? Math.max(1, filesDropped) : filesDropped,
  };
}

/** Runs of segments of one timeline, each with the last one of the run before it. */
async function* windowsOf(archive: ArchiveReader, first: string): AsyncIterable<readonly string[]> {
  let names: string[] = [];
  for await (const name of archive.list(first)) {
    if (!isSegmentName(name)) continue;
    const turned = names.length > 0 && names[0]?.slice(0, 8) !== name.slice(0, 8);
    if (turned || names.length === windowSegments) {
      yield names;
      names = turned ? [] : names.slice(-1);
    }
    names.push(name);
  }
  if (names.length > 0) yield names;
}

async function bring({ host, programs }: LossSearch, archive: ArchiveReader, looking: string, names: readonly string[]): Promise<void> {
  const there = new Set(await host.files.list(looking));
  for (const name of there) if (!names.includes(name)) await host.files.remove(`${looking}/${name}`);
  for (const name of names) {
    if (there.has(name)) continue;
    const found = await archive.fetch(name);
    if (!found || found.bytes.length === 0) continue;
    const { segmentBytes } = readSegmentHeader(found.bytes, name);
    const whole = new Uint8Array(segmentBytes);
    whole.set(found.bytes.subarray(0, segmentBytes));
    await host.files.writeAtomically(`${looking}/${name}`, whole, { mode: 0o644 });
  }
  await giveToOwner(host, programs, looking);
}

async function* dump({ host, programs, signal }: LossSearch, looking: string, names: readonly string[]): AsyncIterable<string> {
  if (!host.processes.start) throw fail('HANDS_NO_PROGRAM', { message: 'this host starts no programs' });
  const managers = ['Heap', 'Heap2', 'Transaction'].map((name) => `--rmgr=${name}`);
  const words = [
    `${programs.directory}/pg_waldump`,
    `--path=${looking}`,
    ...managers,
    ...new Set([names[0] as string, names.at(-1) as string]),
  ];
  const process = await host.processes.start({
    program: 'setpriv',
    args: [...programs.prefix.slice(1), ...words],
    cwd: '/',
    timeoutMs: dumpTimeoutMs,
    signal,
  });
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of process.stdout) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
  const { exitCode, stderr } = await process.ended;
  // It ends with an error where the log ends, which is how this log ends too.
  if (exitCode !== 0 && !/could not find a valid record|error in WAL record|could not read WAL|invalid (record|magic)/.test(stderr))
    throw fail('BACKUP_TOOL_FAILED', { message: `pg_waldump: ${stderr.trim().slice(-400)}` });
}
