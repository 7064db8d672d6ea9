/**
 * The key slots of a repository, as objects. A slot is added by writing it and revoked by writing its revocation (and removing it, where the store lets us).
 *
 * Invariant: a slot counts only after it was read back from the store and opened; the last recovery slot is never revoked. Nothing here makes a repository key.
 */
import { fail } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import { Secret } from '../base/secret.ts';
import { type KeySlot, makeSlot, openSlots, type PassphraseCost, parseSlot, type RepositoryKeys, type SlotKind } from './key-ladder.ts';
import { keysPrefix, revokedKeysPrefix } from './object-names.ts';
import { getObject, type ObjectStore, putObject } from './put-object.ts';
import { formatRecoveryKey } from './recovery-key.ts';
import { RemovalCount, removeObject } from './remove-objects.ts';
import { encodeJson, formatVersion } from './repository-format.ts';
import { keyBytes } from './sealing.ts';

/** The slots that count: of this repository, not revoked. A slot that can't be read is an error, for it may be the one that is needed. */
export async function readSlots(store: ObjectStore, repositoryId: string): Promise<readonly KeySlot[]> {
  const revoked = new Set<string>();
  for await (const { name } of store.backend.list(revokedKeysPrefix)) revoked.add(name.slice(revokedKeysPrefix.length));
  const slots: KeySlot[] = [];
  for await (const { name } of store.backend.list(keysPrefix)) {
    if (revoked.has(name.slice(keysPrefix.length))) continue;
    const slot = parseSlot(await getObject(store, name), name);
    // Slots of another id are what a creation left that died before its end.
    if (slot.repository === repositoryId) slots.push(slot);
  }
  return slots;
}

/** Puts the slot, reads it back and opens it with the secret: a key that does not open it is an error here, not on the bad day. */
export async function writeSlot(store: ObjectStore, slot: KeySlot, secret: Secret): Promise<void> {
  const object = keysPrefix + slot.slot;
  await putObject(store, object, encodeJson(slot));
  await store.backend.barrier();
  const opened = await openSlots([parseSlot(await getObject(store, object), object)], secret);
  if (opened === undefined)
    throw fail('KEY_NOT_PROVEN', { message: `the key slot ${slot.slot} does not open with its own key`, subject: slot.slot });
}

export type SlotRequest =
  | { readonly kind: 'recovery' | 'machine' }
  | { readonly kind: 'passphrase'; readonly passphrase: Secret; readonly cost?: PassphraseCost };

export interface MadeSlot {
  readonly slot: KeySlot;
  /** What opens it; of a recovery or machine slot it is shown once and kept nowhere. */
  readonly secret: Secret;
}

export async function newSlot(
  store: ObjectStore,
  repositoryId: string,
  repositoryKey: Uint8Array,
  request: SlotRequest,
): Promise<MadeSlot> {
  const { clock, random } = store.host;
  const nowMs = clock.nowMs();
  const kind: SlotKind = request.kind;
  const slotId = makeId(kind, nowMs, () => random.next());
  if (request.kind === 'passphrase') {
    const cost = request.cost === undefined ? {} : { cost: request.cost };
    const slot = await makeSlot({ kind, slotId, repositoryId, repositoryKey, opener: request.passphrase, ...cost, nowMs }, random);
    return { slot, secret: request.passphrase };
  }
  const opener = random.bytes(keyBytes);
  const slot = await makeSlot({ kind, slotId, repositoryId, repositoryKey, opener, nowMs }, random);
  return { slot, secret: new Secret(formatRecoveryKey(opener), slotId) };
}

/** The typed text must open the very slot that the key was made for. */
export async function proveRecoveryKey(slot: KeySlot, typed: string): Promise<void> {
  const opened = await openSlots([slot], new Secret(typed, 'typed')).catch((cause: unknown) => {
    throw fail('KEY_NOT_PROVEN', { message: 'what was typed is not the recovery key that was shown', cause });
  });
  if (opened === undefined) throw fail('KEY_NOT_PROVEN', { message: 'what was typed is not the recovery key that was shown' });
}

export async function revokeSlot(store: ObjectStore, repositoryId: string, slotId: string): Promise<void> {
  const slots = await readSlots(store, repositoryId);
  const slot = slots.find((each) => each.slot === slotId);
  if (slot === undefined) throw fail('NOT_FOUND', { message: `the repository has no key slot "${slotId}"`, subject: slotId });
  if (slot.kind === 'recovery' && slots.filter(({ kind }) => kind === 'recovery').length === 1)
    throw fail('KEY_NOT_PROVEN', {
      message: `${slotId} is the only recovery slot`,
      hint: 'Add another recovery slot first: without one, a lost passphrase loses every backup.',
      subject: slotId,
    });
  const revocation = {
    holdfast: 'key-revocation',
    format: formatVersion,
    repository: repositoryId,
    slot: slotId,
    atMs: store.host.clock.nowMs(),
  };
  await putObject(store, revokedKeysPrefix + slotId, encodeJson(revocation));
  await store.backend.barrier();
  await removeObject(store, { name: keysPrefix + slotId, sizeBytes: 0 }, new RemovalCount());
}

export async function openKeys(store: ObjectStore, repositoryId: string, secret: Secret): Promise<Uint8Array> {
  const slots = await readSlots(store, repositoryId);
  if (slots.length === 0)
    throw fail('KEY_MISSING', {
      message: `the repository in ${store.backend.name} is encrypted, and has no key slot any more`,
      hint: 'Bring back the objects under keys/ from a copy of the repository: no key can be made anew.',
      subject: store.backend.name,
    });
  const opened = await openSlots(slots, secret);
  if (opened !== undefined) return opened.key;
  throw fail('KEY_WRONG', {
    message: `${secret.source} opens none of the ${slots.length} key slots of the repository in ${store.backend.name}`,
    subject: store.backend.name,
  });
}

/** Adds a slot for the key that is open. The caller shows the secret of a recovery or machine slot once; `confirm` proves it before the slot counts. */
export async function addSlot(
  store: ObjectStore,
  repositoryId: string,
  keys: RepositoryKeys,
  request: SlotRequest,
  confirm: (key: string) => Promise<string>,
): Promise<string> {
  const made = await newSlot(store, repositoryId, keys.forNewSlot(), request);
  if (request.kind !== 'passphrase') await proveRecoveryKey(made.slot, await confirm(made.secret.reveal()));
  await writeSlot(store, made.slot, made.secret);
  return made.slot.slot;
}
