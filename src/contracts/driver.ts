/**
 * What a driver must do. A driver knows one kind of system; the core knows drivers only by what is written here.
 */
import type { z } from 'zod';
import type { Secret } from '../base/secret.ts';
import type { DriverBackups } from './backup.ts';
import type { Canary } from './canary.ts';
import type { Evidence, Reading } from './observation.ts';
import type { Replication } from './replication.ts';
import type { SiteContext } from './site-context.ts';
import type { SiteReturn } from './site-return.ts';
import type { SiteVerb, Verb } from './verbs.ts';

export type { Canary, CanaryRow } from './canary.ts';
export type { SiteContext } from './site-context.ts';

/** data: keeps what must not be lost · workload: can be started anew · route: decides where clients go · check: only observes or runs commands */
export type DriverKind = 'data' | 'workload' | 'route' | 'check';

/** One component in one region, opened. Opening does no I/O; connections are made on first use and made anew after they break. */
export interface Site {
  /**
   * Looks once. Never throws for a system in trouble: that is a reading with `down` or `unknown`. Must end by itself soon after the signal is aborted.
   * Only errors of kind `bug` or `invalid` may be thrown.
   */
  observe(signal: AbortSignal): Promise<Reading>;
  /**
   * Keeps a connection to the system open for as long as it is subscribed and calls back at once when it breaks (evidence `connection-lost`). Undefined where
   * the system has no such connection. The returned function unsubscribes. Reconnects by itself, quietly: the probes say how it is.
   */
  subscribe?(listener: (evidence: Evidence) => void): () => void;
  /** The verbs this site can do as it is configured (a site without hands lacks those that need them). */
  readonly verbs: Readonly<Partial<Record<SiteVerb, Verb>>>;
  /** `fence` with `byHands` ends it for certain, whatever state it is in, for as long as commands can be run on its host; `thaw` with `byLease` takes that back. */
  readonly fencesByHands?: boolean;
  /** The epoch that the system itself carries: under which it was last promoted or routed to. Undefined where none was taken down. Errors as those of a verb. */
  readEpoch?(signal: AbortSignal): Promise<number | undefined>;
  /** Data stores that can take a canary row. */
  readonly canary?: Canary;
  close(): Promise<void>;
}

/**
 * A secret in a spec is written `{ env: NAME }` or `{ file: PATH }`. In a driver's schema use `secretReference`; the spec loader resolves each one to a `Secret` before
 * the driver sees the options: declare the field's type with `ResolvedSecret`.
 */
export type ResolvedSecret = Secret;

export interface Driver<C = never, S = never> {
  /** As the spec names it: `postgresql`. */
  readonly name: string;
  /** As people write it: `PostgreSQL`. */
  readonly title: string;
  /** One sentence on what it does. */
  readonly summary: string;
  readonly kind: DriverKind;
  /** Everything it can do on a fully configured site. `requires: hands` names those verbs that need hands. */
  readonly verbs: readonly {
    readonly verb: SiteVerb;
    readonly needsHands: boolean /** A rough guess in milliseconds, used (and marked unproven) until it was measured. */;
    readonly typicalMs: number;
  }[];
  readonly hasCanary: boolean;
  /** Strict objects with a description on every key. The component's own keys, beside those that every component has. */
  readonly componentOptions: z.ZodType<C>;
  /** The keys of each site, beside `hands`, which every site may have. */
  readonly siteOptions: z.ZodType<S>;
  /** Faults that only the driver can see, after the schemas passed: returns messages with the path inside the component they belong to. */
  validate?(component: {
    readonly options: C;
    readonly sites: ReadonlyMap<string, S>;
    readonly replication: Replication;
  }): readonly { readonly path: readonly (string | number)[]; readonly message: string; readonly hint: string }[];
  open(context: SiteContext<C, S>): Site;
  /** Gauges of its own that `Reading.metrics` may hold, each with one sentence on what it tells; they are served with the labels `component` and `region`. */
  readonly metrics?: Readonly<Record<string, string>>;
  /** Where the system's data can be backed up, archived, restored and proven. */
  readonly backups?: DriverBackups<C, S>;
  /** How a site is brought back from a backup; undefined for one that lacks what that needs, such as hands. */
  openReturn?(context: SiteContext<C, S>): SiteReturn | undefined;
}

/** A driver whose options types are forgotten: what the registry holds. */
// biome-ignore lint/suspicious/noExplicitAny: the options of unlike drivers have nothing in common; each is checked by its own schema before open() sees it.
export type AnyDriver = Driver<any, any>;

/** Keeps the option types together while a driver is written. */
export function defineDriver<C, S>(driver: Driver<C, S>): Driver<C, S> {
  return driver;
}

export type DriverCatalog = ReadonlyMap<string, AnyDriver>;
