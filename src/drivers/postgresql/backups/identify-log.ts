/**
 * Which server a finished log file comes from, for `archive_command`: before anything is kept under a name.
 *
 * Invariant: an answer is given only where everything agrees: a segment's header with its name and its size, and with the control file of the server in whose directory it lies. A file that is
 * cut short, of another server or another segment than its name says is an error, which makes the server keep it and try again: to say ok and drop it would be a hole.
 */
import { basename, dirname, join } from 'node:path';
import { fail } from '../../../base/errors.ts';
import type { Host } from '../../../host/host.ts';
import { isHistoryName, isSegmentName, parseSegmentName, readSegmentHeader, segmentStart } from './wal-names.ts';

/** `00000001000000000000000A.partial`: what a promoted standby leaves of its last segment. `….00000028.backup`: a note on a base backup. */
const partialName = /^[0-9A-F]{24}\.partial$/;
const noteName = /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/;
const headerBytes = 40;

type LogHost = Pick<Host, 'files' | 'fileStreams'>;

export async function identifyLog(host: LogHost, path: string): Promise<string> {
  const name = basename(path);
  const facts = await host.fileStreams.stat(path);
  if (facts?.kind !== 'file') throw fail('NOT_FOUND', { message: `there is no file ${path}`, subject: path });
  const controlled = await readControlFile(host, path);
  if (isHistoryName(name) || noteName.test(name)) {
    if (controlled !== undefined) return controlled;
    throw fail('USAGE', {
      message: `${name} does not say which server it is of, and it does not lie in a server's pg_wal`,
      hint: 'Push it from where the server has it: archive_command runs in the data directory, with %p.',
      subject: path,
    });
  }
  if (!isSegmentName(name) && !partialName.test(name))
    throw fail('USAGE', { message: `"${name}" is not the name of a log file`, subject: path });
  const own = await checkSegment(host, path, name, facts.sizeBytes);
  if (controlled !== undefined && controlled !== own)
    throw fail('SYSTEM_WRONG_IDENTITY', {
      message: `${name} comes from the server ${own}, and lies in the directory of ${controlled}`,
      subject: path,
    });
  return own;
}

/** The system identifier in its header, once everything else in it fits its name. */
async function checkSegment(host: LogHost, path: string, name: string, sizeBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of host.fileStreams.read(path, { to: headerBytes })) pieces.push(piece);
  const header = readSegmentHeader(Buffer.concat(pieces), name);
  const wrong = (why: string) =>
    fail('SYSTEM_WRONG_IDENTITY', {
      message: `${name} ${why}`,
      hint: 'The file was cut short or mixed up on its way; the server has the right one.',
      subject: path,
    });
  if (sizeBytes !== header.segmentBytes) throw wrong(`has ${sizeBytes} bytes instead of ${header.segmentBytes}`);
  const { number } = parseSegmentName(name.slice(0, 24), header.segmentBytes);
  if (header.start !== segmentStart(number, header.segmentBytes)) throw wrong('holds another segment than its name says');
  return header.systemIdentifier;
}

/** The first eight bytes of `global/pg_control`, where the file lies in a server's `pg_wal`. */
async function readControlFile(host: LogHost, path: string): Promise<string | undefined> {
  // By the words of the path, not through the file system: pg_wal may be a link to another disk.
  const control = join(dirname(dirname(path)), 'global', 'pg_control');
  if (!(await host.files.exists(control))) return undefined;
  const bytes = Buffer.from(await host.files.readBytes(control));
  return bytes.length < 8 ? undefined : bytes.readBigUInt64LE(0).toString();
}
