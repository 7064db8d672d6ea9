/**
 * Key slots that a key management service opens: a random key, wrapped by the service, that opens the slot as a machine's key would. The service never sees the repository's own key, and
 * its own never leaves it.
 *
 * Invariant: what is wrapped is bound to the repository and the slot; a slot counts only after the service has unwrapped it again and it has opened.
 */
import { fail, HoldfastError } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { KeyVault } from '../contracts/key-vault.ts';
import { type KeySlot, parseSlot, slotWords, unwrapKey, wrapKey } from './key-ladder.ts';
import { readSlots } from './key-slots.ts';
import { keysPrefix } from './object-names.ts';
import { getObject, type ObjectStore, putObject } from './put-object.ts';
import { encodeJson, formatVersion } from './repository-format.ts';
import { associatedText, deriveKey, keyBytes } from './sealing.ts';

const derivationName = 'key-service';
const contextOf = (repository: string, slot: string) => ({ holdfast: 'repository-key', repository, slot });

export async function writeVaultSlot(
  store: ObjectStore,
  repositoryId: string,
  repositoryKey: Uint8Array,
  service: KeyVault,
): Promise<KeySlot> {
  const { clock, random } = store.host;
  const nowMs = clock.nowMs();
  const slotId = makeId('kms', nowMs, () => random.next());
  const opener = random.bytes(keyBytes);
  const salt = Buffer.from(random.bytes(16)).toString('base64');
  const { keyId, ciphertext } = await service.wrap(opener, contextOf(repositoryId, slotId));
  const names = { slot: slotId, repository: repositoryId, kind: 'kms' };
  const wrapped = wrapKey(slotKey(opener, slotId, salt), repositoryKey, slotWords(names), random);
  const derivation = { name: derivationName, salt, keyId, ciphertext: Buffer.from(ciphertext).toString('base64') };
  const slot: KeySlot = { holdfast: 'key-slot', format: formatVersion, ...names, createdAtMs: nowMs, derivation, wrapped };
  const object = keysPrefix + slotId;
  await putObject(store, object, encodeJson(slot));
  await store.backend.barrier();
  if ((await openSlot(parseSlot(await getObject(store, object), object), service)) === undefined)
    throw fail('KEY_NOT_PROVEN', { message: `the key slot ${slotId} does not open with what ${service.name} gives back`, subject: slotId });
  return slot;
}

const slotKey = (opener: Uint8Array, slotId: string, salt: string): Uint8Array =>
  deriveKey(opener, associatedText(['holdfast/1/slot-key', slotId]), Buffer.from(salt, 'base64'));

async function openSlot(slot: KeySlot, service: KeyVault): Promise<Uint8Array | undefined> {
  const { name, salt, keyId, ciphertext } = slot.derivation;
  if (name !== derivationName || typeof keyId !== 'string' || typeof ciphertext !== 'string' || typeof salt !== 'string')
    throw fail('REPOSITORY_DAMAGED', {
      message: `the key slot ${slot.slot} lacks what a key management service needs`,
      subject: slot.slot,
    });
  const wrapped = { keyId, ciphertext: Buffer.from(ciphertext, 'base64') };
  const opener = await service.unwrap(wrapped, contextOf(slot.repository, slot.slot));
  return unwrapKey(slotKey(opener, slot.slot, salt), slot.wrapped, slotWords(slot));
}

/** The repository key, by the first slot that the service opens. KEY_WRONG where it opens none; a service that does not answer is said as it is. */
export async function openKeysByVault(store: ObjectStore, repositoryId: string, service: KeyVault): Promise<Uint8Array> {
  const slots = (await readSlots(store, repositoryId)).filter(({ kind }) => kind === 'kms');
  let wrong: HoldfastError | undefined;
  for (const slot of slots) {
    try {
      const key = await openSlot(slot, service);
      if (key !== undefined) return key;
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'KEY_WRONG') throw error;
      wrong = error;
    }
  }
  if (wrong !== undefined) throw wrong;
  throw fail('KEY_WRONG', {
    message: `${service.name} opens none of the key slots of the repository in ${store.backend.name}`,
    hint: 'Open it with its recovery key or passphrase, and add a slot: holdfast repository add-key --key-service.',
    subject: store.backend.name,
  });
}
