/**
 * Finds the keys that one server has and another lacks or has otherwise, key by key over all databases, without changing either.
 *
 * Invariants: memory is bounded: keys are read in small batches, and no more than a certain number and size of lines are kept; beyond, differences are only counted. Two values
 * are the same when their serialised forms are, or else when their content is, for Redis may hold one content in several encodings.
 * A key that only the other server has is not looked for: it can't be told whether it was deleted here or written there.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { CanaryRow } from '../../contracts/driver.ts';
import { parseCanaryRow } from './canary.ts';
import type { HoldfastKeys } from './keys.ts';
import type { RedisConnection, Reply, Word } from './port.ts';

const batchKeys = 200;
const linesMax = 100_000;
const textMaxBytes = 64 * 1024 * 1024;
const valueMaxBytes = 256 * 1024;
const commandTimeoutMs = 30_000;

export interface KeyDifferences {
  readonly count: number;
  /** JSON lines, each with database, key, type, value, expiry, and whether the other server lacks it or has it otherwise. */
  readonly lines: readonly string[];
  /** Differences that were counted and not listed. */
  readonly unlisted: number;
}

/** How to read the whole of a value, and whether its order means nothing. */
const readers: Readonly<
  Record<string, { readonly words: (key: Word) => readonly Word[]; readonly pairs?: boolean; readonly unordered?: boolean }>
> = {
  string: { words: (key) => ['GET', key] },
  list: { words: (key) => ['LRANGE', key, '0', '-1'] },
  set: { words: (key) => ['SMEMBERS', key], unordered: true },
  hash: { words: (key) => ['HGETALL', key], pairs: true, unordered: true },
  zset: { words: (key) => ['ZRANGE', key, '0', '-1', 'WITHSCORES'], pairs: true },
  stream: { words: (key) => ['XRANGE', key, '-', '+'] },
};

export class KeyComparison {
  readonly #here: RedisConnection;
  readonly #there: RedisConnection;
  readonly #keys: HoldfastKeys;
  readonly #signal: AbortSignal;
  readonly #lines: string[] = [];
  #textBytes = 0;
  #count = 0;
  #looked = 0;

  constructor(parts: {
    readonly here: RedisConnection;
    readonly there: RedisConnection;
    readonly keys: HoldfastKeys;
    readonly signal: AbortSignal;
  }) {
    this.#here = parts.here;
    this.#there = parts.there;
    this.#keys = parts.keys;
    this.#signal = parts.signal;
  }

  async run(databases: readonly number[], progress: (keysLooked: number) => void): Promise<KeyDifferences> {
    for (const database of databases) {
      for (const connection of [this.#here, this.#there]) await this.#send(connection, [['SELECT', String(database)]]);
      let cursor = '0';
      do {
        const [page] = await this.#send(this.#here, [['SCAN', cursor, 'COUNT', String(batchKeys)]]);
        if (!Array.isArray(page) || !Array.isArray(page[1]))
          throw fail('SYSTEM_WRONG_ANSWER', { message: 'SCAN did not answer with a page' });
        cursor = textOf(page[0] as Reply);
        await this.#compare(database, page[1] as Uint8Array[]);
        this.#looked += page[1].length;
        progress(this.#looked);
      } while (cursor !== '0');
    }
    return { count: this.#count, lines: this.#lines, unlisted: this.#count - this.#lines.length };
  }

  async #compare(database: number, keys: readonly Uint8Array[]): Promise<void> {
    if (keys.length === 0) return;
    const commands = keys.flatMap((key): Word[][] => [
      ['DUMP', key],
      ['PEXPIRETIME', key],
    ]);
    const [here, there] = await Promise.all([this.#send(this.#here, commands), this.#send(this.#there, commands)]);
    for (const [index, key] of keys.entries()) {
      const [dump, expiry] = [here[index * 2], Number(here[index * 2 + 1])];
      const [otherDump, otherExpiry] = [there[index * 2], Number(there[index * 2 + 1])];
      // It has expired since the page was read.
      if (dump === null || dump === undefined) continue;
      if (otherDump !== null && sameBytes(dump, otherDump) && expiry === otherExpiry) continue;
      await this.#difference({ database, key, expiry, sameExpiry: expiry === otherExpiry, lacks: otherDump === null });
    }
  }

  async #difference(found: { database: number; key: Uint8Array; expiry: number; sameExpiry: boolean; lacks: boolean }): Promise<void> {
    const { key, lacks } = found;
    const name = Buffer.from(key).toString();
    if (name === this.#keys.epoch || name === this.#keys.dataset) return;
    const here = await this.#content(this.#here, key);
    if (!lacks) {
      const there = await this.#content(this.#there, key);
      if (found.sameExpiry && here.type === there.type && JSON.stringify(here.value) === JSON.stringify(there.value)) return;
      // The survivor goes on writing it: only a number that it has not reached is a row that it never got.
      if (name === this.#keys.canary && numberOf(here.value) <= numberOf(there.value)) return;
    }
    this.#count += 1;
    const line = JSON.stringify({
      database: found.database,
      key: encode(key),
      type: here.type,
      value: here.value,
      ...(found.expiry >= 0 ? { expiresAtMs: found.expiry } : {}),
      survivor: lacks ? 'lacks' : 'differs',
    } satisfies JsonObject);
    if (this.#lines.length >= linesMax || this.#textBytes + line.length > textMaxBytes) return;
    this.#lines.push(line);
    this.#textBytes += line.length;
  }

  async #content(connection: RedisConnection, key: Uint8Array): Promise<{ readonly type: string; readonly value: Json }> {
    const [type] = await this.#send(connection, [['TYPE', key]]);
    const name = textOf(type ?? null);
    const reader = readers[name];
    const [reply] = await this.#send(connection, [reader ? reader.words(key) : ['DUMP', key]]);
    let value: Json = encodeReply(reply ?? null);
    if (reader?.pairs && Array.isArray(value)) value = pairsOf(value);
    if (reader?.unordered && Array.isArray(value))
      value = [...value].sort((left, right) => (JSON.stringify(left) < JSON.stringify(right) ? -1 : 1));
    const size = JSON.stringify(value).length;
    return { type: name, value: size > valueMaxBytes ? { leftOut: `${size} bytes: see the RDB file` } : value };
  }

  async #send(connection: RedisConnection, commands: readonly (readonly Word[])[]): Promise<readonly Reply[]> {
    const replies = await connection.send(commands, { timeoutMs: commandTimeoutMs, signal: this.#signal, binary: true });
    for (const reply of replies) if (reply instanceof HoldfastError) throw reply;
    return replies as readonly Reply[];
  }
}

function textOf(reply: Reply): string {
  return typeof reply === 'string' ? reply : reply instanceof Uint8Array ? Buffer.from(reply).toString() : String(reply);
}

function sameBytes(left: Reply, right: Reply | undefined): boolean {
  return left instanceof Uint8Array && right instanceof Uint8Array && Buffer.compare(left, right) === 0;
}

/** As text where it is text, else as base64. */
function encode(bytes: Uint8Array): Json {
  const buffer = Buffer.from(bytes);
  const text = buffer.toString('utf8');
  return Buffer.from(text, 'utf8').equals(buffer) ? text : { base64: buffer.toString('base64') };
}

function encodeReply(reply: Reply): Json {
  if (reply instanceof Uint8Array) return encode(reply);
  return Array.isArray(reply) ? reply.map(encodeReply) : (reply as Json);
}

function pairsOf(flat: readonly Json[]): Json {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[index * 2] as Json, flat[index * 2 + 1] as Json]);
}

function numberOf(value: Json): number {
  let row: CanaryRow | undefined;
  try {
    row = typeof value === 'string' ? parseCanaryRow(value) : undefined;
  } catch {
    // Not a canary row: it stands for a number above all, so that the difference is listed.
  }
  return row?.number ?? Number.POSITIVE_INFINITY;
}
