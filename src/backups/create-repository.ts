/**
 * Makes a repository in an empty place. The object `repo` is what makes it one: it is put last, create-if-absent, so of two who make one at once exactly one succeeds.
 *
 * Invariant: an encrypted repository exists only if its recovery key has opened a slot, as the person typed it. What dies before `repo` is there leaves key slots of an id that nothing
 * else names: they are passed over.
 */
import { fail } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { KeyVault } from '../contracts/key-vault.ts';
import type { BackendCapabilities } from '../contracts/repository-backend.ts';
import { writeCapabilities } from './capability-records.ts';
import { type PassphraseCost, RepositoryKeys } from './key-ladder.ts';
import { type MadeSlot, newSlot, proveRecoveryKey, writeSlot } from './key-slots.ts';
import { writeVaultSlot } from './key-vault-slot.ts';
import { archivesPrefix, backupsPrefix, keysPrefix, repositoryObject } from './object-names.ts';
import { type ObjectStore, putObject } from './put-object.ts';
import { Repository } from './repository.ts';
import { encodeJson, formatVersion, type RepositoryFacts } from './repository-format.ts';
import type { RepositoryPlace } from './repository-place.ts';
import { keyBytes } from './sealing.ts';

export interface CreateRequest extends RepositoryPlace {
  /** Absent: nothing is encrypted. Without a passphrase the recovery key is the only one, until a slot is added. */
  readonly encryption?: { readonly passphrase?: Secret; readonly cost?: PassphraseCost; readonly keyVault?: KeyVault };
  /** Shows the recovery key, once, and answers what the person typed back. */
  readonly confirmRecoveryKey: (key: string) => Promise<string>;
  readonly signal?: AbortSignal;
}

export async function createRepository(request: CreateRequest): Promise<Repository> {
  const { backend, host, platform, encryption } = request;
  const store: ObjectStore = { backend, host, ...(request.lockMs === undefined ? {} : { lockMs: request.lockMs }) };
  await refuseOccupied(store);
  const capabilities = await probe(request);
  const { nowMs, random } = { nowMs: host.clock.nowMs(), random: host.random };
  const facts: RepositoryFacts = {
    holdfast: 'repository',
    format: formatVersion,
    id: Buffer.from(random.bytes(16)).toString('hex'),
    platform,
    suite: encryption === undefined ? 'plain' : 'aes-256-gcm',
    createdAtMs: nowMs,
  };
  const key = encryption === undefined ? undefined : random.bytes(keyBytes);
  const slots = key === undefined ? [] : await proveSlots(store, facts.id, key, request);
  const { keyVault } = encryption ?? {};
  const written: string[] = [];
  try {
    // The service may refuse: then nothing was put into the store.
    if (keyVault !== undefined && key !== undefined) written.push((await writeVaultSlot(store, facts.id, key, keyVault)).slot);
    for (const { slot, secret } of slots) await writeSlot(store, slot, secret);
    await writeCapabilities(store, facts.id, capabilities);
    await store.backend.barrier();
    if ((await putObject(store, repositoryObject, encodeJson(facts))) === 'exists') throw alreadyThere(backend.name);
    await store.backend.barrier();
  } catch (error) {
    for (const slot of [...written, ...slots.map((made) => made.slot.slot)])
      await withoutFurtherHarm(() => backend.remove(keysPrefix + slot), store);
    throw error;
  }
  const keys = key === undefined ? undefined : new RepositoryKeys(facts.id, key);
  const pieceBytes = request.pieceBytes === undefined ? {} : { pieceBytes: request.pieceBytes };
  return new Repository({ store, facts, keys, ...(keyVault === undefined ? {} : { keyVault }), ...pieceBytes }, capabilities);
}

/** The recovery slot first, opened by what was typed; only then is anything put into the store. */
async function proveSlots(store: ObjectStore, repositoryId: string, key: Uint8Array, request: CreateRequest): Promise<readonly MadeSlot[]> {
  const recovery = await newSlot(store, repositoryId, key, { kind: 'recovery' });
  await proveRecoveryKey(recovery.slot, await request.confirmRecoveryKey(recovery.secret.reveal()));
  const { passphrase, cost } = request.encryption ?? {};
  if (passphrase === undefined) return [recovery];
  if (passphrase.reveal().length < 8)
    throw fail('KEY_WRONG', {
      message: `the passphrase from ${passphrase.source} is shorter than 8 characters`,
      hint: 'Who gets hold of a copy of the repository can try millions: take a long one.',
    });
  return [recovery, await newSlot(store, repositoryId, key, { kind: 'passphrase', passphrase, ...(cost ? { cost } : {}) })];
}

async function refuseOccupied(store: ObjectStore): Promise<void> {
  if ((await store.backend.head(repositoryObject)) !== undefined) throw alreadyThere(store.backend.name);
  // Backups without `repo` are a repository that lost it. A new one with new keys in the same place would bury them.
  for (const prefix of [backupsPrefix, archivesPrefix])
    for await (const { name } of store.backend.list(prefix))
      throw fail('REPOSITORY_EXISTS', {
        message: `${store.backend.name} holds backups (${name}) of a repository whose object "${repositoryObject}" is missing`,
        hint: 'Bring that object back from a copy, or name an empty place for a new repository.',
        subject: store.backend.name,
      });
}

async function probe({ backend, signal, lockMs }: CreateRequest): Promise<BackendCapabilities> {
  const capabilities = await backend.probe(signal ?? new AbortController().signal);
  if (!capabilities.putIfAbsent || !capabilities.readAfterWrite)
    throw fail('STORE_UNSOUND', {
      message: `${backend.name} ${capabilities.putIfAbsent ? 'does not show what was just written' : 'does not refuse to write an object twice'}`,
      subject: backend.name,
      details: { notes: capabilities.notes },
    });
  if (lockMs !== undefined && !capabilities.lock)
    throw fail('STORE_NO_LOCK', { message: `${backend.name} can not lock objects`, subject: backend.name });
  return capabilities;
}

/** Cleaning up after a failure: what fails here too is told in the log, and the first failure is what the caller hears. */
async function withoutFurtherHarm(work: () => Promise<void>, store: ObjectStore): Promise<void> {
  try {
    await work();
  } catch (error) {
    store.host.log.warn('repository.left-behind', { why: String(error) });
  }
}

const alreadyThere = (name: string) => fail('REPOSITORY_EXISTS', { message: `there is a repository in ${name} already`, subject: name });
