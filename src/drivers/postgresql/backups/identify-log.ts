/**
 * Whose log a file of `pg_wal` is: the system identifier of the server that wrote it. Every segment carries it in its first page; history files and labels do not, so the server's own
 * control file beside `pg_wal` is read as well, and must say the same. Reads a few bytes of each.
 */
import { basename, dirname, join } from 'node:path';
import { fail, HoldfastError } from '../../../base/errors.ts';
import type { Host } from '../../../host/host.ts';

const segmentName = /^[0-9A-F]{24}(\.partial)?$/;
/** XLogLongPageHeaderData: 24 bytes of the short header, then the system identifier. */
const identifierOffset = 24;
/** xlp_info: the page has a long header. */
const longHeaderFlag = 0x0002;

export async function identifyLog(host: Pick<Host, 'files' | 'fileStreams'>, path: string): Promise<string> {
  const ofServer = await readControlFile(host, join(dirname(dirname(path)), 'global', 'pg_control'));
  if (!segmentName.test(basename(path))) {
    if (ofServer !== undefined) return ofServer;
    throw fail('NOT_FOUND', {
      subject: path,
      message: `${basename(path)} does not say which server it is of, and there is no control file beside its directory`,
      hint: "Push it from the server's own data directory: archive_command gives %p, relative to it.",
    });
  }
  const ofSegment = await readSegment(host, path);
  if (ofServer !== undefined && ofServer !== ofSegment)
    throw fail('SYSTEM_WRONG_IDENTITY', {
      subject: path,
      message: `${basename(path)} was written by server ${ofSegment}, and lies in the directory of ${ofServer}`,
      hint: 'Find out how it came there. It is not archived.',
    });
  return ofSegment;
}

async function readSegment(host: Pick<Host, 'fileStreams'>, path: string): Promise<string> {
  const head = await readHead(host, path, identifierOffset + 8);
  if (head.length < identifierOffset + 8 || (head.readUInt16LE(2) & longHeaderFlag) === 0)
    throw fail('BACKUP_DAMAGED', {
      subject: path,
      message: `${basename(path)} does not begin as a log segment does`,
      hint: 'It is not archived.',
    });
  return head.readBigUInt64LE(identifierOffset).toString();
}

/** Undefined where there is none: the log may be pushed from another place. */
async function readControlFile(host: Pick<Host, 'fileStreams'>, path: string): Promise<string | undefined> {
  try {
    const head = await readHead(host, path, 8);
    return head.length < 8 ? undefined : head.readBigUInt64LE(0).toString();
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

async function readHead(host: Pick<Host, 'fileStreams'>, path: string, bytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of host.fileStreams.read(path, { from: 0, to: bytes })) chunks.push(chunk);
  return Buffer.concat(chunks);
}
