/**
 * Commits, in the order in which they were asked for where that can be seen.
 *
 * Invariant: a commit is sent once. It is sent after the answers of those before it that touch the same part of the state (the first two words of a key's path: one execution, say), so that
 * within a part the order holds; others go side by side, for each takes as long as a majority of the members is far away. A commit whose answer is lost ends as
 * SYSTEM_OUTCOME_UNKNOWN, and the ones after it go on. Dying leaves whole commits only.
 */
import { assert } from '../../base/assert.ts';
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Change } from '../../contracts/state-store.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import { type Leases, lost } from './leases.ts';
import type { Compare, KeyValue, Operation } from './messages.ts';
import { buildTransaction, refusalOf } from './transactions.ts';

interface Prepared {
  readonly change: Change;
  readonly value: Buffer | undefined;
}

export class Commits {
  readonly #cluster: GuardedCluster;
  readonly #leases: Leases;
  /** The last commit of each part, until it has ended. */
  readonly #lastOf = new Map<string, Promise<unknown>>();

  constructor(cluster: GuardedCluster, leases: Leases) {
    this.#cluster = cluster;
    this.#leases = leases;
  }

  async commit(changes: readonly Change[], answerWithinMs?: number): Promise<number> {
    const keys = new Set(changes.map(({ key }) => key));
    assert(changes.length > 0 && keys.size === changes.length, 'a commit changes something, and names a key once');
    // Now, not when its turn comes: the caller may change its values then.
    const prepared = changes.map(prepare);
    const parts = new Set([...keys].map(partOf));
    const before = [...parts].map((part) => this.#lastOf.get(part));
    const work = (async () => {
      await Promise.all(before);
      return await this.#send(prepared, answerWithinMs);
    })();
    const ended = work.then(
      () => {},
      () => {},
    );
    for (const part of parts) this.#lastOf.set(part, ended);
    void ended.then(() => {
      for (const part of parts) if (this.#lastOf.get(part) === ended) this.#lastOf.delete(part);
    });
    return await work;
  }

  /** Resolves when all that were asked for have ended. */
  async settle(): Promise<void> {
    await Promise.all(this.#lastOf.values());
  }

  async #send(prepared: readonly Prepared[], answerWithinMs: number | undefined): Promise<number> {
    const { keys } = this.#cluster;
    const compares = [...this.#cluster.guards, ...prepared.flatMap(({ change }) => this.#comparesOf(change))];
    const changes = prepared.map(({ change, value }): Operation => {
      const key = keys.entry(change.key);
      return value === undefined ? { request_delete_range: { key } } : { request_put: { key, value } };
    });
    const pulse: Operation = { request_put: { key: keys.pulse, value: Buffer.alloc(0) } };
    const request = buildTransaction(compares, [...changes, pulse]);
    const answer = await this.#cluster.ask('KV/Txn', request, {
      change: true,
      ...(answerWithinMs === undefined ? {} : { timeoutMs: Math.min(answerWithinMs, this.#cluster.members.timeoutMs) }),
    });
    const refusal = refusalOf(request, answer);
    if (refusal === undefined) {
      const revision = Number(answer.header.revision);
      this.#cluster.changed(revision);
      return revision;
    }
    throw this.#explain(prepared, refusal);
  }

  #comparesOf(change: Change): readonly Compare[] {
    const guards = change.kind === 'put' && change.lease !== undefined ? this.#leases.guardOf(change.lease) : [];
    if (change.expected === 'any') return guards;
    const key = this.#cluster.keys.entry(change.key);
    const expected: Compare =
      change.expected === 'absent'
        ? { result: 0, target: 1, key, create_revision: 0 }
        : { result: 0, target: 2, key, mod_revision: change.expected };
    return [...guards, expected];
  }

  /** Which of the expectations did not hold, the first of them. */
  #explain(prepared: readonly Prepared[], stood: ReadonlyMap<string, KeyValue | undefined>): HoldfastError {
    const { keys, identity } = this.#cluster;
    this.#cluster.requireGuards(stood.get(keys.identity.toString('utf8')), stood.get(keys.pulse.toString('utf8')));
    for (const { change } of prepared) {
      const lease = change.kind === 'put' ? change.lease : undefined;
      const heldKey = lease && keys.held(lease.name).toString('utf8');
      if (lease !== undefined && heldKey !== undefined && stood.has(heldKey)) {
        const held = stood.get(heldKey);
        const holder = held?.value.toString('utf8');
        if (holder !== lease.holder || Number(held?.create_revision) + identity.tokenBase !== lease.token) return lost(lease.name, holder);
      }
      const key = keys.entry(change.key).toString('utf8');
      if (!stood.has(key) || change.expected === 'any') continue;
      const kv = stood.get(key);
      const revision = kv && Number(kv.mod_revision);
      if (change.expected === 'absent' ? revision !== undefined : revision !== change.expected) return conflict(change, revision);
    }
    throw fail('SYSTEM_WRONG_ANSWER', { message: 'etcd refused a transaction whose expectations all hold', subject: keys.prefix });
  }
}

function prepare(change: Change): Prepared {
  assert(/^[!-~]+$/.test(change.key), `a key is printable ASCII without spaces: ${change.key}`);
  if (change.kind === 'delete') return { change, value: undefined };
  const text: string | undefined = JSON.stringify(change.value);
  assert(text !== undefined, `the value of ${change.key} is JSON`);
  return { change, value: Buffer.from(text) };
}

/** `executions/ID/events/7` is of the part `executions/ID`. */
const partOf = (key: string): string => key.split('/', 2).join('/');

function conflict(change: Change, revision: number | undefined): HoldfastError {
  const is = revision === undefined ? 'is absent' : `has revision ${revision}`;
  return fail('STATE_CONFLICT', {
    message: `${change.key} ${is}; expected: ${change.expected}`,
    subject: change.key,
    details: { key: change.key, ...(revision === undefined ? {} : { revision }) },
  });
}
