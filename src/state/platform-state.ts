/**
 * Which region is active, and under which epoch. One key, changed only by compare-and-swap.
 *
 * Invariant: the epoch only grows, and each epoch belongs to one execution: `advanceEpoch` is the moment from which no older execution can go on.
 */
import { fail } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { Change, Entry, StateStore } from '../contracts/state-store.ts';

const key = 'platform';

export interface PlatformState extends JsonObject {
  readonly platform: string;
  readonly activeRegion: string;
  readonly epoch: number;
  /** When the active region last changed; undefined when it never has. */
  readonly changedAtMs?: number;
  /** The epoch under which the active region became it; undefined for the first one. */
  readonly activeEpoch?: number;
  /** The execution that owns the epoch; undefined for the first one. */
  readonly epochOwner?: string;
  /** Where that execution leads to. */
  readonly headingTo?: string;
  /** Its stores are being started again under that lease, after a fence at the end of an earlier one: what is seen of them must not be taken for a fence. */
  readonly returning?: RegionReturning;
}

export interface RegionReturning extends JsonObject {
  readonly region: string;
  readonly lease: string;
  readonly token: number;
}

export interface PlatformEntry {
  readonly state: PlatformState;
  readonly revision: number;
}

function parse(entry: Entry): PlatformEntry {
  const state = entry.value as PlatformState;
  if (typeof state?.activeRegion !== 'string' || typeof state.epoch !== 'number') {
    throw fail('STATE_DAMAGED', { subject: key, message: 'the record of the active region can not be understood' });
  }
  return { state, revision: entry.revision };
}

/** The record, made from the spec's active region when there is none yet. STATE_OTHER_PLATFORM when it names another platform. */
export async function ensurePlatformState(store: StateStore, platform: string, activeRegion: string): Promise<PlatformEntry> {
  const found = await store.get(key);
  if (!found) {
    const state: PlatformState = { platform, activeRegion, epoch: 1 };
    await store.commit([{ kind: 'put', key, value: state, expected: 'absent' }]).catch((thrown) => {
      // Another process made it in the same moment: its record is as good.
      if (thrown?.code !== 'STATE_CONFLICT') throw thrown;
    });
    return ensurePlatformState(store, platform, activeRegion);
  }
  const entry = parse(found);
  if (entry.state.platform !== platform) {
    throw fail('STATE_OTHER_PLATFORM', { message: `the state belongs to "${entry.state.platform}", the spec is of "${platform}"` });
  }
  return entry;
}

export async function readPlatformState(store: StateStore): Promise<PlatformEntry | undefined> {
  const found = await store.get(key);
  return found ? parse(found) : undefined;
}

/**
 * Makes `epoch` the execution's own. Nothing happens when it is already; refused when a later one exists or another execution has it.
 * @param known the record as it was just read
 * @param alongside committed in the same step
 */
export async function advanceEpoch(
  store: StateStore,
  epoch: number,
  owner: string,
  headingTo: string,
  { known, alongside = [] }: { readonly known?: PlatformEntry; readonly alongside?: readonly Change[] } = {},
): Promise<void> {
  const entry = known ?? (await readPlatformState(store));
  if (!entry) throw fail('STATE_DAMAGED', { subject: key, message: 'there is no record of the active region' });
  const { state, revision } = entry;
  if (state.epoch === epoch && state.epochOwner === owner) return;
  if (state.epoch !== epoch - 1) {
    throw fail('EXECUTION_NOT_ALLOWED', {
      message: `the platform is at epoch ${state.epoch}${state.epochOwner ? ` (${state.epochOwner})` : ''}; this plan was made for epoch ${epoch}`,
      hint: 'Another execution came first. Make a new plan.',
    });
  }
  const { returning, ...rest } = state;
  if (returning !== undefined) await requireReturnOver(store, returning);
  await store.commit([{ kind: 'put', key, value: { ...rest, epoch, epochOwner: owner, headingTo }, expected: revision }, ...alongside]);
}

/** With the lease the return is over as well: the region is fenced before that, whatever is still on its way. */
async function requireReturnOver(store: StateStore, { region, lease, token }: RegionReturning): Promise<void> {
  const now = await store.readLease(lease);
  if (now?.held === true && now.token === token)
    throw fail('REGION_RETURNING', { subject: region, message: `${region} is being made to serve again after it had fenced itself` });
}

/**
 * From here on no execution advances the epoch until `endReturn`, or until the lease is over. Resolves to the record; refused with STATE_CONFLICT where it was changed since it was read.
 */
export async function beginReturn(store: StateStore, entry: PlatformEntry, returning: RegionReturning): Promise<void> {
  await store.commit([{ kind: 'put', key, value: { ...entry.state, returning }, expected: entry.revision }]);
}

/** Nothing happens where the mark is of another lease by now. */
export async function endReturn(store: StateStore, token: number): Promise<void> {
  const entry = await readPlatformState(store);
  if (entry?.state.returning?.token !== token) return;
  const { returning: _over, ...rest } = entry.state;
  await store.commit([{ kind: 'put', key, value: rest, expected: entry.revision }]);
}

/** Makes the region the active one. Nothing happens when it already is under this epoch; refused under any other epoch. */
export async function setActiveRegion(store: StateStore, epoch: number, region: string, nowMs: number): Promise<void> {
  const entry = await readPlatformState(store);
  if (!entry || entry.state.epoch !== epoch) {
    throw fail('EXECUTION_NOT_ALLOWED', {
      message: `epoch ${epoch} is over: the platform is at epoch ${entry?.state.epoch ?? 'none'}`,
      hint: 'A later execution has taken over.',
    });
  }
  if (entry.state.activeRegion === region) return;
  const { headingTo: _headingTo, ...rest } = entry.state;
  await store.commit([
    { kind: 'put', key, value: { ...rest, activeRegion: region, activeEpoch: epoch, changedAtMs: nowMs }, expected: entry.revision },
  ]);
}

/** The active region begins a new time, under this epoch. Nothing happens when it has; refused under any other epoch. */
export async function renewActiveEpoch(store: StateStore, epoch: number): Promise<void> {
  const entry = await readPlatformState(store);
  if (!entry || entry.state.epoch !== epoch) {
    throw fail('EXECUTION_NOT_ALLOWED', {
      message: `epoch ${epoch} is over: the platform is at epoch ${entry?.state.epoch ?? 'none'}`,
      hint: 'A later execution has taken over.',
    });
  }
  if (entry.state.activeEpoch === epoch) return;
  await store.commit([{ kind: 'put', key, value: { ...entry.state, activeEpoch: epoch }, expected: entry.revision }]);
}

export function watchPlatformState(
  store: StateStore,
  listener: (state: PlatformState) => void,
  onError: (error: Error) => void,
): () => void {
  return store.watch(key, (event) => event.key === key && event.value !== undefined && listener(event.value as PlatformState), { onError });
}
