/** What PostgreSQL's own programs say of a restored directory before anything runs in it (P3). */
import type { CheckResult } from '../../../contracts/backup.ts';
import type { CopyRequest } from './copy-request.ts';
import { giveToOwner, runProgram } from './programs.ts';
import { tablespacesDirectory } from './unpack-backup.ts';
import { parseSegmentName, segmentNumberAt } from './wal-names.ts';

const timeoutMs = 4 * 3_600_000;
/** More of the log than this is not copied only to be parsed once more: the recovery reads it anyway. */
const walSegmentsMost = 64;

export async function checkStoppedCopy(request: CopyRequest): Promise<readonly CheckResult[]> {
  return [await verifyBackup(request), await checkControlData(request)];
}

async function verifyBackup(request: CopyRequest): Promise<CheckResult> {
  const { context, programs, directory, details, runDirectory } = request;
  const { host } = context;
  const walDirectory = `${runDirectory}/verify-wal`;
  const withWal = await placeWal(request, walDirectory);
  // The places of tablespaces were changed by the restore; everything in them is checked.
  const moved = details.tablespaces.length === 0 ? [] : ['--ignore=tablespace_map', `--ignore=${tablespacesDirectory}`];
  const wal = withWal ? ['--wal-directory', walDirectory] : ['--no-parse-wal'];
  try {
    const result = await runProgram(host, programs, 'pg_verifybackup', ['--exit-on-error', ...moved, ...wal, directory], {
      timeoutMs,
      signal: context.signal,
    });
    const words = (result.exitCode === 0 ? result.stdout : `${result.stderr}${result.stdout}`).trim().slice(-1_000);
    return {
      name: 'pg_verifybackup',
      level: 'P3',
      ok: result.exitCode === 0,
      detail: withWal ? words : `${words} (its log was not parsed: more than ${walSegmentsMost} segments)`,
    };
  } finally {
    await host.files.remove(walDirectory);
  }
}

async function placeWal({ context, way, archive, details, programs }: CopyRequest, into: string): Promise<boolean> {
  const last = segmentNumberAt(details.stopLsn - 1n, details.segmentBytes);
  const needed = way.segments.filter((name) => parseSegmentName(name, details.segmentBytes).number <= last);
  if (needed.length > walSegmentsMost) return false;
  await context.host.files.makeDirectory(into, { mode: 0o755 });
  for (const name of needed) {
    const found = await archive.fetch(name);
    if (!found) continue;
    const whole = new Uint8Array(details.segmentBytes);
    whole.set(found.bytes.subarray(0, details.segmentBytes));
    await context.host.files.writeAtomically(`${into}/${name}`, whole, { mode: 0o644 });
  }
  await giveToOwner(context.host, programs, into);
  return true;
}

async function checkControlData({ context, programs, directory, details }: CopyRequest): Promise<CheckResult> {
  const { stdout, stderr, exitCode } = await runProgram(context.host, programs, 'pg_controldata', ['-D', directory], {
    timeoutMs: 60_000,
    signal: context.signal,
  });
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(stdout)?.[1]?.trim();
  const identifier = field('Database system identifier');
  // The program warns, and goes on, where the sum of the file is wrong.
  const sound = exitCode === 0 && !/WARNING/.test(`${stdout}${stderr}`) && identifier === details.systemIdentifier;
  return {
    name: 'pg_controldata',
    level: 'P3',
    ok: sound,
    detail: sound
      ? `system identifier ${identifier}, state "${field('Database cluster state')}"`
      : `${stderr.trim()} system identifier ${identifier}`,
  };
}
