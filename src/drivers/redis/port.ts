/**
 * What the driver needs of a Redis client: open a connection, send commands in one go, hear of its end. `client.ts` is the real one, `fake.ts` the simulated one.
 *
 * Invariants: a connection never reconnects by itself and never queues while it is down, so that a broken one is noticed where it breaks. After a time-out the
 * connection is closed: an answer that comes late can't be taken for the answer to something else.
 */
import type { HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';

export interface RedisTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: Secret;
  /** Path of a PEM file with the certificate authority to trust. */
  readonly caFile?: string;
  /** A Unix socket of this machine: then host and port are for messages only. */
  readonly socketPath?: string;
}

/** Texts are strings, or bytes where they were asked for. */
export type Reply = string | Uint8Array | number | null | readonly Reply[];

export type Word = string | Uint8Array;

export interface SendOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Give texts as bytes: for keys and values of users, which need not be text. */
  readonly binary?: boolean;
}

export interface RedisConnection {
  /**
   * Sends all commands in one write and resolves to their replies in order. An error reply is a value in its place, so that the others are not lost. Rejects when
   * the connection breaks or the time is over: SYSTEM_OUTCOME_UNKNOWN, for the commands may have had their effect; `details.cause` says why.
   */
  send(commands: readonly (readonly Word[])[], options: SendOptions): Promise<readonly (Reply | HoldfastError)[]>;
  /** Called once, when the connection has ended, whoever ended it; at once where it has already. */
  onClose(listener: () => void): void;
  readonly isOpen: boolean;
  close(): void;
}

export interface RedisPort {
  /** Connects and authenticates. Errors: SYSTEM_UNREACHABLE (`details.cause` as in Net), TIMED_OUT, SYSTEM_WRONG_CREDENTIALS. */
  connect(target: RedisTarget, options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<RedisConnection>;
}

export function addressOf(target: { readonly host: string; readonly port: number }): string {
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
}
