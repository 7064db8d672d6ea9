/**
 * For `archive_command`: keeps one finished file of the server's log. The server tries again for as long as this fails, and keeps the file meanwhile.
 *
 * Invariant: resolves only when the file is durable in the archive of its own history. A file of another server, a file cut short and another content under the same name are
 * errors: to say ok and drop it would be a hole.
 */
import { fail } from '../../../base/errors.ts';
import type { ArchiveWriter } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import { isHistoryName, isSegmentName, parseSegmentName, readSegmentHeader, segmentStart } from './wal-names.ts';

/** `00000001000000000000000A.partial`: what a promoted standby leaves of its last segment. `….00000028.backup`: a note on a base backup. */
const otherName = /^[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)$/;
const segmentMostBytes = 1024 * 1024 * 1024;

export interface Pushed {
  readonly name: string;
  readonly identity: string | undefined;
  readonly outcome: 'kept' | 'same';
  readonly bytes: number;
}

/** `identity`: of the archive where it is known; else the segment's own, whose archive is opened. */
export async function pushSegment(
  host: Host,
  path: string,
  openArchive: (identity: string) => Promise<ArchiveWriter>,
  identity?: string,
): Promise<Pushed> {
  const name = path.split('/').at(-1) ?? '';
  const facts = await host.fileStreams.stat(path);
  if (facts?.kind !== 'file') throw fail('NOT_FOUND', { message: `there is no file ${path}`, subject: path });
  if (facts.sizeBytes > segmentMostBytes)
    throw fail('USAGE', { message: `${path} is no log segment: it has ${facts.sizeBytes} bytes`, subject: path });
  const bytes = await host.files.readBytes(path);
  const own = isHistoryName(name) || /\.backup$/.test(name) ? undefined : checkSegment(name, bytes);
  if (own !== undefined && identity !== undefined && own !== identity)
    throw fail('ARCHIVE_CONFLICT', {
      message: `${name} comes from the server ${own}; the archive is of ${identity}`,
      hint: 'Another server archives here, or this one was made anew: give it a component of its own.',
      subject: name,
    });
  const history = own ?? identity;
  if (history === undefined)
    throw fail('USAGE', { message: `${name} does not say which server it comes from: name the component's history`, subject: name });
  const outcome = await (await openArchive(history)).push(name, bytes);
  return { name, identity: history, outcome, bytes: bytes.length };
}

/** The system identifier in its header, once everything else in it fits its name. */
function checkSegment(name: string, bytes: Uint8Array): string {
  if (!isSegmentName(name) && !otherName.test(name))
    throw fail('USAGE', { message: `"${name}" is not the name of a log file`, subject: name });
  const header = readSegmentHeader(bytes, name);
  if (bytes.length !== header.segmentBytes)
    throw fail('ARCHIVE_CONFLICT', {
      message: `${name} has ${bytes.length} bytes instead of ${header.segmentBytes}`,
      hint: 'It was cut short; the server has the whole one.',
      subject: name,
    });
  const { number } = parseSegmentName(name.slice(0, 24), header.segmentBytes);
  if (header.start !== segmentStart(number, header.segmentBytes))
    throw fail('ARCHIVE_CONFLICT', { message: `${name} holds another segment than its name says`, subject: name });
  return header.systemIdentifier;
}
