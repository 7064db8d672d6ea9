/**
 * Watches: every change under a prefix, in order, each once, whoever made it, whichever member tells.
 *
 * Invariant: a watch knows the revision up to which it has told everything, and goes on from there: at the same member or another one, after a broken connection or a member that
 * says nothing (it is asked for a sign of life, and left when it gives none). When the cluster no longer keeps the changes since, everything is read and compared with what was told: each
 * entry that is newer is told as a put, each that is gone as a deletion. For that a watch remembers the keys below its prefix, not their values.
 *
 * etcd's own reports of progress are not taken for a position: some versions send them ahead of changes that are still to come (etcd-io/etcd issue 15220). Nothing to lose when the process dies: who resumes names the
 * revision that it had seen.
 */
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { StoreEvent } from '../../contracts/state-store.ts';
import { callFailure, grpcCode, needsToken, storeError } from './etcd-errors.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import type { WatchStream } from './members.ts';
import type { KeyValue, WatchAnswer } from './messages.ts';
import { isCompacted, readEntries } from './read-entries.ts';

interface WatchOptions {
  readonly afterRevision?: number;
  readonly onError?: (error: Error) => void;
}

const retryPauseMs = 50;
const retryPauseMaxMs = 1_000;

export class Watches {
  readonly #cluster: GuardedCluster;
  readonly #watches = new Set<Watch>();

  constructor(cluster: GuardedCluster) {
    this.#cluster = cluster;
    cluster.onCondemned((error) => {
      for (const watch of this.#watches) watch.lose(error);
    });
  }

  add(prefix: string, listener: (event: StoreEvent) => void, options: WatchOptions = {}): () => void {
    const watch = new Watch(this.#cluster, prefix, listener, options, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    void watch.run();
    return () => watch.end();
  }

  close(): void {
    for (const watch of this.#watches) watch.end();
  }
}

class Watch {
  readonly #cluster: GuardedCluster;
  readonly #prefix: string;
  readonly #listener: (event: StoreEvent) => void;
  readonly #onError: ((error: Error) => void) | undefined;
  readonly #onEnd: () => void;
  /** Everything up to it has been told. */
  #position: number;
  /** Changes before the beginning are none of its business, so that a beginning that is no longer kept loses nothing. */
  readonly #fromNow: boolean;
  /** The keys below the prefix at the position, each with its revision; undefined until they were read. */
  #known: Map<string, number> | undefined;
  #stream: WatchStream | undefined;
  #over = false;
  #refusedBefore = false;

  constructor(cluster: GuardedCluster, prefix: string, listener: (event: StoreEvent) => void, options: WatchOptions, onEnd: () => void) {
    this.#cluster = cluster;
    this.#prefix = prefix;
    this.#listener = listener;
    this.#onError = options.onError;
    this.#onEnd = onEnd;
    this.#fromNow = options.afterRevision === undefined;
    this.#position = options.afterRevision ?? cluster.highest;
  }

  end(): void {
    this.#over = true;
    this.#stream?.cancel();
    this.#onEnd();
  }

  lose(error: Error): void {
    if (this.#over) return;
    this.end();
    if (this.#onError === undefined) this.#cluster.host.log.error('state-watch-lost', { prefix: this.#prefix, message: error.message });
    else this.#onError(error);
  }

  /** Ends when the watch is over. */
  async run(): Promise<void> {
    let pauseMs = retryPauseMs;
    while (!this.#over) {
      const { members, host } = this.#cluster;
      const endpoint = members.current;
      const before = this.#position;
      try {
        await this.#learnKeys();
        const ending = this.#over ? undefined : await this.#follow(endpoint);
        if (ending === 'compacted') await this.#catchUp();
      } catch (thrown) {
        const error = storeError(thrown, this.#prefix);
        if (this.#over) return;
        if (error.kind !== 'transient' || error.code === 'STATE_CONFLICT' || error.code === 'INTERRUPTED') {
          this.lose(error);
          return;
        }
        host.log.debug('state-watch-interrupted', { prefix: this.#prefix, endpoint, message: error.message });
        members.leave(endpoint);
      }
      if (this.#over) return;
      pauseMs = this.#position > before ? retryPauseMs : Math.min(pauseMs * 2, retryPauseMaxMs);
      await host.clock.sleep(pauseMs * (0.5 + host.random.next()));
    }
  }

  /** What is there at the position, so that deletions can be told should the changes be gone one day. */
  async #learnKeys(): Promise<void> {
    if (this.#known !== undefined) {
      // Who comes back must not be waiting for a revision that a restored cluster has yet to reach.
      await this.#cluster.ask('KV/Range', { key: this.#cluster.keys.identity, keys_only: true });
      return;
    }
    if (this.#position === 0) {
      this.#known = new Map();
      return;
    }
    try {
      const { kvs } = await readEntries(this.#cluster, this.#prefix, { revision: this.#position, keysOnly: true });
      this.#known = new Map(kvs.map((kv) => [this.#cluster.keys.nameOf(kv.key), Number(kv.mod_revision)]));
    } catch (thrown) {
      if (!isCompacted(thrown)) throw thrown;
      if (!this.#fromNow) throw this.#tooLate();
      this.#known = new Map();
    }
  }

  #tooLate(): HoldfastError {
    return fail('STATE_CONFLICT', {
      message: `changes after revision ${this.#position} are no longer kept`,
      subject: this.#prefix,
      hint: 'Read everything again and watch from the revision read.',
    });
  }

  /** Tells what comes, until the stream ends: then it rejects, or says that what is next is no longer kept. */
  async #follow(endpoint: string): Promise<'compacted'> {
    const { members, keys, host } = this.#cluster;
    const stream = await members.openWatch(endpoint);
    this.#stream = stream;
    if (this.#over) stream.cancel();
    let heard = true;
    let cancelTimer = () => {};
    try {
      return await new Promise<'compacted'>((resolve, reject) => {
        const stayAwake = (silent: number): void => {
          cancelTimer = host.clock.after(members.timeoutMs / 3, () => {
            if (heard) {
              heard = false;
              stayAwake(0);
              return;
            }
            if (silent >= 3) {
              reject(fail('STATE_UNREACHABLE', { message: `${endpoint} gives no sign of life`, subject: this.#prefix }));
              return;
            }
            stream.write({ progress_request: {} });
            stayAwake(silent + 1);
          });
        };
        stream.on('error', (error) => reject(callFailure(error)));
        stream.on('end', () => reject(fail('STATE_UNREACHABLE', { message: `${endpoint} ended the watch`, subject: this.#prefix })));
        stream.on('data', (answer: WatchAnswer) => {
          heard = true;
          try {
            if (this.#take(answer) === 'compacted') resolve('compacted');
          } catch (thrown) {
            reject(thrown);
          }
        });
        stream.write({ create_request: { ...keys.entriesWith(this.#prefix), start_revision: this.#position + 1, progress_notify: true } });
        stayAwake(0);
      });
    } finally {
      cancelTimer();
      stream.cancel();
      this.#stream = undefined;
    }
  }

  #take(answer: WatchAnswer): 'compacted' | undefined {
    if (this.#over) return undefined;
    this.#cluster.note(answer.header);
    if (Number(answer.compact_revision) > 0) return 'compacted';
    if (answer.canceled) throw this.#cancelled(answer.cancel_reason);
    this.#refusedBefore = false;
    for (const { type, kv } of answer.events) {
      const revision = Number(kv.mod_revision);
      if (revision > this.#position) this.#tell(type === 1 ? { ...kv, value: undefined } : kv, revision);
      if (this.#over) return undefined;
    }
    // Only now: one commit may have made several changes under one revision.
    const last = answer.events.at(-1);
    if (last === undefined) return undefined;
    this.#moveTo(Number(last.kv.mod_revision));
    this.#cluster.changed(Number(last.kv.mod_revision));
    return undefined;
  }

  #cancelled(reason: string): Error {
    const failure = callFailure({ code: /permission denied/.test(reason) ? grpcCode.denied : grpcCode.unavailable, details: reason });
    // Some versions say that of a token that has run out, too: only with a new one is it true.
    const mayBeToken = needsToken(failure) || failure.code === grpcCode.denied;
    if (!mayBeToken || this.#refusedBefore) return failure;
    this.#refusedBefore = true;
    this.#cluster.members.dropToken();
    return fail('STATE_UNREACHABLE', { message: `etcd: ${reason}`, subject: this.#prefix });
  }

  #moveTo(revision: number): void {
    this.#position = Math.max(this.#position, revision);
    this.#cluster.saw(revision);
  }

  #tell(kv: { readonly key: Buffer; readonly value: Buffer | undefined }, revision: number): void {
    const key = this.#cluster.keys.nameOf(kv.key);
    if (kv.value === undefined) this.#known?.delete(key);
    else this.#known?.set(key, revision);
    const value = kv.value === undefined ? undefined : (JSON.parse(kv.value.toString('utf8')) as Json);
    try {
      this.#listener({ kind: kv.value === undefined ? 'delete' : 'put', key, value, revision });
    } catch (thrown) {
      this.lose(thrown instanceof Error ? thrown : asHoldfastError(thrown));
    }
  }

  /** The changes since are gone: the difference between what was told and what is there takes their place. */
  async #catchUp(): Promise<void> {
    const known = this.#known;
    if (known === undefined) throw this.#tooLate();
    const { kvs, revision } = await readEntries(this.#cluster, this.#prefix, {});
    if (this.#over) return;
    const present = new Set(kvs.map((kv: KeyValue) => this.#cluster.keys.nameOf(kv.key)));
    const gone = [...known.keys()].filter((key) => !present.has(key));
    const newer = kvs.filter((kv) => Number(kv.mod_revision) > this.#position);
    for (const kv of newer.toSorted((left, right) => Number(left.mod_revision) - Number(right.mod_revision))) {
      this.#tell(kv, Number(kv.mod_revision));
      if (this.#over) return;
    }
    for (const key of gone) {
      this.#tell({ key: this.#cluster.keys.entry(key), value: undefined }, revision);
      if (this.#over) return;
    }
    this.#moveTo(revision);
  }
}
