/**
 * What a journal is made of: numbered events, each carrying the hash of the one before, the first one carrying the hash of the execution's header. So nothing in
 * the plan or in the past can be changed, left out or put in between without the chain breaking from there on.
 *
 * Nothing here does I/O; an event exists for others only once the journal has committed it.
 */
import { fail } from '../base/errors.ts';
import { hashJson } from '../base/hashing.ts';
import type { Json, JsonObject } from '../base/json.ts';

/** done: every step came to its end (those with `continue` may have failed) · failed: given up half-way through a roll-back · aborted · rolled-back: undone as far as undo goes */
export type Outcome = 'done' | 'failed' | 'aborted' | 'rolled-back';

/** applied: our own apply brought it about · adopted: it held when we looked · person: a named person's word stands for it */
export type StepEffect = 'applied' | 'adopted' | 'person';

/** As HoldfastError.toJSON gives it. */
export interface JournalledError {
  readonly code: string;
  readonly kind: string;
  readonly message: string;
  readonly hint: string;
  readonly subject?: string;
  readonly details?: JsonObject;
}

/** What people (or other processes) may ask of an execution. `by` is who asks. */
export type ExecutionRequest =
  | { readonly kind: 'pause'; readonly by: string; readonly reason?: string }
  | { readonly kind: 'resume'; readonly by: string }
  | { readonly kind: 'abort'; readonly by: string; readonly reason?: string }
  | { readonly kind: 'roll-back'; readonly by: string; readonly reason?: string }
  /** Without a step: every step (or undo) that failed. */
  | { readonly kind: 'retry'; readonly by: string; readonly stepId?: string }
  | { readonly kind: 'skip'; readonly by: string; readonly stepId: string; readonly reason: string }
  /** Without a step: the first approval of the plan that is still open. */
  | { readonly kind: 'approve'; readonly by: string; readonly stepId?: string; readonly comment?: string }
  /** A named person's word that the former primary can't acknowledge writes any more; completes the fence step of that site. */
  | { readonly kind: 'fence-word'; readonly by: string; readonly component: string; readonly region: string; readonly comment?: string }
  | { readonly kind: 'remark'; readonly by: string; readonly text: string };

interface RunnerData {
  readonly holder: string;
  readonly token: number;
}
interface IntentData {
  readonly want: JsonObject;
  /** Counts from 1 over the whole execution. */
  readonly attempt: number;
  /** What ended the attempt before. */
  readonly because?: JournalledError;
}
interface DoneData {
  readonly output: JsonObject;
  readonly tookMs: number;
  readonly effect: StepEffect;
}
interface FailedData {
  readonly error: JournalledError;
  /** It can't be told whether the wanted state holds or will. */
  readonly uncertain: boolean;
  /** Apply was begun at least once. */
  readonly mayHaveTakenEffect: boolean;
  readonly tookMs: number;
}
interface SkippedData {
  readonly by: string;
  readonly reason: string;
}

interface StepBodies<Prefix extends 'step' | 'undo'> {
  readonly intent: { readonly type: `${Prefix}-intent`; readonly stepId: string; readonly data: IntentData };
  readonly applied: { readonly type: `${Prefix}-applied`; readonly stepId: string; readonly data: { readonly tookMs: number } };
  readonly note: { readonly type: `${Prefix}-note`; readonly stepId: string; readonly data: { readonly note: Json } };
  readonly done: { readonly type: `${Prefix}-done`; readonly stepId: string; readonly data: DoneData };
  readonly failed: { readonly type: `${Prefix}-failed`; readonly stepId: string; readonly data: FailedData };
  readonly skipped: { readonly type: `${Prefix}-skipped`; readonly stepId: string; readonly data: SkippedData };
}

export type StepEventBody = StepBodies<'step'>[keyof StepBodies<'step'>];
export type UndoEventBody = StepBodies<'undo'>[keyof StepBodies<'undo'>];

export type EventBody =
  | { readonly type: 'started'; readonly data: RunnerData }
  | { readonly type: 'runner-changed'; readonly data: RunnerData }
  | StepEventBody
  | UndoEventBody
  | { readonly type: 'approved'; readonly stepId: string; readonly data: { readonly by: string; readonly comment?: string } }
  /** The answer to a request, in the same commit as what follows from it. `why` says why it was refused. */
  | {
      readonly type: 'requested';
      readonly data: { readonly requestId: string; readonly request: ExecutionRequest; readonly accepted: boolean; readonly why?: string };
    }
  | { readonly type: 'paused'; readonly data: { readonly by: string } }
  | { readonly type: 'resumed'; readonly data: { readonly by: string } }
  | { readonly type: 'rolling-back'; readonly data: { readonly because: string; readonly by?: string } }
  | {
      readonly type: 'finished';
      readonly data: { readonly outcome: Outcome; readonly tookMs: number; readonly failedSteps: readonly string[] };
    }
  | { readonly type: 'measured'; readonly data: JsonObject }
  | { readonly type: 'remark'; readonly stepId?: string; readonly data: { readonly by: string; readonly text: string } };

export type JournalEventType = EventBody['type'];

interface Seal {
  /** From 1, without gaps. */
  readonly seq: number;
  /** Wall-clock time of the runner. */
  readonly atMs: number;
  /** The hash of the event before; of the header, for the first. */
  readonly prevHash: string;
  readonly hash: string;
}

export type JournalEvent = EventBody & Seal;

function hashEvent(body: EventBody, seal: Omit<Seal, 'hash'>): string {
  const stepId = 'stepId' in body ? body.stepId : undefined;
  return hashJson({
    seq: seal.seq,
    atMs: seal.atMs,
    type: body.type,
    stepId,
    data: body.data as unknown as JsonObject,
    prevHash: seal.prevHash,
  });
}

/** Chains an event to the one before. */
export function sealEvent(body: EventBody, previous: { readonly seq: number; readonly hash: string }, atMs: number): JournalEvent {
  const seal = { seq: previous.seq + 1, atMs, prevHash: previous.hash };
  return { ...body, ...seal, hash: hashEvent(body, seal) };
}

/** Throws STATE_DAMAGED unless the event is whole and follows the one before. */
export function checkLink(event: JournalEvent, previous: { readonly seq: number; readonly hash: string }, executionId: string): void {
  const subject = `execution ${executionId}`;
  if (event.seq !== previous.seq + 1)
    throw fail('STATE_DAMAGED', {
      subject,
      message: `event ${previous.seq + 1} is missing from the journal: ${event.seq} follows ${previous.seq}`,
    });
  if (event.prevHash !== previous.hash)
    throw fail('STATE_DAMAGED', {
      subject,
      message: `event ${event.seq} does not follow the event before it: the chain of hashes is broken`,
    });
  if (event.hash !== hashEvent(event, event))
    throw fail('STATE_DAMAGED', { subject, message: `event ${event.seq} is not what it was when it was written: its hash differs` });
}
