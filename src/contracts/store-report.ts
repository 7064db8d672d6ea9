/** What a state store says of itself, to people. */

export interface StoreMember {
  readonly name: string;
  /** Where clients reach it. */
  readonly addresses: readonly string[];
  readonly leads: boolean;
  readonly version?: string;
  readonly sizeBytes?: number;
  /** Why it counts as unwell; undefined: it answers and has nothing to complain of. */
  readonly fault?: string;
}

export interface StoreReport {
  readonly kind: 'sqlite' | 'etcd';
  /** The file, or the prefix. */
  readonly place: string;
  /** Tells this state from any other, for ever. */
  readonly id?: string;
  readonly clusterId?: string;
  readonly revision: number;
  /** What the whole database takes, and how much of it is in use. */
  readonly sizeBytes: number;
  readonly sizeInUseBytes?: number;
  /** Where it ends; undefined where the store does not tell. */
  readonly sizeMaxBytes?: number;
  /** It takes no more writes. */
  readonly isFull: boolean;
  readonly members: readonly StoreMember[];
  /** Each that was ever taken, with who took it last. */
  readonly leases: readonly { readonly name: string; readonly holder: string; readonly token: number; readonly held: boolean }[];
}
