/**
 * The replication protocol, as far as backups need it: https://www.postgresql.org/docs/current/protocol-replication.html
 *
 * The npm package `pg` connects, encrypts and authenticates; then its socket is read here, message by message, no further than the consumer has come. The package itself hands
 * out bytes that it overwrites later and cannot be slowed down.
 *
 * Invariant: little more is read ahead than a buffer holds, so a slow repository slows the server down instead of filling the memory. When the process dies, the
 * server notices the closed socket and ends the backup or the stream.
 */
import { fail } from '../../../base/errors.ts';
import type { Host, SocketWithBuffer } from '../../../host/host.ts';
import { connectClient, type RawStream } from '../client.ts';
import { clientError } from '../client-errors.ts';
import type { Address } from '../ports.ts';
import { ReceivedBytes } from './received-bytes.ts';

/** The type is the message's letter; the body comes after its length, and is good until the next message is asked for. */
export interface Message {
  readonly type: string;
  readonly body: Buffer;
}

export type TextRow = readonly (string | null)[];

const connectTimeoutMs = 15_000;
const copyBytes = 64 * 1024;
/** A server that checkpoints before a backup says nothing meanwhile, on a slow disk for minutes. */
const silenceMaxMsDefault = 1_800_000;

export class ReplicationConnection {
  readonly #host: Host;
  readonly #where: string;
  readonly #socket: RawStream;
  readonly #received: ReceivedBytes;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  readonly #silenceMaxMs: number;
  /** Since when the server is waited for; undefined while nobody reads. */
  #waitingSinceMs: number | undefined;
  #silent = false;
  #closed = false;
  #stopWatch: () => void = () => {};

  private constructor(
    host: Host,
    where: string,
    { stream: socket, takeOver }: { readonly stream: RawStream; readonly takeOver: SocketWithBuffer['takeOver'] | undefined },
    signal: AbortSignal,
    silenceMaxMs: number,
  ) {
    this.#host = host;
    this.#where = where;
    this.#socket = socket;
    this.#signal = signal;
    this.#received = new ReceivedBytes(socket, takeOver);
    this.#silenceMaxMs = silenceMaxMs;
    this.#onAbort = () => socket.destroy();
    signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#watchSilence();
  }

  static async open(host: Host, address: Address, signal: AbortSignal, silenceMaxMs = silenceMaxMsDefault): Promise<ReplicationConnection> {
    const connected = await connectClient(host, address, { timeoutMs: connectTimeoutMs, signal }, { replication: true });
    connected.client.on('error', () => {
      // The reader of the socket hears of it too, and throws.
    });
    return new ReplicationConnection(host, `${address.host}:${address.port}`, connected, signal, silenceMaxMs);
  }

  #watchSilence(): void {
    this.#stopWatch = this.#host.clock.after(this.#silenceMaxMs / 4, () => {
      const sinceMs = this.#waitingSinceMs;
      if (sinceMs !== undefined && this.#host.clock.monotonicMs() - sinceMs > this.#silenceMaxMs) {
        this.#silent = true;
        this.#socket.destroy();
      } else this.#watchSilence();
    });
  }

  close(): void {
    this.#closed = true;
    this.#stopWatch();
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#socket.destroy();
  }

  send(text: string): void {
    this.#socket.write(framed('Q', Buffer.from(`${text}\0`)));
  }

  sendCopyData(body: Buffer): void {
    this.#socket.write(framed('d', body));
  }

  /** Hands a stream over as the input of a command that asked for it (`G`), no faster than the server takes it; resolves at the end of the command. */
  async copyIn(text: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    this.send(text);
    const { type } = await this.next();
    if (type !== 'G')
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.#where} sent a message "${type}" where it should ask for input` });
    for await (const bytes of content)
      for (let at = 0; at < bytes.length; at += copyBytes)
        if (!this.#socket.write(framed('d', Buffer.from(bytes.subarray(at, at + copyBytes))))) await this.#drained();
    this.sendCopyDone();
    await this.ready();
  }

  /** A server that has failed in the middle says so only when it is read: a socket that is closed ends the wait too. */
  async #drained(): Promise<void> {
    this.#waitingSinceMs = this.#host.clock.monotonicMs();
    try {
      await new Promise<void>((resolve) => {
        const over = () => {
          this.#socket.removeListener('drain', over);
          this.#socket.removeListener('close', over);
          resolve();
        };
        this.#socket.once('drain', over);
        this.#socket.once('close', over);
      });
    } finally {
      this.#waitingSinceMs = undefined;
    }
  }

  sendCopyDone(): void {
    this.#socket.write(framed('c', Buffer.alloc(0)));
  }

  /** The next message; an error of the server is thrown. */
  async next(): Promise<Message> {
    for (;;) {
      await this.#need(5);
      const type = String.fromCharCode(this.#received.byteAt(0));
      const length = this.#received.uint32At(1);
      await this.#need(1 + length);
      const body = this.#received.take(5, length - 4);
      if (type === 'E') throw clientError(serverError(body), this.#where);
      // Notices, parameters and notifications say nothing that matters here.
      if (type !== 'N' && type !== 'S' && type !== 'A') return { type, body };
    }
  }

  async #need(bytes: number): Promise<void> {
    if (this.#received.length >= bytes) return;
    this.#waitingSinceMs = this.#host.clock.monotonicMs();
    try {
      if (!(await this.#received.need(bytes))) throw this.#ended(this.#received.end?.cause);
    } finally {
      this.#waitingSinceMs = undefined;
    }
  }

  #ended(cause: unknown): Error {
    if (this.#signal.aborted)
      return fail('INTERRUPTED', { message: `reading from ${this.#where} was interrupted`, cause: this.#signal.reason });
    if (this.#silent)
      return fail('TIMED_OUT', { message: `${this.#where} has sent nothing for ${Math.round(this.#silenceMaxMs / 1_000)} s` });
    if (this.#closed) return fail('INTERRUPTED', { message: `the connection to ${this.#where} was closed` });
    return fail('SYSTEM_UNREACHABLE', {
      message: `${this.#where} closed the connection`,
      cause,
      details: { evidence: 'connection-lost' },
    });
  }

  /** Sends a command and collects the rows of its answer. */
  async command(text: string): Promise<readonly TextRow[]> {
    this.send(text);
    const rows = await this.rows();
    await this.ready();
    return rows;
  }

  /** The rows of one result, up to its end. */
  async rows(): Promise<readonly TextRow[]> {
    const rows: TextRow[] = [];
    for (;;) {
      const { type, body } = await this.next();
      if (type === 'D') rows.push(parseRow(body));
      else if (type === 'C') return rows;
      else if (type !== 'T')
        throw fail('SYSTEM_WRONG_ANSWER', { message: `${this.#where} sent a message "${type}" where rows were expected` });
    }
  }

  /** Reads to the end of a command. */
  async ready(): Promise<void> {
    while ((await this.next()).type !== 'Z');
  }
}

function framed(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

function parseRow(body: Buffer): TextRow {
  const values: (string | null)[] = [];
  let at = 2;
  for (let left = body.readUInt16BE(0); left > 0; left -= 1) {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) values.push(null);
    else {
      values.push(body.toString('utf8', at, at + length));
      at += length;
    }
  }
  return values;
}

function serverError(body: Buffer): Error {
  const fields = new Map<string, string>();
  for (const field of body.toString('utf8').split('\0')) if (field !== '') fields.set(field[0] as string, field.slice(1));
  return Object.assign(new Error(fields.get('M') ?? 'an error without words'), { code: fields.get('C') });
}
