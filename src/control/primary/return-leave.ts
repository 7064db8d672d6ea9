/**
 * Whether a region that is the active one may be made to serve again without an execution: nothing is under way but what makes a standby of it, and nothing that ended can have promoted
 * another region.
 *
 * Invariant: leave is given on one reading of the platform's record, which whoever uses it names as the expectation of its commit: an execution that begins to act meanwhile changes it.
 */
import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Plan } from '../../plans/plan.ts';
import type { ExecutionState } from '../../state/execution-state.ts';
import { listOpenExecutions, loadExecution } from '../../state/journal.ts';
import { type PlatformEntry, readPlatformState } from '../../state/platform-state.ts';
import { readBar } from './primary-records.ts';

export type Leave = { readonly entry: PlatformEntry } | { readonly refused: string };

const isOfTheCopies = (id: string) => /^(backup|proof|restore|prune)-/.test(id);

export async function readLeave(store: StateStore, region: string): Promise<Leave> {
  const entry = await readPlatformState(store);
  if (entry === undefined) return { refused: 'the state has no record of the platform' };
  const { activeRegion, epochOwner, headingTo } = entry.state;
  if (activeRegion !== region)
    return { refused: `${activeRegion} is the active region: ${region} comes back as its standby, with holdfast reprotect` };
  const bar = await readBar(store, region);
  if (bar !== undefined) {
    const why = await whyBarred(store, bar.bar.execution);
    return { refused: `${bar.bar.execution} put a bar before ${region}: ${why}` };
  }
  const open = await openBeside(store, region);
  if (open !== undefined) return { refused: `${open} has not ended: go on with it, or end it with holdfast abort` };
  if (headingTo === undefined || headingTo === region || epochOwner === undefined) return { entry };
  const promoted = await mayHavePromoted(store, epochOwner);
  return promoted === undefined ? { entry } : { refused: promoted };
}

/** What is under way and may be about this region's right to serve. What makes another region its standby promotes nothing, and itself waits for this one to serve. */
async function openBeside(store: StateStore, region: string): Promise<string | undefined> {
  for (const id of await listOpenExecutions(store)) {
    if (isOfTheCopies(id)) continue;
    const { kind, plan } = (await loadExecution<Plan>(store, id)).header;
    if (kind !== 'reprotect' || plan.to !== region) return id;
  }
  return undefined;
}

async function whyBarred(store: StateStore, execution: string): Promise<string> {
  const open = (await listOpenExecutions(store)).includes(execution);
  if (open) return 'it has not ended; go on with it, or end it with holdfast abort';
  return (await mayHavePromoted(store, execution)) ?? 'it was ended before it promoted anything, and the bar is about to be lifted';
}

/** What an execution that has ended may have promoted, in words for people; undefined where it certainly promoted nothing. */
export async function mayHavePromoted(store: StateStore, execution: string): Promise<string | undefined> {
  let state: ExecutionState;
  try {
    ({ state } = await loadExecution<Plan>(store, execution));
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (!(thrown instanceof HoldfastError) || error.code !== 'NOT_FOUND') throw thrown;
    return `what ${execution} did can not be read any more: fail over, to whichever region holds the newest data`;
  }
  const promoted = state.steps.filter((step) => step.verb === 'promote' && (step.attempts > 0 || step.status === 'done'));
  if (promoted.length === 0) return undefined;
  const what = promoted.map((step) => `${step.component} in ${step.region}`).join(', ');
  return `${execution} has promoted ${what}, or may have: move on with holdfast failover`;
}
