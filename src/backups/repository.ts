/**
 * A repository of backups, in a store. Joins what the other modules of this folder do; `createRepository` and `openRepository` make one.
 *
 * Invariant: every change of state is a new object; a backup exists from the moment its manifest does. What dies here leaves at most objects that belong to nothing.
 */
import { fail } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import type { ArchiveReader, ArchiveWriter, BackupReader } from '../contracts/backup.ts';
import type { KeyVault } from '../contracts/key-vault.ts';
import type { BackendCapabilities } from '../contracts/repository-backend.ts';
import { Archive } from './archive.ts';
import type { BackupCopies, BackupRepository, BackupWriting, RepositoryLease } from './backup-repository.ts';
import { openBackupSeal } from './backup-seal.ts';
import { type BackupRequest, beginBackupWriting } from './backup-writing.ts';
import { forgetOldCapabilities, writeCapabilities } from './capability-records.ts';
import { readCatalogue } from './catalogue.ts';
import { findChain, inLink, openNeeded } from './chain.ts';
import { describeBackup } from './describe-backup.ts';
import { readEvidence, writeEvidence } from './evidence.ts';
import { writeGap } from './gaps.ts';
import type { KeySlot } from './key-ladder.ts';
import { addSlot, readSlots, revokeSlot, type SlotRequest } from './key-slots.ts';
import { openKeysByVault, writeVaultSlot } from './key-vault-slot.ts';
import { type LeaseRequest, takeLease } from './lease.ts';
import { openArchiveSeal } from './log-block.ts';
import type { Manifest } from './manifest.ts';
import { archivePrefix, encodeName, manifestObject, recordPrefix } from './object-names.ts';
import { type BackupContent, readPart } from './piece-reader.ts';
import { readCopies } from './read-copies.ts';
import { readManifest } from './read-manifest.ts';
import { writeRecord } from './record-objects.ts';
import type { BackupRecord, Catalogue, CatalogueEntry, GapRecord, ProofRecord, TombstoneRecord } from './records.ts';
import { hasLogs, type LogCut, removeArchive } from './remove-archive.ts';
import { RemovalCount, type Removed, removeBackupObjects, removeBelow } from './remove-objects.ts';
import type { RepositoryParts } from './repository-parts.ts';
import { sweepOrphans } from './sweep-orphans.ts';
import { verifyPieces } from './verify-pieces.ts';

export class Repository implements BackupRepository {
  readonly #parts: RepositoryParts;
  #capabilities: BackendCapabilities;

  constructor(parts: RepositoryParts, capabilities: BackendCapabilities) {
    this.#parts = parts;
    this.#capabilities = capabilities;
  }

  get id(): string {
    return this.#parts.facts.id;
  }

  get name(): string {
    return this.#parts.store.backend.name;
  }

  get encrypted(): boolean {
    return this.#parts.facts.suite !== 'plain';
  }

  get capabilities(): BackendCapabilities {
    return this.#capabilities;
  }

  async beginBackup(request: BackupRequest): Promise<BackupWriting> {
    this.#needKey();
    const { component, backupId } = request;
    const { store } = this.#parts;
    if ((await store.backend.head(manifestObject(component, backupId), request.signal)) !== undefined)
      throw fail('BACKUP_INCOMPLETE', {
        message: `${component} ${backupId} is a committed backup already`,
        hint: 'Take the new one under another id.',
        subject: `${component} ${backupId}`,
      });
    await removeBackupObjects(store, component, backupId);
    return await beginBackupWriting(this.#parts, request);
  }

  async findBackup(component: string, backupId: string): Promise<BackupRecord | undefined> {
    const manifest = await readManifest(this.#parts, component, backupId);
    return manifest === undefined ? undefined : describeBackup(manifest);
  }

  async openBackup(component: string, backupId: string): Promise<BackupReader> {
    this.#needKey();
    const manifest = await this.#manifest(component, backupId);
    const content = await this.#content(manifest);
    const archive = await this.#findArchive(component, manifest.facts.identity);
    return {
      backupId,
      what: manifest.head.what,
      facts: manifest.facts,
      parts: manifest.parts.map(({ part, plainBytes }) => ({ name: part, bytes: plainBytes })),
      readPart: (name) => readPart(content, name),
      openNeeded: (id) => openNeeded(this, { component, backupId, needs: manifest.facts.needs }, id),
      ...(archive === undefined ? {} : { archive }),
      fingerprintKey: (content.seal as NonNullable<BackupContent['seal']>).fingerprintKey,
    };
  }

  async verifyPieces(
    component: string,
    backupId: string,
    signal: AbortSignal,
    onProgress: (doneBytes: number, ofBytes: number) => void,
  ): Promise<readonly string[]> {
    const chain = await findChain((id) => readManifest(this.#parts, component, id), component, backupId);
    const problems = [...chain.problems];
    const ofBytes = chain.manifests.reduce((sum, { parts }) => sum + storedBytesOf(parts), 0);
    let beforeBytes = 0;
    for (const manifest of chain.manifests) {
      const found = await verifyPieces(await this.#content(manifest), signal, (done) => onProgress(beforeBytes + done, ofBytes));
      problems.push(...(manifest.head.backup === backupId ? found : found.map((each) => inLink(each, backupId, manifest.head.backup))));
      beforeBytes += storedBytesOf(manifest.parts);
    }
    return problems;
  }

  async readCopies(component: string, backupId: string, signal: AbortSignal): Promise<BackupCopies> {
    return await readCopies(await this.#content(await this.#manifest(component, backupId)), signal);
  }

  async openArchive(component: string, identity: string): Promise<ArchiveWriter> {
    this.#needKey();
    return new Archive(this.#parts, component, identity, openArchiveSeal(this.id, component, identity, this.#parts.keys));
  }

  async readCatalogue(component?: string): Promise<Catalogue> {
    return await readCatalogue(this.#parts, component);
  }

  async writeProof(record: ProofRecord): Promise<void> {
    const object = `${recordPrefix('proofs', record.component, record.backupId)}${encodeName(record.proofId)}`;
    await writeRecord(this.#parts, 'proofs', object, record, { lock: true });
  }

  async writeTombstone(record: TombstoneRecord): Promise<void> {
    const id = makeId('tombstone', record.atMs, () => this.#parts.store.host.random.next());
    await writeRecord(this.#parts, 'tombstones', `${recordPrefix('tombstones', record.component, record.backupId)}${id}`, record);
  }

  async writeEvidence(id: string, evidence: JsonObject): Promise<void> {
    await writeEvidence(this.#parts, id, evidence);
  }

  async readEvidence(id: string): Promise<JsonObject | undefined> {
    return await readEvidence(this.#parts, id);
  }

  async acknowledgeGap(gap: GapRecord, by: string): Promise<void> {
    const atMs = this.#parts.store.host.clock.nowMs();
    await writeGap(this.#parts, { ...gap, atMs, acknowledged: { by, atMs } });
  }

  async takeLease(request: LeaseRequest): Promise<RepositoryLease> {
    return await takeLease(this.#parts, request);
  }

  async removeBackup({ backup: { component, backupId } }: CatalogueEntry): Promise<Removed> {
    const { store } = this.#parts;
    const count = new RemovalCount();
    count.add(await removeBackupObjects(store, component, backupId));
    if ((await store.backend.head(manifestObject(component, backupId))) !== undefined) return count.result();
    // The tombstone goes last: until then it tells why the backup is gone.
    for (const folder of ['proofs', 'leases', 'tombstones'] as const)
      await removeBelow(store, recordPrefix(folder, component, backupId), count);
    return count.result();
  }

  async hasLogs(component: string, identity: string, cut: LogCut): Promise<boolean> {
    return await hasLogs(this.#parts, component, identity, cut);
  }

  async removeArchive(component: string, identity: string, cut: LogCut): Promise<Removed> {
    return await removeArchive(this.#parts, component, identity, cut);
  }

  async sweepOrphans(olderThanMs: number): Promise<Removed> {
    return await sweepOrphans(this.#parts, olderThanMs, this.#capabilities.clockSkewMs ?? 0);
  }

  async check(signal: AbortSignal): Promise<BackendCapabilities> {
    const { store, facts } = this.#parts;
    const capabilities = await store.backend.probe(signal);
    await writeCapabilities(store, facts.id, capabilities);
    await store.backend.barrier();
    await forgetOldCapabilities(store, facts.id);
    this.#capabilities = capabilities;
    return capabilities;
  }

  async slots(): Promise<readonly KeySlot[]> {
    return await readSlots(this.#parts.store, this.id);
  }

  /** One more way to open the repository; no backup is touched. A recovery or machine key is shown once, by `confirm`, which answers what the person typed back. */
  async addSlot(request: SlotRequest, confirm: (key: string) => Promise<string>): Promise<string> {
    const { keys, store } = this.#parts;
    if (keys === undefined)
      throw this.encrypted ? keyMissing(this.name) : fail('KEY_WRONG', { message: `the repository in ${this.name} is not encrypted` });
    return await addSlot(store, this.id, keys, request, confirm);
  }

  /** One more way, by the key management service that the repository was opened with, or by another. */
  async addVaultSlot(service: KeyVault): Promise<string> {
    const { keys, store } = this.#parts;
    if (keys === undefined)
      throw this.encrypted ? keyMissing(this.name) : fail('KEY_WRONG', { message: `the repository in ${this.name} is not encrypted` });
    return (await writeVaultSlot(store, this.id, keys.forNewSlot(), service)).slot;
  }

  async checkKey(): Promise<void> {
    const { keyVault, store } = this.#parts;
    if (keyVault !== undefined) await openKeysByVault(store, this.id, keyVault);
  }

  async revokeSlot(slotId: string): Promise<void> {
    await revokeSlot(this.#parts.store, this.id, slotId);
  }

  async close(): Promise<void> {
    await this.#parts.keyVault?.close();
    await this.#parts.store.backend.close();
  }

  async #manifest(component: string, backupId: string): Promise<Manifest> {
    const manifest = await readManifest(this.#parts, component, backupId);
    if (manifest !== undefined) return manifest;
    throw fail('NOT_FOUND', { message: `${this.name} has no backup "${backupId}" of ${component}`, subject: `${component} ${backupId}` });
  }

  async #content(manifest: Manifest): Promise<BackupContent> {
    const { store, keys } = this.#parts;
    const names = { repositoryId: this.id, component: manifest.head.component, backupId: manifest.head.backup };
    const canOpen = !this.encrypted || keys !== undefined;
    return { store, manifest, seal: canOpen ? openBackupSeal(names, keys, manifest.head.key) : undefined };
  }

  async #findArchive(component: string, identity: string): Promise<ArchiveReader | undefined> {
    for await (const _ of this.#parts.store.backend.list(archivePrefix(component, identity)))
      return await this.openArchive(component, identity);
    return undefined;
  }

  #needKey(): void {
    if (this.encrypted && this.#parts.keys === undefined) throw keyMissing(this.name);
  }
}

const storedBytesOf = (parts: Manifest['parts']): number => parts.reduce((sum, part) => sum + part.storedBytes, 0);

const keyMissing = (name: string) =>
  fail('KEY_MISSING', { message: `the repository in ${name} is encrypted, and was opened without its key`, subject: name });
