/**
 * What a driver saw at a site at an instant. Three answers only: `up` and `down` need evidence; everything else is `unknown`, and unknown
 * is never treated as healthy nor, by itself, as dead.
 */
import type { JsonObject } from '../base/json.ts';

export type Health = 'up' | 'down' | 'unknown';

/**
 * Why the observer thinks so.
 *   answered         the system answered as it should
 *   wrong-answer     it answered, but not as a healthy one does (HTTP 503, still loading)
 *   refused          a live host refused the connection: nothing listens there
 *   connection-lost  an open connection was reset or closed
 *   timeout          silence
 *   unreachable      the network says that there is no way
 *   not-allowed      it answered, and does not let us in: says nothing about its health
 *   error            the probe itself failed
 */
export type EvidenceKind =
  | 'answered'
  | 'wrong-answer'
  | 'refused'
  | 'connection-lost'
  | 'timeout'
  | 'unreachable'
  | 'not-allowed'
  | 'error';

export interface Evidence {
  readonly kind: EvidenceKind;
  /** One sentence for people, without secrets: `connection refused by 10.0.1.5:5432`. */
  readonly detail: string;
}

/** Evidence of a live host that the thing is not there: counts at once. All other bad evidence counts only after repeated failures. */
export function isImmediateEvidence(kind: EvidenceKind): boolean {
  return kind === 'refused' || kind === 'connection-lost';
}

/**
 * A place in a history of writes. Two positions can be compared only when `history` is equal: same data, same ancestry.
 * `offset` is a decimal number of bytes (or operations) that may exceed 2^53: compare as BigInt.
 */
export interface Position {
  readonly history: string;
  readonly timeline: number;
  readonly offset: string;
  /** As the system itself writes it, for people: `0/3000148`. */
  readonly text: string;
}

/** `later - earlier` in the position's unit; undefined when the two belong to different histories. */
export function positionDistance(earlier: Position, later: Position): bigint | undefined {
  if (earlier.history !== later.history) return undefined;
  return BigInt(later.offset) - BigInt(earlier.offset);
}

/** A role as the whole fleet of drivers understands it. For a route, `primary` is the site that traffic goes to. */
export type Role = 'primary' | 'standby' | 'none' | 'unknown';

export interface ReplicationReading {
  /**
   * The link that feeds this standby, or undefined on a primary. `up` needs proof of life, not only a configured link. `heardAgeMs`: how long before the look the link had
   * last brought anything; undefined where the system does not say.
   */
  readonly upstream?: { readonly link: 'up' | 'down' | 'unknown'; readonly region?: string; readonly heardAgeMs?: number };
  /** On a primary: who follows it, as the primary sees them. `member` is the name the standby gives itself. */
  readonly standbys?: readonly {
    readonly member: string;
    readonly link: 'up' | 'down' | 'unknown';
    readonly inSync: boolean;
    readonly lagBytes?: string;
    readonly lagMs?: number;
  }[];
  /** On a primary: an acknowledged write is on a standby too, always. */
  readonly synchronous?: boolean;
}

/** What `Site.observe` returns; the watcher adds who and when. */
export interface Reading {
  readonly health: Health;
  readonly evidence: Evidence;
  readonly role?: Role;
  /** Whether it takes writes now. */
  readonly writable?: boolean;
  readonly position?: Position;
  readonly replication?: ReplicationReading;
  /** Names the history, so that another system at the same address is noticed: a system identifier, a cluster id. */
  readonly identity?: string;
  /** Workloads: how many are wanted and ready. */
  readonly replicas?: { readonly wanted: number; readonly ready: number };
  /** Things that stand in the way of surviving a disaster, found in passing: `wal_log_hints is off: the former primary can't be rewound`. */
  readonly faults?: readonly { readonly severity: 'problem' | 'warning'; readonly message: string; readonly hint: string }[];
  /** Anything else worth showing or journalling. */
  readonly facts?: JsonObject;
  /** Numbers for a monitoring system, by the names that the driver declares in `metrics`. What was not seen at this look is left out, never 0. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface Observation extends Reading {
  readonly component: string;
  readonly region: string;
  /** Wall-clock time at which the answer was in, by the observer's clock. */
  readonly atMs: number;
  readonly tookMs: number;
  /**
   * How many probes in a row have not been `up`, this one included; 0 when up. An answer that only keeps us out ends the row too, and a probe that failed by itself is not
   * counted: neither says that the site is gone.
   */
  readonly failures: number;
  /** When the look that failed first among those was begun; undefined when there are none. */
  readonly failingSinceMs?: number;
  /** When that look had failed: what was seen of another site after it was seen after the trouble began, for certain. */
  readonly failureSeenMs?: number;
}
