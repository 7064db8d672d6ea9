/**
 * When the last transaction in an archive ended: read from its newest segments by pg_waldump, for no name or time of a file says it. That instant is the last one that a recovery by
 * time can be asked for.
 */

import { fail } from '../../../base/errors.ts';
import { parseUtcTimestampMs } from '../../../base/instants.ts';
import type { ArchiveReader } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import { giveToOwner, type Programs, runProgram } from './programs.ts';

export interface LastTransaction {
  readonly atMs: number;
}

/** An idle server's segments hold no transaction at all: so many are looked through, newest first. */
const segmentsMost = 48;
const dumpTimeoutMs = 60_000;
const outputMaxBytes = 64 * 1024 * 1024;
/** How it says that there is no further record: the file is over, or the rest of it is empty. */
const endOfLog = /error in WAL record at|could not find a valid record after|could not find file/;
const ended = /desc: (?:COMMIT|ABORT)(?:_PREPARED)?[^;\n]*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}) UTC/g;

export async function readNewestCommit(
  host: Host,
  programs: Programs,
  archive: ArchiveReader,
  segments: readonly string[],
  segmentBytes: number,
  directory: string,
  signal: AbortSignal,
): Promise<LastTransaction | undefined> {
  const looking = `${directory}/newest`;
  await host.files.makeDirectory(looking, { mode: 0o755 });
  try {
    for (const name of segments.slice(-segmentsMost).reverse()) {
      const found = await archive.fetch(name);
      if (!found || found.bytes.length === 0) continue;
      const whole = new Uint8Array(segmentBytes);
      whole.set(found.bytes.subarray(0, segmentBytes));
      await host.files.writeAtomically(`${looking}/${name}`, whole, { mode: 0o644 });
      await giveToOwner(host, programs, looking);
      // It ends with an error where the log ends: what it has read before is what counts.
      const { stdout, stderr, exitCode } = await runProgram(host, programs, 'pg_waldump', ['--rmgr=Transaction', `${looking}/${name}`], {
        timeoutMs: dumpTimeoutMs,
        maxOutputBytes: outputMaxBytes,
        signal,
      });
      await host.files.remove(`${looking}/${name}`);
      if (exitCode !== 0 && !endOfLog.test(stderr))
        throw fail('BACKUP_TOOL_FAILED', { message: `pg_waldump can not read ${name}: ${stderr.trim().slice(-500)}`, subject: name });
      const last = [...stdout.matchAll(ended)].at(-1)?.[1];
      if (last !== undefined) return { atMs: parseUtcTimestampMs(last) };
    }
    return undefined;
  } finally {
    await host.files.remove(looking);
  }
}
