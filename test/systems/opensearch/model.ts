/** What clusters of the stand-in hold, and how OpenSearch words a refusal. */

export interface StandInIndex {
  settings: Record<string, unknown>;
  documents: Map<string, Record<string, unknown>>;
  operations: number;
  health: 'green' | 'red';
  /** Of a follower. */
  leader?: { alias: string; index: string; state: 'SYNCING' | 'BOOTSTRAPPING' | 'PAUSED' | 'FAILED'; reason: string } | undefined;
}

export interface StandInCluster {
  readonly uuid: string;
  readonly transport: string;
  readonly indices: Map<string, StandInIndex>;
  readonly settings: Map<string, unknown>;
  readonly autofollow: { name: string; pattern: string; alias: string }[];
  reachable: boolean;
}

/** Clusters find each other by their transport addresses. */
export interface World {
  readonly clusters: Map<string, StandInCluster>;
  /** The security plugin is on at both ends. */
  readonly security: boolean;
}

export const newWorld = (security = false): World => ({ clusters: new Map(), security });

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export function refuse(status: number, type: string, reason: string): Answer {
  return { status, body: { error: { root_cause: [{ type, reason }], type, reason }, status } };
}

export const notFound = (index: string): Answer => refuse(404, 'index_not_found_exception', `no such index [${index}]`);
