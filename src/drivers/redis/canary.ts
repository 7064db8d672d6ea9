/**
 * The canary row of a Redis data set: one key, overwritten, as JSON.
 *
 * Invariant: a write resolves only once the store has acknowledged it as durably as the set-up promises: where the primary counts replicas (min-replicas-to-write of
 * a protected synchronous pair), WAIT must have counted one that has the row. When the process dies within a write, the row is there or not; its number is never used
 * again.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Canary, CanaryRow } from '../../contracts/driver.ts';
import { KeptConnection } from './kept-connection.ts';
import type { Reply } from './port.ts';
import type { RedisSiteParts } from './server.ts';
import { readBarrier } from './write-barrier.ts';

export class RedisCanary implements Canary {
  readonly #parts: RedisSiteParts;
  readonly #connection: KeptConnection;

  constructor(parts: RedisSiteParts) {
    this.#parts = parts;
    this.#connection = new KeptConnection(parts);
  }

  async write(row: CanaryRow, signal: AbortSignal): Promise<void> {
    const { context, keys } = this.#parts;
    const connection = await this.#connection.open(signal);
    const timeoutMs = context.probeTimeoutMs;
    const [settings, written] = await connection.send(
      [
        ['CONFIG', 'GET', 'min-replicas-to-write'],
        ['SET', keys.canary, JSON.stringify({ number: row.number, atMs: row.atMs, epoch: row.epoch })],
        ['SET', keys.dataset, newDatasetName(this.#parts), 'NX'],
      ],
      { timeoutMs, signal },
    );
    if (written instanceof HoldfastError) throw written;
    if (context.replication !== 'synchronous' || !countsReplicas(settings)) return;
    const [reached] = await connection.send([['WAIT', '1', String(timeoutMs)]], { timeoutMs: timeoutMs + 1_000, signal });
    if (reached instanceof HoldfastError) throw reached;
    if (Number(reached) < 1)
      throw fail('SYSTEM_OUTCOME_UNKNOWN', {
        message: `the primary has canary ${row.number}, and no replica confirmed it within ${timeoutMs} ms`,
      });
  }

  async read(signal: AbortSignal): Promise<CanaryRow | undefined> {
    const connection = await this.#connection.open(signal);
    const [reply] = await connection.send([['GET', this.#parts.keys.canary]], { timeoutMs: this.#parts.context.probeTimeoutMs, signal });
    if (reply instanceof HoldfastError) throw reply;
    return typeof reply === 'string' ? parseCanaryRow(reply) : undefined;
  }

  close(): void {
    this.#connection.close();
  }
}

function countsReplicas(reply: Reply | HoldfastError | undefined): boolean {
  if (!Array.isArray(reply)) return true;
  const wanted = Number(reply[1] ?? 0);
  return wanted > 0 && readBarrier(wanted).barrier === 'none';
}

/** A name for a data set that has none yet: written with NX, so that the first one stays. */
export function newDatasetName({ context }: RedisSiteParts): string {
  return Buffer.from(context.host.random.bytes(16)).toString('hex');
}

export function parseCanaryRow(text: string): CanaryRow | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null && 'number' in value && 'atMs' in value && 'epoch' in value) {
    const { number, atMs, epoch } = value;
    if (typeof number === 'number' && typeof atMs === 'number' && typeof epoch === 'number') return { number, atMs, epoch };
  }
  throw fail('SYSTEM_WRONG_ANSWER', {
    message: 'the canary key holds something that is not a canary row',
    hint: 'Delete the key; the next canary writes it anew.',
  });
}
