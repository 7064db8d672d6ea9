/**
 * A state from elsewhere goes below a prefix of etcd that has none.
 *
 * Invariant: the record `copying` stands there from before the first entry until the identity takes its place, in one transaction; while it does, nobody takes what is there for a state. When
 * the process dies in between, the same copy begins anew: what is there is its own and is removed.
 */
import { fail } from '../../base/errors.ts';
import type { ImportedEntry, StateImport } from '../../contracts/state-import.ts';
import { storeError } from './etcd-errors.ts';
import type { EtcdStoreOptions } from './etcd-store.ts';
import { newIdentity } from './guarded-cluster.ts';
import { MemoryFile, parseIdentity } from './identity.ts';
import { afterKey, Keys } from './keys.ts';
import { Members } from './members.ts';
import type { Calls, KeyValue, Operation } from './messages.ts';

/** Tokens of an embedded state count hand-overs one by one: they never come near. */
const tokenBase = 1_000_000_000;
const pageSize = 500;

export async function openEtcdImport(options: EtcdStoreOptions): Promise<StateImport> {
  return new EtcdImport(options, await Members.open(options));
}

class EtcdImport implements StateImport {
  readonly #options: EtcdStoreOptions;
  readonly #members: Members;
  readonly #keys: Keys;

  constructor(options: EtcdStoreOptions, members: Members) {
    this.#options = options;
    this.#members = members;
    this.#keys = new Keys(options.prefix);
  }

  get place(): string {
    return `etcd ${this.#options.prefix}`;
  }

  async begin(copyId: string): Promise<'ready' | 'finished'> {
    const { identity, copying, all } = this.#keys;
    const mark = { request_put: { key: copying, value: Buffer.from(copyId) } };
    const answer = await this.#ask('KV/Txn', {
      compare: [{ result: 0, target: 1, ...all, create_revision: 0 }],
      success: [mark],
      failure: [{ request_range: { key: identity } }, { request_range: { key: copying } }],
    });
    if (answer.succeeded) return 'ready';
    const [found, left] = answer.responses.map(({ response_range }) => response_range?.kvs[0]);
    if (found !== undefined) {
      const there = parseIdentity(found.value, this.#keys.prefix);
      if (there.copyId === copyId) return 'finished';
      throw this.#notEmpty(`the state of "${there.platform}" lies below ${this.#keys.prefix} already`);
    }
    if (left?.value.toString('utf8') !== copyId)
      throw this.#notEmpty(
        left === undefined
          ? `below ${this.#keys.prefix} are keys that are none of Holdfast's`
          : 'another copy was begun there, and not finished',
      );
    await this.#ask('KV/Txn', { compare: [], success: [{ request_delete_range: this.#keys.entriesWith('') }], failure: [] });
    return 'ready';
  }

  async add(entries: readonly ImportedEntry[]): Promise<void> {
    const puts = entries.map(
      ({ key, value }): Operation => ({
        request_put: { key: this.#keys.entry(key), value: Buffer.from(JSON.stringify(value)) },
      }),
    );
    // Safe to do twice: nobody else writes there.
    await this.#ask('KV/Txn', { compare: [], success: puts, failure: [] });
  }

  async read(): Promise<readonly ImportedEntry[]> {
    const found: KeyValue[] = [];
    const { range_end, key: first } = this.#keys.entriesWith('');
    for (let key = first; ; ) {
      const answer = await this.#ask('KV/Range', { key, range_end, limit: pageSize });
      found.push(...answer.kvs);
      const last = answer.kvs.at(-1);
      if (!answer.more || last === undefined) break;
      key = afterKey(last.key);
    }
    return found.map((kv) => ({ key: this.#keys.nameOf(kv.key), value: JSON.parse(kv.value.toString('utf8')) }));
  }

  async finish(copyId: string): Promise<void> {
    const { identity, copying, pulse } = this.#keys;
    const { host, platform, directory, prefix } = this.#options;
    const { header } = await this.#ask('KV/Range', { key: identity });
    const made = { ...newIdentity(host, platform, header.cluster_id, tokenBase), copyId };
    // Safe to do twice: the second one finds the identity there.
    const answer = await this.#ask('KV/Txn', {
      compare: [{ result: 0, target: 3, key: copying, value: Buffer.from(copyId) }],
      success: [
        { request_put: { key: identity, value: Buffer.from(JSON.stringify(made)) } },
        { request_put: { key: pulse, value: Buffer.alloc(0) } },
        { request_delete_range: { key: copying } },
      ],
      failure: [{ request_range: { key: identity } }],
    });
    const there = answer.responses[0]?.response_range?.kvs[0];
    const isOurs = answer.succeeded || (there !== undefined && parseIdentity(there.value, prefix).copyId === copyId);
    if (!isOurs) throw this.#notEmpty('somebody else took the place of the copy while it was made');
    const standing = answer.succeeded || there === undefined ? made : parseIdentity(there.value, prefix);
    await new MemoryFile(host, directory, prefix).write(standing, Number(answer.header.revision));
  }

  async close(): Promise<void> {
    this.#members.close();
  }

  async #ask<K extends keyof Calls>(name: K, request: Calls[K][0]): Promise<Calls[K][1]> {
    try {
      return await this.#members.call(name, request);
    } catch (thrown) {
      throw storeError(thrown, this.#keys.prefix);
    }
  }

  #notEmpty(message: string): Error {
    return fail('STATE_NOT_EMPTY', { message, subject: this.#keys.prefix });
  }
}
