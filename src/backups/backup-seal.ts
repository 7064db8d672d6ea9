/**
 * What one backup seals its pieces with. Each attempt at a backup has a key of its own, made here and wrapped by the repository's; the manifest carries the wrapped one.
 *
 * Invariant: a piece opens only as what it was made: this repository, component, backup, part and position.
 */
import { assert } from '../base/assert.ts';
import type { Random } from '../host/host.ts';
import type { RepositoryKeys, WrappedKey } from './key-ladder.ts';
import { encodeName } from './object-names.ts';
import { associatedText, deriveKey, keyBytes, openPlainDigest, openSeal, type PlainDigest, type Seal } from './sealing.ts';

export interface BackupSeal {
  /** Undefined in a repository without encryption. */
  readonly seal: Seal | undefined;
  readonly plainDigest: PlainDigest;
  readonly fingerprintKey: Uint8Array;
  readonly wrapped: WrappedKey | undefined;
  /** Associated data of a piece. */
  words(part: string, position: number): string;
}

export interface BackupNames {
  readonly repositoryId: string;
  readonly component: string;
  readonly backupId: string;
}

/** A new key where the repository is encrypted. */
export function makeBackupSeal(names: BackupNames, keys: RepositoryKeys | undefined, random: Random): BackupSeal {
  if (keys === undefined) return sealWith(names, undefined, undefined);
  const key = random.bytes(keyBytes);
  return sealWith(names, key, keys.wrapBackupKey(key, names.component, names.backupId, random));
}

/** The key that the manifest carries. */
export function openBackupSeal(names: BackupNames, keys: RepositoryKeys | undefined, wrapped: WrappedKey | undefined): BackupSeal {
  if (keys === undefined) return sealWith(names, undefined, undefined);
  // Its MAC was checked already, so this is ours to answer for: an encrypted repository never reads an unsealed backup.
  assert(wrapped !== undefined, 'a manifest in an encrypted repository has a wrapped key');
  return sealWith(names, keys.unwrapBackupKey(wrapped, names.component, names.backupId), wrapped);
}

function sealWith(names: BackupNames, key: Uint8Array | undefined, wrapped: WrappedKey | undefined): BackupSeal {
  const { repositoryId, component, backupId } = names;
  return {
    seal: key === undefined ? undefined : openSeal(deriveKey(key, 'holdfast/1/pieces')),
    plainDigest: openPlainDigest(key === undefined ? undefined : deriveKey(key, 'holdfast/1/plain-digests')),
    // Without encryption nothing of it is secret; the fingerprint is keyed all the same, so that drivers know one form only.
    fingerprintKey: deriveKey(
      key ?? new TextEncoder().encode(repositoryId),
      associatedText(['holdfast/1/fingerprint', encodeName(backupId)]),
    ),
    wrapped,
    words: (part, position) =>
      associatedText(['holdfast/1/piece', repositoryId, encodeName(component), encodeName(backupId), part, position]),
  };
}
