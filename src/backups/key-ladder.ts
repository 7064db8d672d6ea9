/**
 * The keys of an encrypted repository: a recovery key or a passphrase opens a slot, the slot holds the repository key, which wraps one key per backup and gives the archives' keys.
 *
 * Invariant: the repository key is made once, when the repository is; nothing here makes another one. Changing who may open the repository adds and revokes slots and touches no
 * backup. What is bound into each wrapping (repository, purpose, component, backup) keeps a key from being used in another place.
 */
import { createHmac, scrypt } from 'node:crypto';
import { fail } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { Secret } from '../base/secret.ts';
import type { Random } from '../host/host.ts';
import { encodeName } from './object-names.ts';
import { looksLikeRecoveryKey, parseRecoveryKey } from './recovery-key.ts';
import { checkFormat, formatVersion, parseJsonObject } from './repository-format.ts';
import { associatedText, deriveKey, keyBytes, nonceBytes, openSeal } from './sealing.ts';

/** `recovery` and `machine` hold a random key of 32 bytes, `passphrase` one that scrypt makes of a text. Other kinds are left to those who know them. */
export type SlotKind = 'recovery' | 'machine' | 'passphrase';

export interface WrappedKey extends JsonObject {
  /** Base 64. */
  readonly nonce: string;
  readonly sealed: string;
}

export interface KeySlot extends JsonObject {
  readonly holdfast: 'key-slot';
  readonly format: number;
  readonly slot: string;
  readonly repository: string;
  readonly kind: string;
  readonly createdAtMs: number;
  readonly derivation: JsonObject;
  readonly wrapped: WrappedKey;
}

export interface PassphraseCost extends JsonObject {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** 64 MiB of memory and about a fifth of a second: what a guess costs. */
const passphraseCostDefault: PassphraseCost = { N: 65_536, r: 8, p: 2 };

export function wrapKey(under: Uint8Array, key: Uint8Array, associated: string, random: Random): WrappedKey {
  const nonce = random.bytes(nonceBytes);
  const sealed = openSeal(under).seal(key, nonce, associated);
  return { nonce: Buffer.from(nonce).toString('base64'), sealed: Buffer.from(sealed).toString('base64') };
}

/** Undefined where it was wrapped under another key, or for another purpose. */
export function unwrapKey(under: Uint8Array, wrapped: WrappedKey, associated: string): Uint8Array | undefined {
  const key = openSeal(under).openInPlace(Buffer.from(wrapped.sealed, 'base64'), Buffer.from(wrapped.nonce, 'base64'), associated);
  return key?.length === keyBytes ? key : undefined;
}

export const slotWords = (slot: Pick<KeySlot, 'repository' | 'slot' | 'kind'>) =>
  associatedText(['holdfast/1/slot', slot.repository, slot.slot, slot.kind]);

export interface NewSlot {
  readonly kind: SlotKind;
  readonly slotId: string;
  readonly repositoryId: string;
  readonly repositoryKey: Uint8Array;
  /** The random key, or the passphrase. */
  readonly opener: Uint8Array | Secret;
  /** Of a passphrase. */
  readonly cost?: PassphraseCost;
  readonly nowMs: number;
}

export async function makeSlot(request: NewSlot, random: Random): Promise<KeySlot> {
  const salt = Buffer.from(random.bytes(16)).toString('base64');
  const cost = request.cost ?? passphraseCostDefault;
  const derivation: JsonObject = request.kind === 'passphrase' ? { name: 'scrypt', salt, ...cost } : { name: 'hkdf-sha256', salt };
  const names = { slot: request.slotId, repository: request.repositoryId, kind: request.kind };
  const under = await deriveSlotKey(derivation, request.opener, request.slotId);
  const wrapped = wrapKey(under, request.repositoryKey, slotWords(names), random);
  return { holdfast: 'key-slot', format: formatVersion, ...names, createdAtMs: request.nowMs, derivation, wrapped };
}

async function deriveSlotKey(derivation: JsonObject, opener: Uint8Array | Secret, slotId: string): Promise<Uint8Array> {
  const { name, salt, N, r, p } = derivation;
  const saltBytes = Buffer.from(String(salt), 'base64');
  if (name === 'hkdf-sha256' && opener instanceof Uint8Array)
    return deriveKey(opener, associatedText(['holdfast/1/slot-key', slotId]), saltBytes);
  if (name === 'scrypt' && !(opener instanceof Uint8Array) && typeof N === 'number' && typeof r === 'number' && typeof p === 'number') {
    if (N * r > 1_048_576 || p > 16)
      throw fail('REPOSITORY_DAMAGED', {
        message: `the key slot ${slotId} asks for more work than any that Holdfast makes`,
        subject: slotId,
      });
    return await new Promise((resolve, reject) =>
      scrypt(opener.reveal().normalize('NFC'), saltBytes, keyBytes, { N, r, p, maxmem: 256 * N * r }, (error, key) =>
        error === null ? resolve(key) : reject(error),
      ),
    );
  }
  throw fail('REPOSITORY_DAMAGED', { message: `the key slot ${slotId} names a derivation that does not fit its kind`, subject: slotId });
}

export function parseSlot(bytes: Uint8Array, object: string): KeySlot {
  const value = parseJsonObject(bytes, object);
  checkFormat(value, 'key-slot', object);
  const { slot, repository, kind, derivation, wrapped } = value as Partial<KeySlot>;
  if ([slot, repository, kind, wrapped?.nonce, wrapped?.sealed].some((part) => typeof part !== 'string') || typeof derivation !== 'object')
    throw fail('REPOSITORY_DAMAGED', { message: `${object} lacks what a key slot should say`, subject: object });
  return value as KeySlot;
}

/** The repository key, by the first slot that the secret opens; undefined where it opens none. A mistyped recovery key: KEY_WRONG. */
export async function openSlots(
  slots: readonly KeySlot[],
  secret: Secret,
): Promise<{ readonly slot: KeySlot; readonly key: Uint8Array } | undefined> {
  const text = secret.reveal();
  const opener = looksLikeRecoveryKey(text) ? parseRecoveryKey(text) : secret;
  const fits = (slot: KeySlot) =>
    opener instanceof Uint8Array ? slot.kind === 'recovery' || slot.kind === 'machine' : slot.kind === 'passphrase';
  for (const slot of slots.filter(fits)) {
    const under = await deriveSlotKey(slot.derivation, opener, slot.slot);
    const key = unwrapKey(under, slot.wrapped, slotWords(slot));
    if (key !== undefined) return { slot, key };
  }
  return undefined;
}

/** What is derived from the repository key, each for one purpose. */
export class RepositoryKeys {
  readonly #repositoryId: string;
  readonly #key: Uint8Array;

  constructor(repositoryId: string, repositoryKey: Uint8Array) {
    this.#repositoryId = repositoryId;
    this.#key = repositoryKey;
  }

  /** Ties a manifest or a record to this repository: who has no key can't write one that counts. */
  mac(digestHex: string): string {
    return createHmac('sha256', deriveKey(this.#key, 'holdfast/1/manifest-mac')).update(digestHex).digest('hex');
  }

  wrapBackupKey(key: Uint8Array, component: string, backupId: string, random: Random): WrappedKey {
    return wrapKey(deriveKey(this.#key, 'holdfast/1/wrap-backup'), key, this.#backupWords(component, backupId), random);
  }

  unwrapBackupKey(wrapped: WrappedKey, component: string, backupId: string): Uint8Array {
    const key = unwrapKey(deriveKey(this.#key, 'holdfast/1/wrap-backup'), wrapped, this.#backupWords(component, backupId));
    if (key === undefined)
      throw fail('BACKUP_DAMAGED', {
        message: `the key of the backup ${backupId} does not unwrap under the key of its repository`,
        subject: `${component} ${backupId}`,
      });
    return key;
  }

  archiveKey(component: string, identity: string): Uint8Array {
    return deriveKey(this.#key, associatedText(['holdfast/1/archive', encodeName(component), encodeName(identity)]));
  }

  /** The key itself, to be wrapped into one more slot. */
  forNewSlot(): Uint8Array {
    return this.#key;
  }

  #backupWords(component: string, backupId: string): string {
    return associatedText(['holdfast/1/backup-key', this.#repositoryId, encodeName(component), encodeName(backupId)]);
  }
}
