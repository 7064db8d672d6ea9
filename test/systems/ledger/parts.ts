/** What the nodes and the backups of the stand-in know of each other and of the world that they are in. */
import type { Profile, StoredState } from './node-state.ts';

/** A refusal with a gRPC status. */
export class Refusal extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface BackupSettings {
  readonly directory: string;
  readonly region: string;
  readonly regionKey: string;
}

/** A node, as the backups see it. */
export interface BackedUpNode {
  readonly state: StoredState | undefined;
  readonly settings: { readonly data: string };
  readonly counters: { backups: number };
}

/** The world, as the backups see it. */
export interface BackupWorld {
  readonly profile: Profile;
  readonly backupSettings: BackupSettings | undefined;
  readonly pendingRestore: Map<string, Pick<StoredState, 'organizations' | 'vaults'>>;
  hasLeader(node: BackedUpNode): boolean;
  isInUse(data: string): boolean;
}

/** The world, as a node of the kind `N` sees it. */
export interface NodeWorld<N> {
  readonly profile: Profile;
  readonly hasArchive: boolean;
  readonly snapshotsWork: boolean;
  readonly pageSizeMax: number;
  readonly backups: {
    create(node: N, request: Record<string, unknown>): object;
    list(): object;
    restore(node: N, request: Record<string, unknown>): object;
  };
  leaderOf(node: N): N | undefined;
  joinAtLeader(node: N, nodeId: string, address: string): object;
  leave(node: N, nodeId: string): object;
  init(node: N): object;
  save(node: N): void;
  later(work: () => void): void;
}
