/**
 * What the engine is given to run an execution, and what it gives back.
 */

import type { Lease, StateStore } from '../contracts/state-store.ts';
import type { Verb } from '../contracts/verbs.ts';
import type { Host } from '../host/host.ts';
import type { Plan, Step } from '../plans/plan.ts';
import type { ExecutionHeader, ExecutionState } from '../state/execution-state.ts';
import type { JournalEvent } from '../state/journal-events.ts';

/** Finds the verb for a step: of a site for site verbs, of the control plane for platform verbs. The engine has `approve` itself and never asks for it. */
export interface VerbResolver {
  /** NO_SUCH_VERB where there is none: the step fails with that. For an undo the step carries the undo's verb and want. */
  resolve(step: Step): Verb;
}

export interface RunOptions {
  readonly store: StateStore;
  readonly host: Pick<Host, 'clock' | 'random' | 'log'>;
  readonly id: string;
  /** Who runs it: unique per process. */
  readonly holder: string;
  readonly verbs: VerbResolver;
  /** The process ends: running verbs are told, nothing more is started or journalled, and the run rejects with INTERRUPTED. */
  readonly signal: AbortSignal;
  /** Told after the event is durable. What it throws is logged and changes nothing. */
  readonly onEvent?: (event: JournalEvent, state: ExecutionState) => void;
  /** For the screen only. */
  readonly onProgress?: (stepId: string, message: string) => void;
  /**
   * What to do when a failed step holds everything up: `return` with status `failed` and the lease released (a later request makes the execution resumable), or `wait` for
   * the request here. Default `return`.
   */
  readonly whenHalted?: 'return' | 'wait';
  /** How long the lease lasts without being renewed. Default 5 s. */
  readonly leaseTtlMs?: number;
  /**
   * The lease was taken before anybody else could know of the execution: then its journal is empty for as long as that lease is ours, and nobody waits for it to be read. Appending goes by
   * that lease, so that one which was lost meanwhile ends the run before anything is touched.
   */
  readonly inHand?: { readonly header: ExecutionHeader<Plan>; readonly lease: Lease };
}
