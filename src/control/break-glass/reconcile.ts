/**
 * Brings a failover that was done without the shared state into it: the execution with its whole journal, the epoch, the active region, and who vouched for what.
 *
 * Invariant: one commit brings all that decides anything, under a look at what the shared state says now; journals come before it and mean nothing by themselves. Refused, with nothing
 * changed, wherever the two tell different stories: then a person has to say which one is true. Dying in between leaves journals that the next try finds there already.
 */
import { fail } from '../../base/errors.ts';
import type { Change, StateStore } from '../../contracts/state-store.ts';
import { journalKeys, listOpenExecutions } from '../../state/journal.ts';
import { ensurePlatformState, type PlatformState, readPlatformState } from '../../state/platform-state.ts';
import { primaryKeys, readBar } from '../primary/primary-records.ts';
import { type BreakGlassRecord, breakGlassKey, breakGlassPrefix, readBreakGlass } from './break-glass-record.ts';

export interface Reconciled {
  readonly record: BreakGlassRecord;
  readonly activeRegion: string;
  readonly epoch: number;
  readonly before: { readonly activeRegion: string; readonly epoch: number };
  readonly executions: readonly string[];
}

const executionPrefix = 'executions/';
const changesAtOnce = 50;

export async function reconcile(local: StateStore, shared: StateStore, nowMs: number): Promise<Reconciled> {
  const standing = await readBreakGlass(local);
  if (standing === undefined)
    throw fail('NOT_FOUND', {
      message: 'no failover was done without the shared state on this machine',
      hint: 'Run it where the failover was run.',
    });
  const { record, revision } = standing;
  if (record.reconciledAtMs !== undefined)
    throw fail('EXECUTION_NOT_ALLOWED', {
      subject: record.id,
      message: `${record.id} was reconciled already`,
      hint: 'There is nothing to do.',
    });
  const ours = (await readPlatformState(local))?.state;
  if (!ours) throw fail('STATE_DAMAGED', { message: 'there is no record of the active region' });
  // A new, empty state has nothing to contradict.
  const theirs = await ensurePlatformState(shared, record.platform, ours.activeRegion);
  await refuseOpen(local, shared);
  const executions = await executionsOf(local);
  refuseContradiction(record, ours, theirs.state);
  if (theirs.state.epoch !== ours.epoch || theirs.state.activeRegion !== ours.activeRegion) {
    await copyJournals(local, shared);
    await shared.commit(await decisiveChanges(shared, record, ours, theirs.revision));
  }
  // The shared state has all of it: a death before this only makes the next try find so.
  await local.commit([{ kind: 'put', key: breakGlassKey, value: { ...record, reconciledAtMs: nowMs }, expected: revision }]);
  const { activeRegion, epoch } = theirs.state;
  return { record, activeRegion: ours.activeRegion, epoch: ours.epoch, before: { activeRegion, epoch }, executions };
}

async function refuseOpen(local: StateStore, shared: StateStore): Promise<void> {
  const [here, there] = await Promise.all([listOpenExecutions(local), listOpenExecutions(shared)]);
  if (here.length > 0)
    throw fail('EXECUTION_RUNNING', {
      subject: here[0] ?? '',
      message: `${here.join(', ')} has not ended here`,
      hint: 'Go on with it: holdfast failover --break-glass.',
    });
  const changes = there.filter((id) => !/^(backup|proof|restore|prune)-/.test(id));
  if (changes.length > 0)
    throw fail('EXECUTION_RUNNING', {
      subject: changes[0] ?? '',
      message: `${changes.join(', ')} has not ended in the shared state: it was under way when that was lost`,
      hint: 'End it as it is with holdfast abort; what it did until then is in its journal.',
    });
}

function refuseContradiction(record: BreakGlassRecord, ours: PlatformState, theirs: PlatformState): void {
  const contradiction = (message: string, hint: string) =>
    fail('EXECUTION_NOT_ALLOWED', { subject: record.id, message, hint, details: { ours: { ...ours }, theirs: { ...theirs } } });
  if (theirs.platform !== ours.platform)
    throw fail('STATE_OTHER_PLATFORM', {
      message: `the shared state belongs to "${theirs.platform}", the local journal to "${ours.platform}"`,
    });
  const isSame = theirs.epoch === ours.epoch && theirs.activeRegion === ours.activeRegion;
  if (isSame) return;
  if (theirs.epoch >= ours.epoch)
    throw contradiction(
      `the shared state is at epoch ${theirs.epoch}, with ${theirs.activeRegion} active; the failover without it was under epoch ${ours.epoch}, to ${ours.activeRegion}: both went on`,
      'Find out which data is to be kept, fence the other side, and go on from the shared state; holdfast executions shows what each did.',
    );
  if (theirs.activeRegion !== record.from && theirs.activeRegion !== ours.activeRegion)
    throw contradiction(
      `the shared state says that ${theirs.activeRegion} was active, and the failover without it led away from ${record.from}`,
      'Find out which of the three regions holds the newest data; nothing was changed.',
    );
  if (theirs.epoch > record.highestFound && theirs.activeRegion === record.from && (theirs.changedAtMs ?? 0) > record.atMs)
    throw contradiction(
      `${record.from} was made the active region in the shared state after the failover without it had begun`,
      'Both sides have acted: find out which data is to be kept, and fence the other side.',
    );
}

async function executionsOf(local: StateStore): Promise<readonly string[]> {
  const entries = await local.range(executionPrefix);
  return [...new Set(entries.map(({ key }) => key.slice(executionPrefix.length).split('/')[0] as string))];
}

async function copyJournals(local: StateStore, shared: StateStore): Promise<void> {
  const entries = [...(await local.range(executionPrefix)), ...(await local.range(journalKeys.indexPrefix))];
  for (let from = 0; from < entries.length; from += changesAtOnce) {
    const missing: Change[] = [];
    for (const { key, value } of entries.slice(from, from + changesAtOnce)) {
      const there = await shared.get(key);
      if (there === undefined) missing.push({ kind: 'put', key, value, expected: 'absent' });
      else if (JSON.stringify(there.value) !== JSON.stringify(value))
        throw fail('STATE_CONFLICT', { subject: key, message: `${key} is in the shared state already, and says something else` });
    }
    if (missing.length > 0) await shared.commit(missing);
  }
}

/** The bar goes with it: the region that was left holds no right to serve until it is re-protected. */
async function decisiveChanges(
  shared: StateStore,
  record: BreakGlassRecord,
  ours: PlatformState,
  revision: number,
): Promise<readonly Change[]> {
  const changes: Change[] = [
    { kind: 'put', key: 'platform', value: ours, expected: revision },
    { kind: 'put', key: `${breakGlassPrefix}${record.id}`, value: record, expected: 'absent' },
  ];
  if (ours.activeRegion === record.from) return changes;
  const [from, to] = await Promise.all([readBar(shared, record.from), readBar(shared, ours.activeRegion)]);
  const bar = { epoch: ours.epoch, execution: ours.epochOwner ?? record.id, atMs: record.atMs };
  changes.push({ kind: 'put', key: primaryKeys.bar(record.from), value: bar, expected: from?.revision ?? 'absent' });
  if (to) changes.push({ kind: 'delete', key: primaryKeys.bar(ours.activeRegion), expected: to.revision });
  return changes;
}
