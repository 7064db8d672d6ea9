/**
 * Reads a raw connection by lines and by pieces.
 *
 * Invariant: what was received and not yet read is bounded: above the mark the network is paused, so that the sender waits for the reader. Silence longer than the limit ends it.
 */
import { fail } from '../../base/errors.ts';
import type { Clock, TcpConnection } from '../../host/host.ts';

const pauseAboveBytes = 4_194_304;
const lineMaxBytes = 65_536;
const lineFeed = 10;

export class StreamReader {
  readonly #connection: TcpConnection;
  readonly #clock: Clock;
  readonly #address: string;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #over = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(connection: TcpConnection, clock: Clock, address: string) {
    this.#connection = connection;
    this.#clock = clock;
    this.#address = address;
    connection.onData((data) => {
      this.#queue.push(data);
      this.#queuedBytes += data.length;
      if (this.#queuedBytes > pauseAboveBytes) connection.pause?.();
      this.#wake?.();
    });
    connection.onClose((error) => {
      this.#over = true;
      this.#error = error;
      this.#wake?.();
    });
  }

  /** The next bytes, as they came; undefined once the other side has closed in an orderly way. */
  async piece(silenceMs: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      signal.throwIfAborted();
      if (this.#over) {
        if (this.#error) throw this.#error;
        return undefined;
      }
      await this.#data(silenceMs, signal);
    }
    const piece = this.#queue.shift() as Uint8Array;
    this.#queuedBytes -= piece.length;
    if (this.#queuedBytes <= pauseAboveBytes) this.#connection.resume?.();
    return piece;
  }

  /** A line without its end. Empty lines, which a busy server sends to show that it lives, are left out. */
  async line(silenceMs: number, signal: AbortSignal): Promise<string> {
    let text = Buffer.alloc(0);
    for (;;) {
      const piece = await this.piece(silenceMs, signal);
      if (piece === undefined)
        throw fail('SYSTEM_UNREACHABLE', { message: `${this.#address} closed the connection`, details: { cause: 'reset' } });
      const end = piece.indexOf(lineFeed);
      text = Buffer.concat([text, end < 0 ? piece : piece.subarray(0, end)]);
      if (text.length > lineMaxBytes)
        throw fail('SYSTEM_WRONG_ANSWER', {
          message: `${this.#address} sent a line without an end`,
          hint: 'Is it a Redis or Valkey server?',
        });
      if (end < 0) continue;
      this.#putBack(piece.subarray(end + 1));
      const line = text.toString('utf8').replace(/\r$/, '');
      if (line !== '') return line;
      text = Buffer.alloc(0);
    }
  }

  #putBack(rest: Uint8Array): void {
    if (rest.length === 0) return;
    this.#queue.unshift(rest);
    this.#queuedBytes += rest.length;
  }

  #data(silenceMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        this.#wake = undefined;
        settle();
      };
      const onAbort = (): void => done(() => reject(signal.reason));
      const cancel = this.#clock.after(silenceMs, () =>
        done(() =>
          reject(fail('TIMED_OUT', { message: `${this.#address} was silent for ${silenceMs} ms`, details: { cause: 'timeout' } })),
        ),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => done(resolve);
    });
  }
}
