/**
 * The spec after validation: what the rest of Holdfast works from. Times are milliseconds, shares run from 0 to 1, secrets are resolved. Immutable.
 */
import type { Secret } from '../base/secret.ts';
import type { DriverKind } from '../contracts/driver.ts';
import type { Replication } from '../contracts/replication.ts';
import type { BackupPurpose, PurposeObjective } from './backup-purpose.ts';
import type { BackupSpec } from './backup-section.ts';
import type { Fault } from './fault.ts';
import type { ChannelSpec, DrillSpec } from './planned-sections.ts';
import type { RepositorySpec } from './repository-spec.ts';

export type RegionRole = 'active' | 'standby' | 'witness';

export interface RegionSpec {
  readonly name: string;
  /** The role at the beginning; the state says which region is active now. */
  readonly role: RegionRole;
}

/** Where commands for a site run. `as` names the user to become there, when the login is root. */
export type HandsSpec =
  | { readonly kind: 'local'; readonly as?: string }
  | {
      readonly kind: 'ssh';
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly identityFile?: string;
      readonly knownHostsFile?: string;
      readonly as?: string;
    };

export interface SiteSpec {
  readonly region: string;
  /** As the driver's `siteOptions` schema gives them. */
  readonly options: unknown;
  readonly hands?: HandsSpec;
}

export interface ComponentSpec {
  readonly name: string;
  readonly driver: string;
  readonly kind: DriverKind;
  /** Its loss is the region's loss. */
  readonly vital: boolean;
  /** Components that must work before this one can. */
  readonly needs: readonly string[];
  readonly replication: Replication;
  /** Overrides of the platform's objectives. */
  readonly rpoMs?: number;
  readonly canaryEveryMs: number;
  /** As the driver's `componentOptions` schema gives them. */
  readonly options: unknown;
  readonly sites: ReadonlyMap<string, SiteSpec>;
  readonly backup?: readonly BackupSpec[];
}

export interface WatchPolicy {
  /** Time between two probes of a site. Each is moved by up to a tenth of it. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Silence (and any other evidence that is not immediate) counts after so many probes in a row. */
  readonly failures: number;
}

export interface FailoverPolicy {
  readonly automatic: boolean;
  /** How long a vital component may be gone before its region counts as lost. */
  readonly graceMs: number;
  /** Whether the loss of any vital component is the region's loss, or only of all of them. */
  readonly lostWhen: 'any' | 'all';
  readonly readyShare: number;
  /** An automatic failover may lose no more than this, by the newest estimate. */
  readonly lossBudgetMs: number;
  readonly coolDownMs: number;
  readonly commitWindowMs: number;
  /** How many people must approve what may lose data beyond the budget. */
  readonly approvals: number;
  /** On the hosts of a region that comes back. */
  readonly salvageDirectory: string;
}

export interface FailbackPolicy {
  /** Shares of traffic, ascending, the last one 1. */
  readonly canaryShares: readonly number[];
  readonly bakeMs: number;
  /** What makes a stage step back by itself. */
  readonly abortWhen?: { readonly errorRateAbove?: number; readonly p95AboveMs?: number };
}

/** process: one pod or process · node: one machine · zone: one availability zone · region · quorum: too few members left to decide · corruption: wrong data · total-loss: everything but the backups */
export const failureKinds = ['process', 'node', 'zone', 'region', 'quorum', 'corruption', 'total-loss'] as const;
export type FailureKind = (typeof failureKinds)[number];

export interface ScenarioObjective {
  /** Longer is a warning. */
  readonly rtoMs?: number;
  /** Longer is a breach; undefined: as `rtoMs`. */
  readonly mostMs?: number;
  readonly rpoMs?: number;
}

export interface Objectives {
  readonly rtoMs?: number;
  readonly rpoMs?: number;
  readonly availability?: number;
  /** For kinds of failure with objectives of their own. */
  readonly scenarios?: ReadonlyMap<FailureKind, ScenarioObjective>;
  /** What backups are for, and how far back each purpose reaches. */
  readonly backups?: ReadonlyMap<BackupPurpose, PurposeObjective>;
}

/** Where the state lives that several controllers share. */
export interface EtcdStateSpec {
  /** `https://10.0.1.5:2379`: any number of members of one cluster, all by the same scheme. */
  readonly endpoints: readonly string[];
  /** Paths of PEM files: who vouches for the servers; what this side shows of itself. */
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly user?: string;
  readonly password?: Secret;
  /** All keys of the platform begin with it; ends with a slash. */
  readonly prefix: string;
  /** How long a request may take over all members that are tried. */
  readonly timeoutMs: number;
}

export interface StateSpec {
  readonly etcd: EtcdStateSpec;
}

export interface ControllersSpec {
  /** How long a lease of a controller outlives its last renewal. */
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  /** The regions that have a controller: so many votes there are. */
  readonly regions: readonly string[];
  /** What the controller of the active region does when it can't reach the state: fence its sites before its lease is over, or let them serve. */
  readonly withoutState: 'fence' | 'keep-serving';
  /** Once it holds its lease again after a fence, nobody having taken over: it starts its sites again, or waits for a person. */
  readonly afterFence: 'return' | 'wait';
  /** So many finished executions stay in the state; older ones go to the first repository as evidence, where there is one. */
  readonly keepExecutions: number;
}

export interface Spec {
  readonly name: string;
  readonly objectives: Objectives;
  readonly regions: ReadonlyMap<string, RegionSpec>;
  readonly components: ReadonlyMap<string, ComponentSpec>;
  readonly watch: WatchPolicy;
  readonly failover: FailoverPolicy;
  readonly failback: FailbackPolicy;
  /** Undefined: an embedded state, and one controller. */
  readonly state?: StateSpec;
  /** Always there, with its defaults; acted on where there is a shared state. */
  readonly controllers: ControllersSpec;
  /** Where backups are kept. */
  readonly repositories?: ReadonlyMap<string, RepositorySpec>;
  /** Read and kept; not acted on yet. */
  readonly drills?: readonly DrillSpec[];
  readonly tell?: ReadonlyMap<string, ChannelSpec>;
  /** What is no fault, but people should know: sections that are read and have no effect yet; and, with `other`, two places that contradict each other. */
  readonly notices: readonly Fault[];
  /** The files it was read from, in order. */
  readonly files: readonly string[];
  /** Hash of the files' text: notices that two controllers work from different specs. */
  readonly digest: string;
}

/** Components ordered so that each comes after those that it needs; ties in the order of the spec. The spec has no cycles once validated. */
export function inDependencyOrder(spec: Spec): readonly ComponentSpec[] {
  const ordered: ComponentSpec[] = [];
  const placed = new Set<string>();
  const place = (component: ComponentSpec): void => {
    if (placed.has(component.name)) return;
    placed.add(component.name);
    for (const need of component.needs) {
      const needed = spec.components.get(need);
      if (needed) place(needed);
    }
    ordered.push(component);
  };
  for (const component of spec.components.values()) place(component);
  return ordered;
}
