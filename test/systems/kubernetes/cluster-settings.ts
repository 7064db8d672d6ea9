/** What a test may set about a cluster while it runs: how long things take and what goes wrong. */
import type { Fields } from './fields.ts';

export interface ClusterSettings {
  /** From its start until a container answers. */
  podReadyMs: number;
  /** From the request until a pod is gone. */
  podEndMs: number;
  /** From the moment that a node is lost until its pods are to be moved. */
  nodeGraceMs: number;
  /** A deployment that makes no progress for so long has failed; whatever its `progressDeadlineSeconds` says, for nobody waits ten minutes in a test. */
  progressDeadlineMs: number;
  /** Images that can't be pulled. */
  readonly badImages: Set<string>;
  /** How long a Velero backup or restore takes. */
  veleroMs: number;
  /** How often backups of others in the same bucket are looked for. */
  veleroSyncMs: number;
  /** What happens to the next backup or restore. */
  veleroFault: 'none' | 'partial' | 'fail' | 'hang';
  /** How long Argo CD needs for an operation. */
  argoOperationMs: number;
  /** How often Argo CD compares and heals. */
  argoIntervalMs: number;
  argoFault: 'none' | 'fail' | 'hang';
}

export const quickSettings = (): ClusterSettings => ({
  podReadyMs: 10,
  podEndMs: 5,
  nodeGraceMs: 20,
  progressDeadlineMs: 400,
  badImages: new Set(),
  veleroMs: 20,
  veleroSyncMs: 20,
  veleroFault: 'none',
  argoOperationMs: 20,
  argoIntervalMs: 30,
  argoFault: 'none',
});

/** Buckets and Git repositories outlive any cluster: several share them. */
export interface OutsideWorld {
  /** By bucket: whether it can be reached, and the backups in it by name. */
  readonly buckets: Map<
    string,
    { reachable: boolean; readonly backups: Map<string, { readonly backup: Fields; readonly items: readonly Fields[] }> }
  >;
  /** By `URL path`: the commit and what it renders to. */
  readonly repositories: Map<string, { revision: string; manifests: readonly Fields[] }>;
}

export const newOutsideWorld = (): OutsideWorld => ({ buckets: new Map(), repositories: new Map() });
