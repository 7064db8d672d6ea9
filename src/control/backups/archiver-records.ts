/** What is known of each continuous archive, in the state: for `status`, `check` and the alarms. */
import type { JsonObject } from '../../base/json.ts';
import type { StateStore } from '../../contracts/state-store.ts';

export interface ArchiverRecord extends JsonObject {
  readonly component: string;
  readonly what: string;
  readonly repository: string;
  readonly state: 'archiving' | 'starting' | 'failing' | 'stopped';
  /** The region that it is archived from. */
  readonly region: string;
  /** Since when it is in this state. */
  readonly sinceMs: number;
  /** When this was last written, by a process that lives. */
  readonly atMs: number;
  /** Everything up to this instant and position is safe. */
  readonly archivedAtMs?: number;
  readonly position?: string;
  readonly error?: { readonly code: string; readonly message: string };
  /** Failures in a row. */
  readonly failures: number;
}

export const archiverRecordPrefix = 'backup-archives/';

export async function readArchiverRecords(store: StateStore): Promise<ReadonlyMap<string, ArchiverRecord>> {
  const entries = await store.range(archiverRecordPrefix);
  return new Map(entries.map((entry) => [entry.key.slice(archiverRecordPrefix.length), entry.value as unknown as ArchiverRecord]));
}
