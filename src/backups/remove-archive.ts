/**
 * Removes logs from the archive of a history: those before a given one, or those between two. History files stay: without them nobody knows how the timelines hang together.
 *
 * Invariant: a log goes only if both its name and its place in the log are between the given ones, so logs of another timeline that a backup may need are left. What is taken out of the
 * middle is recorded as a hole before the first log goes: no restore takes it for the end of the log, wherever this dies. The next run takes what is left.
 */
import { writeGap } from './gaps.ts';
import { archivePrefix, encodeLogName, parseLogObject, recordPrefix } from './object-names.ts';
import { readRecord } from './record-objects.ts';
import type { GapRecord } from './records.ts';
import { RemovalCount, type Removed, removeObject } from './remove-objects.ts';
import type { RepositoryParts } from './repository-parts.ts';

const segmentName = /^([0-9A-F]{8})([0-9A-F]{16})(?:\.|$)/;

export interface LogCut {
  readonly after?: string;
  readonly before: string;
}

export async function removeArchive(parts: RepositoryParts, component: string, identity: string, cut: LogCut): Promise<Removed> {
  const { store } = parts;
  const count = new RemovalCount();
  if (cut.after !== undefined && !(await recordHole(parts, component, identity, { ...cut, after: cut.after }))) return count.result();
  for await (const { object } of listIn(parts, archivePrefix(component, identity), cut)) await removeObject(store, object, count);
  return count.result();
}

/** Whether there is anything that the cut would take. */
export async function hasLogs(parts: RepositoryParts, component: string, identity: string, cut: LogCut): Promise<boolean> {
  for await (const _ of listIn(parts, archivePrefix(component, identity), cut)) return true;
  return false;
}

const isIn = (name: string, { after, before }: LogCut): boolean => isBefore(name, before) && (after === undefined || isBefore(after, name));

/** In the order of names, and no further than to where the cut ends. */
async function* listIn({ store }: RepositoryParts, prefix: string, cut: LogCut) {
  const from = cut.after === undefined ? {} : { after: prefix + encodeLogName(cut.after) };
  for await (const object of store.backend.list(prefix, from)) {
    const { name } = parseLogObject(object.name.slice(prefix.length));
    if (isIn(name, cut)) yield { object, name };
    else if (segmentName.test(name) && segmentName.test(cut.before) && name >= cut.before) return;
  }
}

/** False: there is nothing to remove. */
async function recordHole(parts: RepositoryParts, component: string, identity: string, cut: Required<LogCut>): Promise<boolean> {
  const { store } = parts;
  let [from, to] = ['', ''];
  for await (const { name } of listIn(parts, archivePrefix(component, identity), cut)) {
    if (name.includes('.')) continue;
    if (from === '' || name < from) from = name;
    if (name > to) to = name;
  }
  if (from === '') return false;
  // A store that keeps the logs locked leaves them there for now: the hole is known already.
  for await (const { name } of store.backend.list(recordPrefix('gaps', component, identity))) {
    const known = (await readRecord(parts, 'gaps', name)) as GapRecord;
    if (known.byRetention && known.from <= from && known.to >= to) return true;
  }
  const atMs = store.host.clock.nowMs();
  const why = `removed: no backup that was kept needed it any more (after ${cut.after} and before ${cut.before})`;
  await writeGap(parts, { component, identity, from, to, why, atMs, byRetention: true, acknowledged: { by: 'retention', atMs } });
  await store.backend.barrier();
  return true;
}

export function isBefore(name: string, first: string): boolean {
  if (name.endsWith('.history')) return false;
  const place = segmentName.exec(name)?.[2];
  const firstPlace = segmentName.exec(first)?.[2];
  if (place !== undefined && firstPlace !== undefined) return place < firstPlace && name < first;
  return place === undefined && firstPlace === undefined && name < first;
}
