/**
 * The snapshot (RDB) of a server, taken as a replica takes it: `PSYNC ? -1` on a connection of its own, and nothing after the snapshot.
 *
 * Invariant: the bytes end only where the server said that the snapshot ends: after the announced length, or at its end mark. A connection that is cut before, a snapshot that
 * the server could not write and silence are errors; a snapshot is never shorter than it should be. When this process dies, the server notices the closed connection and ends its child.
 * https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
 */
import { fail } from '../../base/errors.ts';
import type { Host, TcpConnection } from '../../host/host.ts';
import { addressOf, type RedisTarget } from './port.ts';
import { errorOfReply } from './reply-errors.ts';
import { StreamReader } from './stream-reader.ts';

export interface SnapshotTimes {
  /** For the connection and the answers before the snapshot. */
  readonly answerMs: number;
  /** While a snapshot is made the server sends empty lines, one a second: more silence than this is the end. */
  readonly silenceMs: number;
}

export interface SnapshotStream {
  /** Of the moment that the snapshot shows; undefined where the server is too old to say (it knows only SYNC). */
  readonly position: { readonly replid: string; readonly offset: bigint } | undefined;
  /** Whole, or it throws. */
  readonly bytes: AsyncIterable<Uint8Array>;
  close(): void;
}

const endMarkBytes = 40;

export async function openSnapshotStream(
  host: Host,
  target: RedisTarget,
  times: SnapshotTimes,
  signal: AbortSignal,
): Promise<SnapshotStream> {
  const ca = target.caFile === undefined ? undefined : await host.files.readText(target.caFile);
  const connection = await host.net.connectTcp({
    host: target.host,
    port: target.port,
    timeoutMs: times.answerMs,
    signal,
    ...(target.tls ? { tls: ca === undefined ? {} : { ca } } : {}),
  });
  const onAbort = (): void => connection.close();
  const close = (): void => {
    signal.removeEventListener('abort', onAbort);
    connection.close();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const reader = new StreamReader(connection, host.clock, addressOf(target));
    const conversation = new Conversation(connection, reader, target, times, signal);
    await conversation.introduce();
    const position = await conversation.askForSnapshot();
    const size = await conversation.readSize();
    const read = (): Promise<Uint8Array | undefined> => reader.piece(times.silenceMs, signal);
    const bytes = 'bytes' in size ? piecesOfLength(read, size.bytes, addressOf(target)) : piecesToMark(read, size.mark, addressOf(target));
    return { position, bytes, close };
  } catch (error) {
    close();
    throw error;
  }
}

class Conversation {
  readonly #connection: TcpConnection;
  readonly #reader: StreamReader;
  readonly #target: RedisTarget;
  readonly #times: SnapshotTimes;
  readonly #signal: AbortSignal;

  constructor(connection: TcpConnection, reader: StreamReader, target: RedisTarget, times: SnapshotTimes, signal: AbortSignal) {
    this.#connection = connection;
    this.#reader = reader;
    this.#target = target;
    this.#times = times;
    this.#signal = signal;
  }

  async introduce(): Promise<void> {
    const { password, username } = this.#target;
    if (password !== undefined) {
      const answer = await this.#ask('AUTH', ...(username === undefined ? [] : [username]), password.reveal());
      if (answer.startsWith('-')) throw errorOfReply(answer.slice(1), `login at ${addressOf(this.#target)}`);
    }
    // Neither is known to every version. Without rdb-only the server keeps a buffer for us that it frees when we close; without eof it writes the snapshot to its disk first.
    await this.#ask('REPLCONF', 'rdb-only', '1');
    await this.#ask('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
  }

  async askForSnapshot(): Promise<SnapshotStream['position']> {
    const answer = await this.#ask('PSYNC', '?', '-1');
    const full = /^\+FULLRESYNC ([0-9a-f]{40}) (\d+)$/.exec(answer);
    if (full) return { replid: full[1] as string, offset: BigInt(full[2] as string) };
    if (/^-ERR unknown command/i.test(answer)) {
      this.#write('SYNC');
      return undefined;
    }
    throw answer.startsWith('-')
      ? errorOfReply(answer.slice(1), 'PSYNC')
      : fail('SYSTEM_WRONG_ANSWER', { message: `${addressOf(this.#target)} answered PSYNC with ${answer.slice(0, 80)}` });
  }

  async readSize(): Promise<{ readonly bytes: number } | { readonly mark: Buffer }> {
    const line = await this.#reader.line(this.#times.silenceMs, this.#signal);
    if (line.startsWith('-'))
      throw fail('BACKUP_TOOL_FAILED', {
        message: `${addressOf(this.#target)} could not make its snapshot: ${line.slice(1)}`,
        hint: 'Its log says why: often memory for the fork, or a full disk.',
      });
    const mark = /^\$EOF:(.{40})$/.exec(line);
    if (mark) return { mark: Buffer.from(mark[1] as string, 'latin1') };
    const length = /^\$(\d+)$/.exec(line);
    if (length) return { bytes: Number(length[1]) };
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${addressOf(this.#target)} began its snapshot with ${line.slice(0, 80)}` });
  }

  async #ask(...words: string[]): Promise<string> {
    this.#write(...words);
    const mayBePreparing = words[0] === 'PSYNC';
    return await this.#reader.line(mayBePreparing ? this.#times.silenceMs : this.#times.answerMs, this.#signal);
  }

  #write(...words: string[]): void {
    this.#connection.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
  }
}

type ReadPiece = () => Promise<Uint8Array | undefined>;

function cutOff(address: string, message: string): Error {
  return fail('BACKUP_INCOMPLETE', {
    message: `${address} closed the connection ${message}`,
    hint: 'Its log says why: a failed child, a limit on the output buffer of replicas, or a stop.',
    details: { cause: 'reset' },
  });
}

async function* piecesOfLength(read: ReadPiece, lengthBytes: number, address: string): AsyncIterable<Uint8Array> {
  let leftBytes = lengthBytes;
  while (leftBytes > 0) {
    const piece = await read();
    if (piece === undefined) throw cutOff(address, `${leftBytes} bytes before the end of a snapshot of ${lengthBytes}`);
    const taken = piece.length > leftBytes ? piece.subarray(0, leftBytes) : piece;
    leftBytes -= taken.length;
    yield taken;
  }
}

/** The mark may lie across pieces: as many bytes as it has are always held back. */
async function* piecesToMark(read: ReadPiece, mark: Buffer, address: string): AsyncIterable<Uint8Array> {
  let held = Buffer.alloc(0);
  let givenBytes = 0;
  for (;;) {
    const piece = await read();
    if (piece === undefined) throw cutOff(address, `after ${givenBytes + held.length} bytes of a snapshot, before its end mark`);
    const joined = held.length === 0 ? Buffer.from(piece.buffer, piece.byteOffset, piece.length) : Buffer.concat([held, piece]);
    const at = joined.indexOf(mark);
    const readyBytes = at >= 0 ? at : Math.max(0, joined.length - endMarkBytes);
    if (readyBytes > 0) yield joined.subarray(0, readyBytes);
    if (at >= 0) return;
    givenBytes += readyBytes;
    held = Buffer.from(joined.subarray(readyBytes));
  }
}
