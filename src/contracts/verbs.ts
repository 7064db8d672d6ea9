/**
 * What a step can ask of a site. Each verb states a wanted state and is built of `inspect` and `apply`:
 *
 *   inspect -> absent   the wanted state does not hold and applying is safe
 *           -> pending  it was applied and is on its way: wait, don't apply again
 *           -> done     it holds (adopt it, whoever brought it about)
 *           -> unknown  it can't be told: the engine stops and asks a person
 *
 * `apply` runs only after `absent`; then `inspect` again until done or out of time. So a verb must find its own effect again after a
 * crash, and applying twice in a row after `absent` must have no second effect as far as the outside can see. An `apply` that has
 * itself seen for certain that the wanted state holds (by a compare-and-swap that went through) may say so, and is not looked after.
 */
import type { Json, JsonObject } from '../base/json.ts';
import type { Log } from '../host/host.ts';
import type { Position } from './observation.ts';

export interface Done {
  readonly state: 'done';
  readonly output: JsonObject;
}

export type Inspection =
  | { readonly state: 'absent'; readonly why: string }
  | { readonly state: 'pending'; readonly why: string }
  | Done
  | { readonly state: 'unknown'; readonly why: string };

export interface StepContext {
  readonly executionId: string;
  readonly stepId: string;
  /** The fencing token of this execution: drivers carry it where their system can keep it. */
  readonly epoch: number;
  /** Aborted when the step's time is over, the execution is aborted or the process ends. Everything that waits takes it. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** Progress for people, kept only on the screen: `copied 40 of 96 MiB`. */
  progress(message: string): void;
  /**
   * What an earlier `apply` of this very step has journalled, or undefined. For verbs that must know their own earlier intent to recognise its effect.
   */
  readonly note: Json | undefined;
  /** Makes a note durable before `apply` goes on: the timeline before a promotion, the replica count before scaling. */
  keepNote(note: Json): Promise<void>;
}

/** What an apply has to tell: mostly nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: an apply that tells nothing returns nothing.
export type Applied = Done | void;

export interface Verb {
  inspect(want: JsonObject, context: StepContext): Promise<Inspection>;
  apply(want: JsonObject, context: StepContext): Promise<Applied>;
}

/**
 * The verbs that plans are compiled from, with the shape of `want` and of the output of `done`. Regions are named as in the spec.
 *
 * Data stores
 *   fence           {survivors: region[], clean: boolean, lastKnown?: LastKnown, byHands?: boolean} -> FenceProof   this site can no longer acknowledge writes, also after a restart;
 *                                                        `clean` asks for an orderly stop that sends all it has to the survivors first
 *                                                        `byHands` takes what is done at the site itself for a proof and nothing else, at once, and asks no other site
 *   freeze          {}                                   -> {position}           takes no new writes from clients; reversible by thaw
 *   thaw            {byLease?: boolean, told?: boolean}  -> {}                   takes writes again
 *                                                        `byLease` takes back what a fence `byHands` did at the end of a lease, by the site's own hands, under a lease that is held again;
 *                                                        a note is kept right before anything is lifted, and refused when the lease may be over; with `told` also the
 *                                                        fence of an execution. Any later fence `byHands` undoes it, whatever is still on its way
 *   await-position  {position: Position}                 -> {position}           this standby has applied everything up to the position
 *   promote         {epoch, standbys: region[], fence?: FenceProofKind} -> {position, timeline} this site takes writes, and waits for no standby that is not there;
 *                                                        `fence`: what proved, in a failover, that the former primary takes none. Where it is missing nothing was fenced for this step
 *   follow          {upstream: region, keep: directory?} -> {method}             this site is a live standby of the upstream (rewound or copied anew if need be)
 *   protect         {standbys: region[], mode: 'synchronous'|'asynchronous'} -> {inSync: region[]}   on the primary: the standbys stream, and in synchronous mode acknowledged writes are on one of them
 *   salvage         {survivor: region, since: Position?, into: directory} -> SalvageReport   at a former primary: what it acknowledged that the survivor does not have is kept aside
 * Workloads
 *   scale           {size: 'full'|'standby'|'none'}      -> {wanted, previous}
 *   await-ready     {size, share: number}                -> {wanted, ready}
 * Routes
 *   route           {to: region} or {weights: {region: number}} -> {confirmedBy: string[]}
 * Anything
 *   check           {}                                   -> {detail}             a smoke test passes
 *   run             {}                                   -> {detail}             the user's own command has had its effect
 */
export const siteVerbs = [
  'fence',
  'freeze',
  'thaw',
  'await-position',
  'promote',
  'follow',
  'protect',
  'salvage',
  'scale',
  'await-ready',
  'route',
  'check',
  'run',
] as const;
export type SiteVerb = (typeof siteVerbs)[number];

/**
 * What was last seen of a site while it was up: the plan carries it along, for a dead site can't be asked any more. The driver's own facts
 * (`Reading.facts`) of that observation are spread into it.
 */
export interface LastKnown extends JsonObject {
  readonly atMs: number;
  /** It acknowledged a write only once a standby had it. */
  readonly synchronous: boolean;
  /** Names of the standbys that followed it, as it saw them. */
  readonly standbys: readonly string[];
  readonly position?: Position & JsonObject;
}

/**
 * Why we may believe that a former primary no longer acknowledges writes.
 *   stopped          it was seen stopped by hands on its host, and is barred from starting as a primary
 *   demoted          it runs, as a standby, and a restart brings it back as one
 *   cannot-acknowledge  it needs a standby's word for each write, and no standby will give it any more
 *   nothing-listens  a live host refuses the connection, and a restart can't bring back a site that acknowledges writes
 *   revoked          the credentials or the network path of its clients were taken away, and a write probe was refused
 *   lease-expired    its controller's primary lease is over
 *   person           a named person said so
 */
export type FenceProofKind = 'stopped' | 'demoted' | 'cannot-acknowledge' | 'nothing-listens' | 'revoked' | 'lease-expired' | 'person';

export interface FenceProof extends JsonObject {
  readonly proof: FenceProofKind;
  /** What was seen, for people. */
  readonly evidence: string;
  /** Wall-clock time from which it held. */
  readonly sinceMs: number;
  /** The last position of the site, where it can still be read. */
  readonly position?: Position & JsonObject;
}

export interface SalvageReport extends JsonObject {
  /** False when the former primary has nothing that the survivor lacks. */
  readonly diverged: boolean;
  readonly from?: Position & JsonObject;
  readonly to?: Position & JsonObject;
  /** Rows, keys or statements found, one per line in `file`; undefined when they can't be told one by one. */
  readonly writes?: number;
  readonly files: readonly string[];
  readonly detail: string;
}
