/**
 * One base backup, streamed part by part into a sink: `base.tar.zst`, one `OID.tar.zst` for each tablespace, `backup_manifest`.
 * https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 *
 * The server compresses where it can: it has the bytes in hand anyway, in processes of its own, and everything after it moves less. Where it can not, the parts are plain tar files
 * and the repository compresses them.
 *
 * Invariant: resolves only after the server has said that the backup is complete and where it ended. When the process dies, the server ends the backup by itself.
 */
import { fail } from '../../../base/errors.ts';
import type { BackupContext, BackupSink, PartWriter } from '../../../contracts/backup.ts';
import type { ReplicationConnection, TextRow } from './replication-connection.ts';
import { refusalState } from './sql-session.ts';

export interface BaseBackupResult {
  readonly startLsn: string;
  readonly startTimeline: number;
  readonly stopLsn: string;
  readonly stopTimeline: number;
  /** Bytes of the files before compression. */
  readonly dataBytes: number;
  readonly tablespaces: readonly { readonly oid: string; readonly path: string }[];
  readonly compression: 'zstd' | 'none';
}

const ways = [
  { compression: 'zstd', words: ", COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3,workers=2'" },
  // A libzstd that was built for one thread refuses workers.
  { compression: 'zstd', words: ", COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3'" },
  { compression: 'none', words: '' },
] as const;
const tellEveryBytes = 64 * 1024 * 1024;

/** @param incremental a manifest was uploaded on this connection: only what has changed since it is sent */
export async function takeBaseBackup(
  connection: ReplicationConnection,
  label: string,
  incremental: boolean,
  sink: BackupSink,
  context: BackupContext,
  onStart: (lsn: string, timeline: number) => void,
): Promise<BaseBackupResult> {
  const since = incremental ? ', INCREMENTAL' : '';
  for (const { compression, words } of ways) {
    connection.send(
      `BASE_BACKUP (LABEL '${label}', PROGRESS true, CHECKPOINT 'fast', WAL false, WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', TABLESPACE_MAP true${since}${words})`,
    );
    let start: readonly TextRow[];
    try {
      start = await connection.rows();
    } catch (error) {
      const state = refusalState(error);
      // 0A000, 22023, 42601, 58000, XX000: this build or its library can't compress so; nothing has begun. After an error the server is ready for the next command.
      const can = state !== undefined && !['28', '42501', '55', '57'].some((prefix) => state.startsWith(prefix));
      if (compression === 'none' || !can) throw error;
      await connection.ready();
      continue;
    }
    const [first] = start;
    if (!first?.[0]) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the server did not say where the backup began' });
    onStart(first[0], Number(first[1]));
    return receive(connection, first, compression, sink, context);
  }
  throw fail('BACKUP_TOOL_FAILED', { message: 'the server takes no form of BASE_BACKUP' });
}

async function receive(
  connection: ReplicationConnection,
  first: TextRow,
  compression: BaseBackupResult['compression'],
  sink: BackupSink,
  context: BackupContext,
): Promise<BaseBackupResult> {
  const spaces = await connection.rows();
  const totalBytes = spaces.reduce((sum, [, , kilobytes]) => sum + Number(kilobytes ?? 0) * 1024, 0);
  const doneBytes = await receiveParts(connection, sink, context, totalBytes);
  const [stop] = await connection.rows();
  await connection.ready();
  if (!stop?.[0]) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the server did not say where the backup ended' });
  return {
    startLsn: first[0] ?? '',
    startTimeline: Number(first[1]),
    stopLsn: stop[0],
    stopTimeline: Number(stop[1]),
    dataBytes: Math.max(doneBytes, totalBytes),
    tablespaces: spaces.flatMap(([oid, path]) => (oid && path ? [{ oid, path }] : [])),
    compression,
  };
}

/** `n`: a new archive · `m`: the manifest · `d`: content of the one or the other · `p`: how far the server is. */
async function receiveParts(
  connection: ReplicationConnection,
  sink: BackupSink,
  context: BackupContext,
  totalBytes: number,
): Promise<number> {
  let part: PartWriter | undefined;
  let doneBytes = 0;
  let toldBytes = 0;
  for (;;) {
    const { type, body } = await connection.next();
    if (type === 'c') break;
    if (type === 'H') continue;
    if (type !== 'd') throw fail('SYSTEM_WRONG_ANSWER', { message: `the server sent a message "${type}" in the middle of a backup` });
    const kind = String.fromCharCode(body[0] as number);
    if (kind === 'd') {
      if (!part) throw fail('SYSTEM_WRONG_ANSWER', { message: 'the server sent content before it named a part' });
      await part.write(body.subarray(1));
    } else if (kind === 'n' || kind === 'm') {
      await part?.end();
      const name = kind === 'm' ? 'backup_manifest' : body.toString('utf8', 1, body.indexOf(0, 1));
      part = sink.openPart(name, { compressed: kind === 'n' && !name.endsWith('.tar') });
    } else if (kind === 'p') {
      doneBytes = Number(body.readBigUInt64BE(1));
      if (doneBytes - toldBytes < tellEveryBytes) continue;
      toldBytes = doneBytes;
      context.progress(`${Math.round(doneBytes / 1e6)} of ${Math.round(totalBytes / 1e6)} MB`);
    } else throw fail('SYSTEM_WRONG_ANSWER', { message: `the server sent "${kind}" in the middle of a backup` });
  }
  await part?.end();
  return doneBytes;
}
