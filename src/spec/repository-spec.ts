/** A repository of the spec after validation. */
import type { Secret } from '../base/secret.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

/** What opens the repository. */
export type EncryptionSpec =
  | { readonly kind: 'passphrase' | 'key'; readonly secret: Secret }
  /** By a key of a key management service; Holdfast never sees that one. */
  | { readonly kind: 'key-service'; readonly key: string };

export interface RepositorySpec {
  readonly name: string;
  /** The kind of place: `filesystem`, `s3`. */
  readonly driver: string;
  /** As the kind's own schema gives them. */
  readonly options: unknown;
  /** The region of the spec whose loss takes the repository along; undefined: none of them, as far as the spec says. */
  readonly inRegion?: string;
  /** Undefined: what is stored is not encrypted by Holdfast. */
  readonly encryption?: EncryptionSpec;
  /** The key of a key management service by which the store itself encrypts. */
  readonly storeKey?: string;
  /** When what nothing keeps any more is removed; undefined: only when somebody says so. */
  readonly prune?: ScheduleSpec;
  /** Nothing stored can be removed for so long, by anybody. */
  readonly lockMs?: number;
}
