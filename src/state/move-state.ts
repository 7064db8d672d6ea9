/**
 * An embedded state moves to a store that several controllers share.
 *
 * Invariant: at no instant do two states count. The embedded one is marked before anything is copied (from then on nobody opens it), the copy is compared with it entry by entry, the mark is
 * made final, and only then does the copy become the state. What fails before that takes the mark away, and everything is as it was. After a death in between, the same command goes on; until then
 * neither is served.
 */
import { asHoldfastError, fail } from '../base/errors.ts';
import { hashJson } from '../base/hashing.ts';
import { makeId } from '../base/ids.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { ImportedEntry, StateImport } from '../contracts/state-import.ts';
import type { Entry, StateStore } from '../contracts/state-store.ts';
import type { Host } from '../host/host.ts';
import { listOpenExecutions } from './journal.ts';

const movedKey = 'moved';
/** etcd takes 1.5 MiB at once, and 128 changes. */
const chunkBytesMax = 400_000;
const chunkEntriesMax = 100;

interface Mark extends JsonObject {
  readonly copyId: string;
  readonly to: string;
  readonly by: string;
  readonly atMs: number;
  readonly complete: boolean;
}

export interface Moved {
  readonly entries: number;
  readonly bytes: number;
  readonly to: string;
  /** Of all keys and values: the same on both sides. */
  readonly digest: string;
}

/** STATE_MOVED when the embedded state is one no more. */
export async function refuseMoved(store: StateStore): Promise<void> {
  const mark = (await store.get(movedKey))?.value as Mark | undefined;
  if (mark === undefined) return;
  throw fail('STATE_MOVED', {
    message: mark.complete
      ? `the state was moved to ${mark.to} by ${mark.by}`
      : `the state is being moved to ${mark.to}, and that has not ended`,
    ...(mark.complete
      ? {}
      : { hint: 'Run holdfast state copy --to etcd again, or holdfast state copy --abandon to stay with the embedded state.' }),
    details: { to: mark.to, complete: mark.complete },
  });
}

/** Takes back a move that has not ended. USAGE when there is none. */
export async function abandonMove(store: StateStore): Promise<void> {
  const entry = await store.get(movedKey);
  const mark = entry?.value as Mark | undefined;
  if (entry === undefined || mark === undefined)
    throw fail('USAGE', { message: 'no copy was begun', hint: 'There is nothing to abandon.' });
  if (mark.complete) throw fail('STATE_MOVED', { message: `the state was moved to ${mark.to}: nothing can be taken back here` });
  await store.commit([{ kind: 'delete', key: movedKey, expected: entry.revision }]);
}

export async function moveState(
  from: StateStore,
  into: StateImport,
  who: { readonly by: string; readonly host: Pick<Host, 'clock' | 'random'> },
): Promise<Moved> {
  const { mark, revision } = await putMark(from, into, who);
  let complete = mark.complete;
  try {
    await refuseRunning(from);
    const entries = (await from.range('')).filter(({ key }) => key !== movedKey);
    if ((await into.begin(mark.copyId)) === 'ready') {
      for (const chunk of chunksOf(entries)) await into.add(chunk);
      await compare(entries, await into.read());
      await requireUnchanged(from, entries);
      // Written under the revision of the mark: somebody who abandoned the move meanwhile stops it here.
      if (!complete) await from.commit([{ kind: 'put', key: movedKey, value: { ...mark, complete: true }, expected: revision }]);
      complete = true;
      await into.finish(mark.copyId);
    } else if (!complete) {
      await from.commit([{ kind: 'put', key: movedKey, value: { ...mark, complete: true }, expected: revision }]);
    }
    const told = entries.map(({ key, value }) => [key, value] as const);
    return { entries: entries.length, bytes: sizeOf(entries), to: into.place, digest: hashJson(told as unknown as Json) };
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (complete)
      throw fail(error.code, {
        message: error.message,
        hint: 'Run holdfast state copy --to etcd again: it goes on where it was.',
        cause: thrown,
      });
    await from.commit([{ kind: 'delete', key: movedKey, expected: 'any' }]);
    throw thrown;
  }
}

async function putMark(
  from: StateStore,
  into: StateImport,
  { by, host }: { readonly by: string; readonly host: Pick<Host, 'clock' | 'random'> },
): Promise<{ readonly mark: Mark; readonly revision: number }> {
  const entry = await from.get(movedKey);
  const before = entry?.value as Mark | undefined;
  if (entry !== undefined && before !== undefined) {
    if (before.to === into.place) return { mark: before, revision: entry.revision };
    throw fail('STATE_MOVED', { message: `the state was moved to ${before.to}, or is being moved there`, details: { to: before.to } });
  }
  await refuseRunning(from);
  const atMs = host.clock.nowMs();
  const mark: Mark = { copyId: makeId('copy', atMs, () => host.random.next()), to: into.place, by, atMs, complete: false };
  return { mark, revision: await from.commit([{ kind: 'put', key: movedKey, value: mark, expected: 'absent' }]) };
}

/** Whoever runs would go on writing to what is no state any more. */
async function refuseRunning(store: StateStore): Promise<void> {
  const open = await listOpenExecutions(store);
  if (open.length > 0)
    throw fail('EXECUTION_WRONG_STATE', {
      message: `${open.length === 1 ? `execution ${open[0]} has` : `${open.length} executions have`} not ended`,
      hint: 'End it with holdfast resume or holdfast abort; then copy the state.',
      details: { executions: open },
    });
  const held = (await store.readReport?.())?.leases.filter((lease) => lease.held) ?? [];
  if (held.length > 0)
    throw fail('STATE_LEASE_HELD', {
      message: `${held.map(({ holder, name }) => `${holder} holds ${name}`).join(', ')}: something works on the state`,
      hint: 'Stop holdfast serve and whatever else works on it; then copy the state.',
      details: { holders: held.map(({ holder }) => holder) },
    });
}

function* chunksOf(entries: readonly Entry[]): Generator<readonly ImportedEntry[]> {
  let chunk: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = sizeOf([entry]);
    if (chunk.length > 0 && (chunk.length >= chunkEntriesMax || bytes + size > chunkBytesMax)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(entry);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

const sizeOf = (entries: readonly ImportedEntry[]): number =>
  entries.reduce((sum, { key, value }) => sum + key.length + Buffer.byteLength(JSON.stringify(value)), 0);

/** Both by key. */
async function compare(wanted: readonly ImportedEntry[], copied: readonly ImportedEntry[]): Promise<void> {
  const there = new Map(copied.map(({ key, value }) => [key, JSON.stringify(value)]));
  const differing = wanted.find(({ key, value }) => there.get(key) !== JSON.stringify(value));
  if (differing === undefined && there.size === wanted.length) return;
  throw fail('STATE_DAMAGED', {
    message: `the copy is not what was copied: ${differing === undefined ? `${there.size} entries in place of ${wanted.length}` : differing.key}`,
    hint: 'The embedded state stays as it is. Find out who else writes there.',
  });
}

/** A process that had the state open before it was marked may have written. */
async function requireUnchanged(from: StateStore, entries: readonly Entry[]): Promise<void> {
  await refuseRunning(from);
  const now = (await from.range('')).filter(({ key }) => key !== movedKey);
  const same =
    now.length === entries.length &&
    now.every(({ key, revision }, index) => entries[index]?.key === key && entries[index].revision === revision);
  if (!same)
    throw fail('STATE_CONFLICT', { message: 'the state was changed while it was copied', hint: 'Stop what works on it, and copy again.' });
}
