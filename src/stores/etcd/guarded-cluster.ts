/**
 * The cluster as the store uses it: every answer is checked to come from the cluster and the state that it was opened on, and to be no older than what was seen before.
 *
 * Invariant: once an answer shows another cluster or a revision that goes back, nothing more is asked: every later call fails with that error, and so do the watches. Reads that go
 * through here are linearizable. Dying here loses at most a few seconds of what the machine remembers.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import { formatSize } from '../../base/sizes.ts';
import type { Host } from '../../host/host.ts';
import { CallFailure, storeError } from './etcd-errors.ts';
import { emptied, faultOf, type Identity, identityFormat, type Memory, MemoryFile, parseIdentity, wentBack } from './identity.ts';
import { Keys } from './keys.ts';
import type { CallOptions, Members } from './members.ts';
import type { Answer, Calls, Compare, Header, KeyValue } from './messages.ts';

export interface ClusterOptions {
  readonly host: Host;
  readonly members: Members;
  readonly platform: string;
  readonly prefix: string;
  /** Where this machine keeps what it has seen of the state. */
  readonly directory: string;
}

const rememberEveryMs = 2_000;
/** A member that has just come back may answer from before what others have seen: a state went back only where it goes on to say so, whoever is asked. */
const olderAnswers = 4;
const olderPauseMs = 300;

export class GuardedCluster {
  readonly keys: Keys;
  readonly members: Members;
  readonly host: Host;
  readonly #memory: MemoryFile;
  readonly #listeners = new Set<(error: HoldfastError) => void>();
  identity: Identity;
  /** Unchanged as long as nobody has accepted, moved or replaced the state. */
  readonly #identityRevision: number;
  #highest: number;
  #newestChange = 0;
  #remembered: number;
  #condemned: HoldfastError | undefined;
  #cancelRemember: (() => void) | undefined;
  #remembering: Promise<void> = Promise.resolve();

  /** With `create` an identity is made where there is nothing at all below the prefix. */
  static open(options: ClusterOptions, { create }: { readonly create: boolean }): Promise<GuardedCluster> {
    return GuardedCluster.#open(options, create, 1);
  }

  static async #open(options: ClusterOptions, create: boolean, tries: number): Promise<GuardedCluster> {
    const { prefix, platform } = options;
    const memory = new MemoryFile(options.host, options.directory, prefix);
    const remembered = await memory.read();
    let found = await readIdentity(options.members, prefix);
    if (found.identity === undefined) {
      if (remembered !== undefined) throw emptied(prefix, remembered);
      if (!create)
        throw fail('NOT_FOUND', {
          message: `there is no state below ${prefix} in etcd, and this machine has an embedded one`,
          subject: prefix,
          hint: 'Run holdfast state copy --to etcd; or, to begin anew, move state.sqlite out of the state directory.',
        });
      await createIdentity(options, found.header.cluster_id);
      found = await readIdentity(options.members, prefix);
    }
    const { identity, kv, header } = found;
    if (identity === undefined || kv === undefined)
      throw fail('STATE_CONFLICT', { message: `the state below ${prefix} was removed while it was opened`, subject: prefix });
    const fault = faultOf({ identity, clusterId: header.cluster_id, revision: Number(header.revision) }, platform, remembered, prefix);
    if (fault?.code === 'STATE_WENT_BACK' && tries < olderAnswers) {
      await askAnother(options);
      return GuardedCluster.#open(options, create, tries + 1);
    }
    if (fault !== undefined) throw fault;
    const cluster = new GuardedCluster(options, memory, identity, Number(kv.mod_revision), Number(header.revision));
    cluster.changed(Number(found.pulse?.mod_revision ?? 0));
    await cluster.#remember();
    return cluster;
  }

  private constructor(options: ClusterOptions, memory: MemoryFile, identity: Identity, identityRevision: number, highest: number) {
    this.keys = new Keys(options.prefix);
    this.members = options.members;
    this.host = options.host;
    this.identity = identity;
    this.#memory = memory;
    this.#identityRevision = identityRevision;
    this.#highest = highest;
    this.#remembered = 0;
  }

  /** The highest revision that any answer carried. */
  get highest(): number {
    return this.#highest;
  }

  /** What every change is bound to: that the state is still the one that was opened, and that the newest change that was seen is in it. A state that went back takes no change. */
  get guards(): readonly Compare[] {
    return [
      { result: 0, target: 2, key: this.keys.identity, mod_revision: this.#identityRevision },
      { result: 1, target: 2, key: this.keys.pulse, mod_revision: this.#newestChange - 1 },
    ];
  }

  /** A change of this revision was made: the pulse has it, or a newer one. */
  changed(revision: number): void {
    this.#newestChange = Math.max(this.#newestChange, revision);
  }

  /** Throws when what stood at the keys of the guards is not what they expect. */
  requireGuards(identity: KeyValue | undefined, pulse: KeyValue | undefined): void {
    if (identity === undefined || Number(identity.mod_revision) !== this.#identityRevision) throw this.#condemnForIdentity(identity);
    const revision = Number(pulse?.mod_revision ?? 0);
    if (revision < this.#newestChange) throw this.condemn(wentBack(this.keys.prefix, revision, this.#newestChange));
  }

  /** Errors are HoldfastErrors. */
  async ask<K extends keyof Calls>(name: K, request: Calls[K][0], options: CallOptions = {}): Promise<Calls[K][1]> {
    if (this.#condemned) throw this.#condemned;
    const floor = this.#highest;
    let answer: Calls[K][1];
    try {
      answer = await this.members.call(name, request, options);
      // What changes something is bound to the newest change that was seen, and is not asked twice.
      for (let tries = 1; tries < olderAnswers && name.startsWith('KV/') && !options.change && isOlder(answer, floor); tries += 1) {
        await askAnother(this);
        answer = await this.members.call(name, request, options);
      }
    } catch (thrown) {
      const error = storeError(thrown, this.keys.prefix, options.change ? 'change' : undefined);
      throw error.code === 'STATE_FULL' ? await this.#withSize(error) : error;
    }
    const { header } = answer as Partial<Answer>;
    // Some versions send none with a list of alarms.
    if (header) this.note(header, name.startsWith('KV/') ? floor : undefined);
    return answer;
  }

  /** How large it is, for whoever has to make room. Not all versions tell their quota. */
  async #withSize(error: HoldfastError): Promise<HoldfastError> {
    try {
      const { dbSize, dbSizeInUse, dbSizeQuota } = await this.members.call('Maintenance/Status', {});
      const [sizeBytes, inUseBytes, quotaBytes] = [dbSize, dbSizeInUse, dbSizeQuota].map(Number) as [number, number, number];
      const quota = quotaBytes > 0 ? ` of ${formatSize(quotaBytes)}` : '';
      return fail('STATE_FULL', {
        message: `${error.message}: it has ${formatSize(sizeBytes)}${quota}, ${formatSize(inUseBytes)} of it in use`,
        hint: error.hint,
        subject: this.keys.prefix,
        details: { sizeBytes, inUseBytes, ...(quotaBytes > 0 ? { quotaBytes } : {}) },
        cause: error,
      });
    } catch {
      // That it is full is what matters.
      return error;
    }
  }

  /** `floor`: what was seen before the question was sent, where the answer must not be older. */
  note(header: Header, floor?: number): void {
    if (this.#condemned) throw this.#condemned;
    if (header.cluster_id !== this.identity.clusterId) {
      throw this.condemn(
        fail('STATE_OTHER_CLUSTER', {
          message: `cluster ${header.cluster_id} answers in place of cluster ${this.identity.clusterId}`,
          subject: this.keys.prefix,
          details: { clusterId: header.cluster_id },
        }),
      );
    }
    if (floor === undefined) return;
    const revision = Number(header.revision);
    if (revision < floor) throw this.condemn(wentBack(this.keys.prefix, revision, floor));
    this.saw(revision);
  }

  /** This revision exists. */
  saw(revision: number): void {
    if (revision <= this.#highest) return;
    this.#highest = revision;
    this.#cancelRemember ??= this.host.clock.after(rememberEveryMs, () => {
      this.#cancelRemember = undefined;
      void this.#remember();
    });
  }

  /** The record of the identity is another one, or gone. */
  #condemnForIdentity(kv: KeyValue | undefined): HoldfastError {
    const message =
      kv === undefined
        ? 'the state was removed while it was in use'
        : 'the state was accepted anew or replaced by a person while it was in use';
    return this.condemn(fail('STATE_WENT_BACK', { message, subject: this.keys.prefix, hint: 'Start this process again.' }));
  }

  condemn(error: HoldfastError): HoldfastError {
    if (this.#condemned) return this.#condemned;
    this.#condemned = error;
    this.host.log.error('state-refused', { code: error.code, message: error.message });
    for (const listener of this.#listeners) listener(error);
    return error;
  }

  onCondemned(listener: (error: HoldfastError) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#cancelRemember?.();
    this.#cancelRemember = undefined;
    await this.#remember();
    this.members.close();
  }

  /** One after the other: two at once could leave the older one behind. */
  #remember(): Promise<void> {
    this.#remembering = this.#remembering.then(async () => {
      const highest = this.#highest;
      if (highest === this.#remembered) return;
      try {
        await this.#memory.write(this.identity, highest);
        this.#remembered = highest;
      } catch (error) {
        this.host.log.error('state-revision-not-remembered', { message: String(error) });
      }
    });
    return this.#remembering;
  }
}

function isOlder(answer: unknown, floor: number): boolean {
  const { header } = answer as Partial<Answer>;
  return header !== undefined && Number(header.revision) < floor;
}

async function askAnother({ members, host }: Pick<ClusterOptions, 'members' | 'host'>): Promise<void> {
  members.leave(members.current);
  await host.clock.sleep(olderPauseMs);
}

interface ReadIdentity {
  readonly identity: Identity | undefined;
  readonly kv: KeyValue | undefined;
  readonly pulse: KeyValue | undefined;
  readonly header: Header;
}

async function readIdentity(members: Members, prefix: string): Promise<ReadIdentity> {
  try {
    const keys = new Keys(prefix);
    const success = [{ request_range: { key: keys.identity } }, { request_range: { key: keys.pulse } }];
    const answer = await members.call('KV/Txn', { compare: [], success, failure: [] });
    const [kv, pulse] = answer.responses.map(({ response_range }) => response_range?.kvs[0]);
    return { identity: kv && parseIdentity(kv.value, prefix), kv, pulse, header: answer.header };
  } catch (thrown) {
    throw storeError(thrown, prefix);
  }
}

export function newIdentity(host: Host, platform: string, clusterId: string, tokenBase = 0): Identity {
  const stateId = Buffer.from(host.random.bytes(16)).toString('hex');
  return { format: identityFormat, platform, stateId, clusterId, tokenBase, generation: 1 };
}

async function createIdentity({ members, host, platform, prefix }: ClusterOptions, clusterId: string): Promise<void> {
  const keys = new Keys(prefix);
  const value = Buffer.from(JSON.stringify(newIdentity(host, platform, clusterId)));
  try {
    const answer = await members.call('KV/Txn', {
      compare: [{ result: 0, target: 1, ...keys.all, create_revision: 0 }],
      success: [{ request_put: { key: keys.identity, value } }],
      failure: [{ request_range: { key: keys.copying } }, { request_range: { key: keys.identity } }],
    });
    const [copying, identity] = answer.responses.map(({ response_range }) => response_range?.kvs[0]);
    // Another process may have been first.
    if (answer.succeeded || identity !== undefined) return;
    throw fail('STATE_NOT_EMPTY', {
      message:
        copying === undefined
          ? `below ${prefix} are keys that are none of Holdfast's`
          : `a state was being copied to ${prefix}, and that was not finished`,
      subject: prefix,
      ...(copying === undefined ? {} : { hint: 'Run holdfast state copy --to etcd again where the embedded state is.' }),
    });
  } catch (thrown) {
    if (thrown instanceof CallFailure) throw storeError(thrown, prefix);
    throw thrown;
  }
}

/** Revisions of a state that went back begin below those that tokens were made of; nobody knows how many other machines have seen. */
const tokenLeap = 1_000_000_000;

/** A person says that the state is to be worked with as it is now. Resolves to what was the matter; USAGE when nothing is. */
export async function acceptState(options: ClusterOptions, by: string, reason: string): Promise<HoldfastError> {
  const { prefix, platform, members, host } = options;
  const memory = new MemoryFile(host, options.directory, prefix);
  const remembered = await memory.read();
  const { identity, kv, header } = await readIdentity(members, prefix);
  const revision = Number(header.revision);
  const fault =
    identity !== undefined
      ? faultOf({ identity, clusterId: header.cluster_id, revision }, platform, remembered, prefix)
      : remembered && emptied(prefix, remembered);
  if (fault === undefined)
    throw fail('USAGE', { message: 'there is nothing to accept: the state is as it was', hint: 'See holdfast state show.' });
  if (fault.code !== 'STATE_WENT_BACK' && fault.code !== 'STATE_OTHER_CLUSTER') throw fault;
  const known: readonly (Identity | Memory)[] = [identity, remembered].filter((each) => each !== undefined);
  const accepted: Identity = {
    ...(identity ?? newIdentity(host, platform, header.cluster_id)),
    clusterId: header.cluster_id,
    generation: Math.max(...known.map(({ generation }) => generation)) + 1,
    tokenBase: Math.max(...known.map(({ tokenBase }) => tokenBase)) + Math.max(revision, remembered?.highestRevision ?? 0) + tokenLeap,
    accepted: { by, reason, atMs: host.clock.nowMs(), because: fault.message },
  };
  const key = new Keys(prefix).identity;
  const compare: Compare = kv
    ? { result: 0, target: 2, key, mod_revision: Number(kv.mod_revision) }
    : { result: 0, target: 1, key, create_revision: 0 };
  const value = Buffer.from(JSON.stringify(accepted));
  const answer = await members
    .call('KV/Txn', { compare: [compare], success: [{ request_put: { key, value } }], failure: [] }, { change: true })
    .catch((thrown) => Promise.reject(storeError(thrown, prefix, 'change')));
  if (!answer.succeeded) throw fail('STATE_CONFLICT', { message: 'somebody else has just accepted it', subject: prefix });
  await memory.write(accepted, Number(answer.header.revision));
  return fault;
}

export type { Memory };
