/**
 * One connection to one site, kept open between uses.
 *
 * Invariant: at most one stays open, also when several ask at once; none after `close`, also when one was being made then. A connection that nobody holds would keep the
 * process alive for ever.
 */
import { fail } from '../../base/errors.ts';
import { targetOf } from './options.ts';
import { addressOf, type RedisConnection } from './port.ts';
import type { RedisSiteParts } from './server.ts';

export class KeptConnection {
  readonly #parts: RedisSiteParts;
  #connection: RedisConnection | undefined;
  #closed = false;

  constructor(parts: RedisSiteParts) {
    this.#parts = parts;
  }

  async open(signal: AbortSignal): Promise<RedisConnection> {
    if (this.#connection?.isOpen) return this.#connection;
    const { context, port } = this.#parts;
    const target = targetOf(context.site);
    const opened = await port.connect(target, { timeoutMs: context.probeTimeoutMs, signal });
    if (this.#closed) {
      opened.close();
      throw fail('INTERRUPTED', { subject: addressOf(target), message: 'the site was closed' });
    }
    if (this.#connection?.isOpen) opened.close();
    else this.#connection = opened;
    return this.#connection;
  }

  /** The next use makes a new one. */
  drop(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  close(): void {
    this.#closed = true;
    this.drop();
  }
}
