/**
 * A state store that kills its own process with SIGKILL just before, or just after, the n-th commit of an execution's journal: its header, then each commit that appends
 * events. Every event that was acknowledged to the process is first written down in a file, so that whoever looks afterwards can ask for each of them.
 *
 * With `forget` it acknowledges events without keeping them anywhere but in this process: what a journal that is not durable would do.
 */
import { appendFileSync } from 'node:fs';
import type { Json } from '../../src/base/json.ts';
import type { Change, Entry, StateStore } from '../../src/contracts/state-store.ts';

export interface Crash {
  readonly moment: 'before' | 'after';
  /** From 1. */
  readonly commit: number;
}

export interface CrashingStoreOptions {
  readonly crash: Crash | undefined;
  /** One line for each journal commit that was acknowledged, and one before the end. */
  readonly acknowledgedFile: string;
  readonly forget: boolean;
}

const isHeader = (key: string): boolean => /^executions\/[^/]+$/.test(key);
const isEvent = (key: string): boolean => /^executions\/[^/]+\/events\//.test(key);

export function crashingStore(inner: StateStore, options: CrashingStoreOptions): StateStore {
  const { crash, acknowledgedFile, forget } = options;
  const kept = new Map<string, Entry>();
  let commits = 0;

  const dieAt = async (moment: Crash['moment'], what: readonly string[]): Promise<void> => {
    if (crash?.moment !== moment || crash.commit !== commits) return;
    appendFileSync(acknowledgedFile, `${JSON.stringify({ killed: what })}\n`);
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  };

  /** Nothing of the events reaches the store; what goes with them does. */
  const commitForgetting = async (changes: readonly Change[]): Promise<number> => {
    const others = changes.filter((change) => !isEvent(change.key));
    const revision = others.length > 0 ? await inner.commit(others) : 0;
    for (const change of changes) {
      if (change.kind === 'put' && isEvent(change.key)) kept.set(change.key, { key: change.key, value: change.value, revision });
    }
    return revision;
  };

  const commit = async (changes: readonly Change[]): Promise<number> => {
    const journal = changes.filter((change) => change.kind === 'put' && (isHeader(change.key) || isEvent(change.key)));
    if (journal.length === 0) return inner.commit(changes);
    commits += 1;
    const acknowledgements = journal.map(acknowledgementOf);
    const what = acknowledgements.map((each) => each.what);
    await dieAt('before', what);
    const revision = forget ? await commitForgetting(changes) : await inner.commit(changes);
    appendFileSync(acknowledgedFile, `${JSON.stringify({ acknowledged: acknowledgements })}\n`);
    await dieAt('after', what);
    return revision;
  };

  return {
    commit,
    get: async (key) => kept.get(key) ?? inner.get(key),
    range: async (prefix, rangeOptions) => {
      const entries = await inner.range(prefix, rangeOptions);
      const own = [...kept.values()].filter((entry) => entry.key.startsWith(prefix));
      return own.length === 0 ? entries : [...entries, ...own].sort((left, right) => (left.key < right.key ? -1 : 1));
    },
    watch: (prefix, listener, watchOptions) => inner.watch(prefix, listener, watchOptions),
    acquireLease: (name, holder, ttlMs) => inner.acquireLease(name, holder, ttlMs),
    renewLease: (lease) => inner.renewLease(lease),
    releaseLease: (lease) => inner.releaseLease(lease),
    readLease: (name) => inner.readLease(name),
    close: () => inner.close(),
  };
}

/** A line of the file. */
export interface CrashLine {
  readonly acknowledged?: readonly Acknowledgement[];
  /** The commit that it was killed at. */
  readonly killed?: readonly string[];
}

export interface Acknowledgement {
  readonly key: string;
  /** Of the event: undefined for a header. */
  readonly hash?: string;
  readonly what: string;
}

function acknowledgementOf(change: Change): Acknowledgement {
  const value = (change.kind === 'put' ? change.value : {}) as { hash?: string; type?: string; stepId?: string } & Json;
  const { hash, type, stepId } = value as { hash?: string; type?: string; stepId?: string };
  return {
    key: change.key,
    ...(hash === undefined ? {} : { hash }),
    what: type === undefined ? 'header' : stepId === undefined ? type : `${type} ${stepId}`,
  };
}
