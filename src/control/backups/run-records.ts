/** What was begun last of each schedule, in the state. Written in the commit that begins it, so that after a death a run is either there with its record, or neither. */
import type { JsonObject } from '../../base/json.ts';
import type { Change, StateStore } from '../../contracts/state-store.ts';
import { journalKeys, loadExecution } from '../../state/journal.ts';
import { putRecord } from '../../watch/watch-records.ts';
import type { LastRun } from './compute-due.ts';

export interface RunRecord extends JsonObject {
  readonly beganMs: number;
  readonly execution: string;
  /** How many were begun so far, this one included. */
  readonly count: number;
}

const prefix = 'backup-runs/';

export const runRecordChange = (id: string, record: RunRecord): Change => putRecord(`${prefix}${id}`, record);

export async function readRunRecords(store: StateStore): Promise<ReadonlyMap<string, RunRecord>> {
  const entries = await store.range(prefix);
  return new Map(entries.map((entry) => [entry.key.slice(prefix.length), entry.value as unknown as RunRecord]));
}

/** How the run stands. One that has ended never changes again: `ended` remembers those that were looked at. */
export async function readLastRun(store: StateStore, record: RunRecord, ended: Map<string, LastRun>): Promise<LastRun> {
  const known = ended.get(record.execution);
  if (known) return known;
  const { beganMs, execution } = record;
  if ((await store.get(journalKeys.open(execution))) !== undefined) return { beganMs, state: 'running' };
  const { state } = await loadExecution(store, execution);
  const last: LastRun = {
    beganMs,
    state: state.outcome === 'done' ? 'done' : 'failed',
    ...(state.endedAtMs === undefined ? {} : { endedMs: state.endedAtMs }),
  };
  ended.set(execution, last);
  return last;
}

/** Whether it has ever ended well, as far as is known: of an earlier one than the last, only that there was one. */
export const wasEverDone = (record: RunRecord | undefined, last: LastRun | undefined): boolean =>
  record !== undefined && (record.count > 1 || last?.state === 'done');

const sincePrefix = 'backup-since/';

/** Remembers since when each schedule is asked for: what comes first of it counts from there, and a first backup has its time, and no more. */
export async function rememberSince(ids: readonly string[], store: StateStore, nowMs: number): Promise<void> {
  for (const id of ids)
    if ((await store.get(`${sincePrefix}${id}`)) === undefined) await store.commit([putRecord(`${sincePrefix}${id}`, { atMs: nowMs })]);
}

/** Since when each schedule is asked for; those that nobody ever served are not in it. */
export async function readSince(store: StateStore): Promise<ReadonlyMap<string, number>> {
  const entries = await store.range(sincePrefix);
  return new Map(entries.map((entry) => [entry.key.slice(sincePrefix.length), Number((entry.value as JsonObject).atMs)]));
}
