/**
 * Finished executions beyond a number leave the state, once they are kept elsewhere.
 *
 * Invariant: an execution goes whole, in one commit, and only after its header and journal were kept; never one that has not ended, that somebody still refers to, or whose journal is not what was
 * written (that one is for people to look at). Dying between keeping and trimming leaves it in both places; the next turn does the same again.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Change, StateStore } from '../contracts/state-store.ts';
import type { Log } from '../host/host.ts';
import { journalKeys, loadExecution } from './journal.ts';

export interface TrimRequest {
  /** So many stay, the newest. */
  readonly keep: number;
  /** Ids that stay whatever their age. */
  readonly needed: ReadonlySet<string>;
  /** Resolves once the evidence is where it will be found again. */
  readonly archive: (id: string, evidence: JsonObject) => Promise<void>;
  /** Where that is, for people. */
  readonly place: string;
  readonly mayAct: () => boolean;
  readonly log: Log;
}

export const trimmedKey = 'executions-trimmed';

/** What has left the state so far. */
export interface Trimmed extends JsonObject {
  readonly count: number;
  readonly place: string;
  readonly newestStartedAtMs: number;
}

/** What a store takes in one commit, with room to spare. */
const keysMax = 4_000;

export async function readTrimmed(store: StateStore): Promise<Trimmed | undefined> {
  return (await store.get(trimmedKey))?.value as Trimmed | undefined;
}

/** Resolves to how many it has removed. */
export async function trimExecutions(store: StateStore, request: TrimRequest): Promise<number> {
  const index = await store.range(journalKeys.indexPrefix);
  const old = index.slice(0, Math.max(0, index.length - request.keep));
  let removed = 0;
  for (const entry of old) {
    if (!request.mayAct()) return removed;
    const { id, outcome, startedAtMs } = entry.value as { readonly id: string; readonly outcome?: string; readonly startedAtMs: number };
    if (outcome === undefined || request.needed.has(id)) continue;
    try {
      if (await trimOne(store, id, entry.key, startedAtMs, request)) removed += 1;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      request.log.warn('executions.not-trimmed', { execution: id, code: error.code, message: error.message });
      // Of a journal that is damaged the others know nothing; a place that is away is away for all.
      if (error.code !== 'STATE_DAMAGED') return removed;
    }
  }
  return removed;
}

async function trimOne(store: StateStore, id: string, indexKey: string, startedAtMs: number, request: TrimRequest): Promise<boolean> {
  const { header, events } = await loadExecution(store, id);
  const parts = await Promise.all([store.range(journalKeys.events(id)), store.range(journalKeys.requests(id))]);
  const keys = [indexKey, journalKeys.header(id), ...parts.flat().map(({ key }) => key)];
  if (keys.length > keysMax) {
    request.log.warn('executions.too-large-to-trim', { execution: id, keys: keys.length });
    return false;
  }
  const evidence = { header, events, requests: parts[1].map(({ value }) => value) } as unknown as Json;
  await request.archive(id, evidence as JsonObject);
  const before = await store.get(trimmedKey);
  const count = ((before?.value as Trimmed | undefined)?.count ?? 0) + 1;
  const told: Trimmed = { count, place: request.place, newestStartedAtMs: startedAtMs };
  await store.commit([
    ...keys.map((key): Change => ({ kind: 'delete', key, expected: 'any' })),
    { kind: 'put', key: trimmedKey, value: told, expected: before?.revision ?? 'absent' },
  ]);
  return true;
}
