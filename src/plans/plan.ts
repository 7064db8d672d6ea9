/**
 * A plan is data: an acyclic graph of steps, journalled whole before the first of them, printed, drawn, executed and simulated. Nothing else decides during
 * an execution.
 */
import type { JsonObject } from '../base/json.ts';
import type { SiteVerb } from '../contracts/verbs.ts';

export type PlanKind = 'failover' | 'switchover' | 'failback' | 'reprotect' | 'rollback' | BackupPlanKind;
/** They change nothing in the systems themselves, and never wait for one of the others. */
export const backupPlanKinds = ['backup', 'proof', 'restore', 'prune'] as const;
export type BackupPlanKind = (typeof backupPlanKinds)[number];

export function isBackupPlan(kind: string): kind is BackupPlanKind {
  return (backupPlanKinds as readonly string[]).includes(kind);
}

/**
 * Verbs of the control plane itself; they have no site.
 *   confirm-verdict  {region, verdict}      the majority still says so
 *   check-target     {region, budgetMs}     the target is ready and the estimated loss within the budget (or accepted)
 *   approve          {count, reason}        so many people have approved
 *   advance-epoch    {epoch, from, to, bar?} the epoch is ours: no older execution can go on; whoever takes the lease of the region `bar` from now on gives it up again, who holds it fences first
 *   unbar-primary    {region, epoch}        no bar of that epoch, or an older one, stands before the region
 *   set-active       {epoch, region}        the region is the active one, from now on
 *   measure-loss     {component, region, from} the canary rows that survived are counted
 *   verify           {region}               the region's components are up in their new roles, a canary goes through
 *   take-backup      {component, what, repository, backupId}   the backup of that id is committed
 *   prove-backup     {component, repository, what, level, target, checks, backupId?, sabotage?}   a proof by this execution is recorded, and passed
 *   restore-backup   {component, backupId, repository, target, into}   the directory holds the restored copy
 *   restore-site     {component, region}    the site serves the newest recovery point, brought there from a backup
 *   prune-backups    {repository}           what nothing keeps any more has its tombstone, and goes once its grace is over
 */
export const platformVerbs = [
  'confirm-verdict',
  'check-target',
  'approve',
  'advance-epoch',
  'unbar-primary',
  'set-active',
  'measure-loss',
  'verify',
  'take-backup',
  'prove-backup',
  'restore-backup',
  'restore-site',
  'prune-backups',
] as const;
export type PlatformVerb = (typeof platformVerbs)[number];

/** stop: wait for a person · continue: go on without it · roll-back: undo what was done · give-up: end as failed; somebody will begin anew */
export type OnFailure = 'stop' | 'continue' | 'roll-back' | 'give-up';

export interface Step {
  /** Unique in the plan and telling: `promote orders-db us-west-2`. */
  readonly id: string;
  readonly verb: SiteVerb | PlatformVerb;
  /** Undefined for platform verbs. */
  readonly component?: string;
  readonly region?: string;
  /**
   * The wanted state. A value of the form `{ "$from": "<step id>", "field": "position" }` is replaced by that field of the earlier step's output when the step
   * starts; the resolved want is journalled with the intent.
   */
  readonly want: JsonObject;
  /** Steps that must be done (or skipped, or failed with `continue`) before this one starts. */
  readonly after: readonly string[];
  /** One sentence for people. */
  readonly why: string;
  readonly timeoutMs: number;
  /** How long it should take, and whether that was measured or is a guess. */
  readonly expectedMs: number;
  readonly expectedFrom: 'measured' | 'guess';
  /** What it may lose, for people; undefined when nothing. */
  readonly mayLose?: string;
  readonly onFailure: OnFailure;
  /** Brings back what was before; run in reverse order when the plan rolls back. */
  readonly undo?: { readonly verb: SiteVerb | PlatformVerb; readonly want: JsonObject };
}

export interface Plan {
  readonly kind: PlanKind;
  readonly platform: string;
  /** The region that is active before. */
  readonly from: string;
  /** The region that is active after. For reprotect: the active region, with `from` the one that becomes standby again. */
  readonly to: string;
  /** The epoch that this plan's execution works under. */
  readonly epoch: number;
  readonly steps: readonly Step[];
  /** How many steps may run at once. */
  readonly parallel: number;
  /** The longest path through the graph by expected times. */
  readonly expectedMs: number;
  /** What may be lost by the whole plan, for people; undefined when nothing. */
  readonly mayLose?: string;
  readonly madeAtMs: number;
  readonly madeBecause: string;
}
