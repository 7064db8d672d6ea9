/**
 * Leases: a key that hangs on a lease of etcd says who holds it now, another one who held it last.
 *
 * Invariant: at no instant do two holders of one name both have a Lease whose `validUntilMonotonicMs` lies ahead; the token grows whenever it changes hands. The token is the revision
 * at which the held key was created (above a base that a person's acceptance of an older state raises): revisions are agreed on by a majority, and no change of leader takes them back.
 *
 * Why the times hold. A holder counts from before it sent its request, by its own steady clock; etcd counts from when the leader had it, so etcd's time is over later. A leader that is
 * deposed without knowing it (it was stopped, or cut off) answers a keep-alive by itself, while its successor counts on from its own election: such an answer promises time that nobody
 * keeps. So a keep-alive counts only if a read that the majority confirms *afterwards* shows the held key still there under the same term of leadership as the member
 * knew when it passed the keep-alive on. Two short questions, and no new revision.
 *
 * When the process dies, its leases run out; the same holder gets them back under the same token before that.
 */
import { assert } from '../../base/assert.ts';
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import type { Lease, LeaseInfo } from '../../contracts/state-store.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import type { Compare, KeyValue } from './messages.ts';

interface Held {
  readonly holder: string;
  readonly token: number;
  /** Of etcd. */
  readonly leaseId: string;
  /** The term of leadership in which this was read. */
  readonly term: string;
}

interface Kept {
  readonly lease?: Lease;
  /** The leader knows no such lease; its key goes any moment. */
  readonly isOver?: boolean;
}

/** A leader may change again meanwhile, but not for ever. */
const attemptsMax = 4;
const pauseMs = 50;

export class Leases {
  readonly #cluster: GuardedCluster;
  /** By name and token: the lease of etcd that ours hangs on. */
  readonly #ids = new Map<string, string>();

  constructor(cluster: GuardedCluster) {
    this.#cluster = cluster;
  }

  /** @param isNew nobody can be holding it: it is taken without a look at who does, and looked at only where that fails */
  async acquire(name: string, holder: string, ttlMs: number, isNew = false): Promise<Lease> {
    const taken = isNew ? await this.#take(name, holder, ttlMs) : undefined;
    if (taken !== undefined) return taken;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const held = await this.#readHeld(name);
      if (held !== undefined && held.holder !== holder) throw heldBy(name, held);
      const lease = held === undefined ? await this.#take(name, holder, ttlMs) : await this.#keep(name, held, ttlMs);
      if (lease !== undefined) return lease;
      await this.#pause(attempt);
    }
    throw fail('STATE_UNREACHABLE', { message: `the lease ${name} changes hands all the time, or its leader does`, subject: name });
  }

  /** Undefined: somebody else was faster, or the leader changed; look again. */
  async #take(name: string, holder: string, ttlMs: number): Promise<Lease | undefined> {
    const { keys, guards } = this.#cluster;
    const askedMs = this.#cluster.host.clock.monotonicMs();
    const leaseId = await this.#grant(ttlMs);
    const isFree: Compare = { result: 0, target: 1, key: keys.held(name), create_revision: 0 };
    const request = {
      compare: [...guards, isFree],
      success: [
        { request_put: { key: keys.held(name), value: Buffer.from(holder), lease: leaseId } },
        { request_put: { key: keys.lease(name), value: Buffer.from(JSON.stringify({ holder })) } },
      ],
      failure: [{ request_range: { key: keys.identity } }, { request_range: { key: keys.pulse } }],
    };
    let token: number;
    try {
      const answer = await this.#cluster.ask('KV/Txn', request, { change: true });
      if (!answer.succeeded) {
        await this.#revoke(leaseId);
        const [identity, pulse] = answer.responses.map(({ response_range }) => response_range?.kvs[0]);
        this.#cluster.requireGuards(identity, pulse);
        return undefined;
      }
      token = this.#tokenOf(Number(answer.header.revision));
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      // Nobody else can have put a key on this very lease: whether it hangs there says what became of the request.
      const held = error.kind === 'unknown-outcome' ? await this.#readHeld(name) : undefined;
      if (held?.leaseId !== leaseId) throw error;
      token = held.token;
    }
    this.#ids.set(`${name} ${token}`, leaseId);
    return { name, holder, token, ttlMs, validUntilMonotonicMs: askedMs + ttlMs };
  }

  /** The holder asks again: its lease goes on, for the longer of the two times. */
  async #keep(name: string, held: Held, ttlMs: number): Promise<Lease | undefined> {
    const { keys, guards } = this.#cluster;
    const about = await this.#cluster.ask('Lease/LeaseTimeToLive', { ID: held.leaseId });
    const granted = Number((about as { readonly grantedTTL?: string }).grantedTTL ?? 0) * 1_000;
    if (granted >= ttlMs) {
      const again = { name, holder: held.holder, token: held.token, ttlMs, validUntilMonotonicMs: 0 };
      return (await this.#confirm(again, held.leaseId)).lease;
    }
    const askedMs = this.#cluster.host.clock.monotonicMs();
    const leaseId = await this.#grant(ttlMs);
    // Safe to do twice: it puts the same value on the same lease.
    const answer = await this.#cluster.ask('KV/Txn', {
      compare: [...guards, ...this.guardOf({ name, holder: held.holder, token: held.token })],
      success: [{ request_put: { key: keys.held(name), value: Buffer.from(held.holder), lease: leaseId } }],
      failure: [],
    });
    await this.#revoke(answer.succeeded ? held.leaseId : leaseId);
    if (!answer.succeeded) return undefined;
    this.#ids.set(`${name} ${held.token}`, leaseId);
    return { name, holder: held.holder, token: held.token, ttlMs, validUntilMonotonicMs: askedMs + ttlMs };
  }

  async renew(lease: Lease): Promise<Lease> {
    let kept: Kept = {};
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const leaseId = this.#ids.get(`${lease.name} ${lease.token}`) ?? (await this.#requireHeld(lease)).leaseId;
      kept = await this.#confirm(lease, leaseId);
      if (kept.lease !== undefined) return kept.lease;
      await this.#pause(attempt);
    }
    if (kept.isOver === true) throw lost(lease.name, undefined);
    throw fail('STATE_UNREACHABLE', {
      message: `the leader of etcd changed again and again while ${lease.name} was renewed`,
      subject: lease.name,
    });
  }

  /** Without a lease: it can't be told whether the keep-alive counts. STATE_LEASE_LOST when another holds it, or nobody. */
  async #confirm(lease: Lease, leaseId: string): Promise<Kept> {
    const askedMs = this.#cluster.host.clock.monotonicMs();
    const kept = await this.#cluster.ask('Lease/LeaseKeepAlive', { ID: leaseId });
    const held = await this.#requireHeld(lease);
    this.#ids.set(`${lease.name} ${lease.token}`, held.leaseId);
    const secondsLeft = Number(kept.TTL);
    if (secondsLeft <= 0) return { isOver: true };
    const isConfirmed = held.leaseId === leaseId && held.term === kept.header.raft_term && secondsLeft * 1_000 >= lease.ttlMs;
    return isConfirmed ? { lease: { ...lease, validUntilMonotonicMs: askedMs + lease.ttlMs } } : {};
  }

  async #pause(attempt: number): Promise<void> {
    await this.#cluster.host.clock.sleep(attempt * pauseMs);
  }

  async release(lease: Lease): Promise<void> {
    const held = await this.#readHeld(lease.name);
    if (held === undefined || held.token !== lease.token || held.holder !== lease.holder) return;
    // Safe to do twice: the next one to hold it has another token.
    await this.#cluster.ask('KV/Txn', {
      compare: this.guardOf(lease),
      success: [{ request_delete_range: { key: this.#cluster.keys.held(lease.name) } }],
      failure: [],
    });
    this.#ids.delete(`${lease.name} ${lease.token}`);
    await this.#revoke(held.leaseId);
  }

  async read(name: string): Promise<LeaseInfo | undefined> {
    const { keys } = this.#cluster;
    const answer = await this.#cluster.ask('KV/Txn', {
      compare: [],
      success: [{ request_range: { key: keys.lease(name) } }, { request_range: { key: keys.held(name), keys_only: true } }],
      failure: [],
    });
    const [record, held] = answer.responses.map(({ response_range }) => response_range?.kvs[0]);
    return record && this.#infoOf(name, record, held);
  }

  async readAll(): Promise<readonly LeaseInfo[]> {
    const { keys } = this.#cluster;
    const answer = await this.#cluster.ask('KV/Txn', {
      compare: [],
      success: [{ request_range: keys.leases }, { request_range: { ...keys.allHeld, keys_only: true } }],
      failure: [],
    });
    const [records, held] = answer.responses.map(({ response_range }) => response_range?.kvs ?? []);
    const stem = keys.lease('').length;
    const heldByName = new Map((held ?? []).map((kv) => [kv.key.toString('utf8', keys.held('').length), kv]));
    return (records ?? []).map((record) => {
      const name = record.key.toString('utf8', stem);
      return this.#infoOf(name, record, heldByName.get(name));
    });
  }

  /** What must hold for a change under the lease. */
  guardOf({ name, holder, token }: Pick<Lease, 'name' | 'holder' | 'token'>): readonly Compare[] {
    const key = this.#cluster.keys.held(name);
    return [
      { result: 0, target: 1, key, create_revision: Math.max(0, token - this.#cluster.identity.tokenBase) || -1 },
      { result: 0, target: 3, key, value: Buffer.from(holder) },
    ];
  }

  #infoOf(name: string, record: KeyValue, held: KeyValue | undefined): LeaseInfo {
    const { holder } = JSON.parse(record.value.toString('utf8')) as { holder: string };
    return { name, holder, token: this.#tokenOf(Number(record.mod_revision)), held: held !== undefined };
  }

  #tokenOf(revision: number): number {
    return this.#cluster.identity.tokenBase + revision;
  }

  async #readHeld(name: string): Promise<Held | undefined> {
    const answer = await this.#cluster.ask('KV/Range', { key: this.#cluster.keys.held(name) });
    const kv = answer.kvs[0];
    if (kv === undefined) return undefined;
    const token = this.#tokenOf(Number(kv.create_revision));
    return { holder: kv.value.toString('utf8'), token, leaseId: kv.lease, term: answer.header.raft_term };
  }

  async #requireHeld(lease: Lease): Promise<Held> {
    const held = await this.#readHeld(lease.name);
    if (held !== undefined && held.holder === lease.holder && held.token === lease.token) return held;
    this.#ids.delete(`${lease.name} ${lease.token}`);
    throw lost(lease.name, held?.holder);
  }

  async #grant(ttlMs: number): Promise<string> {
    const granted = await this.#cluster.ask('Lease/LeaseGrant', { TTL: Math.ceil(ttlMs / 1_000) });
    assert(Number(granted.TTL) * 1_000 >= ttlMs, 'etcd grants no less than it was asked for');
    return granted.ID;
  }

  /** Nothing hangs on it any more. What can't be revoked now runs out. */
  async #revoke(leaseId: string): Promise<void> {
    await this.#cluster.ask('Lease/LeaseRevoke', { ID: leaseId }).catch((thrown) => {
      this.#cluster.host.log.debug('state-lease-not-revoked', { message: asHoldfastError(thrown).message });
    });
  }
}

function heldBy(name: string, { holder, token }: Held): HoldfastError {
  return fail('STATE_LEASE_HELD', { message: `${holder} holds the lease ${name}`, subject: name, details: { holder, token } });
}

export function lost(name: string, holder: string | undefined): HoldfastError {
  return fail('STATE_LEASE_LOST', {
    message: holder === undefined ? `the lease ${name} has run out` : `${holder} holds the lease ${name} now`,
    subject: name,
    ...(holder === undefined ? {} : { details: { holder } }),
  });
}
