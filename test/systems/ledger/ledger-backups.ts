/** Backups as nodes of the stand-in keep them: of the whole node in A, of one organization in B, which only the region with its key takes back. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { JsonObject } from '../../../src/base/json.ts';
import { readState, type StoredState, type StoredVault, writeState } from './node-state.ts';
import { type BackedUpNode, type BackupSettings, type BackupWorld, Refusal } from './parts.ts';

interface Content extends JsonObject {
  readonly organizations: string[];
  readonly vaults: StoredVault[];
  readonly region: string;
  readonly keyFingerprint: string;
}

const fingerprint = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 16);

export class LedgerBackups {
  readonly #world: BackupWorld;
  #count = 0;
  /** It answers, counts, and writes nothing whole. */
  cutsShort = false;

  constructor(world: BackupWorld) {
    this.#world = world;
  }

  get #settings(): BackupSettings {
    const { backupSettings } = this.#world;
    if (backupSettings === undefined) throw new Refusal(status.FAILED_PRECONDITION, 'Backup is not configured on this node');
    return backupSettings;
  }

  #pathOf(id: string): string {
    return join(this.#settings.directory, `${id}${this.#world.profile === 'A' ? '.backup' : '.tar.zst'}`);
  }

  list(): object {
    const names = readdirSync(this.#settings.directory);
    return { backups: names.map((name) => ({ backup_id: name.replace(/\.(?:backup|tar\.zst)$/, '') })) };
  }

  create(node: BackedUpNode, request: Record<string, unknown>): object {
    const { directory, region, regionKey } = this.#settings;
    const state = node.state;
    if (state === undefined || !this.#world.hasLeader(node)) throw new Refusal(status.UNAVAILABLE, 'no leader');
    const slug = (request.organization as { slug: string } | null | undefined)?.slug;
    if (this.#world.profile === 'B' && (slug === undefined || !state.organizations.includes(slug)))
      throw new Refusal(status.NOT_FOUND, 'organization not found');
    const organizations = this.#world.profile === 'A' ? state.organizations : [slug as string];
    this.#count += 1;
    const id = `backup-${this.#count}`;
    const content: Content = {
      organizations,
      vaults: state.vaults.filter(({ organization }) => organizations.includes(organization)),
      region,
      keyFingerprint: fingerprint(regionKey),
    };
    const text = JSON.stringify(content);
    mkdirSync(directory, { recursive: true });
    writeFileSync(this.#pathOf(id), this.cutsShort ? text.slice(0, 10) : text);
    node.counters.backups += 1;
    const answer = { backup_id: id, backup_path: this.#pathOf(id), size_bytes: String(Buffer.byteLength(text)) };
    if (this.#world.profile === 'A') return answer;
    const dbs = [{ path: 'state.db', size: String(Buffer.byteLength(text)), blake3: Buffer.alloc(32, 7) }];
    return { ...answer, manifest: { region, organization: { slug }, rmk_fingerprint: fingerprint(regionKey), dbs } };
  }

  #read(id: string): Content {
    try {
      return JSON.parse(readFileSync(this.#pathOf(id), 'utf8')) as Content;
    } catch {
      throw new Refusal(status.NOT_FOUND, `backup ${id} not found`);
    }
  }

  restore(node: BackedUpNode, request: Record<string, unknown>): object {
    const { region, regionKey } = this.#settings;
    const id = String(request.backup_id);
    const content = this.#read(id);
    if (this.#world.profile === 'A') {
      if (request.confirm !== true) throw new Refusal(status.FAILED_PRECONDITION, 'restore must be confirmed');
      // It takes effect at the next start.
      this.#world.pendingRestore.set(node.settings.data, content);
      return { success: true, message: 'snapshot saved; restart the node' };
    }
    if (content.region !== region)
      throw new Refusal(status.FAILED_PRECONDITION, `backup is of region ${content.region}, this node is of ${region}`);
    if (content.keyFingerprint !== fingerprint(regionKey))
      throw new Refusal(status.FAILED_PRECONDITION, 'region master key does not match');
    const staging = join(node.settings.data, 'restore-staging', id);
    mkdirSync(staging, { recursive: true });
    writeFileSync(join(staging, 'content.json'), JSON.stringify(content));
    const manifest = { region, organization: { slug: content.organizations[0] }, rmk_fingerprint: content.keyFingerprint, dbs: [] };
    return { staging_dir: staging, manifest };
  }

  /** `restore apply`, with the node stopped. */
  apply(data: string, staging: string, region: string, organization: string): { exitCode: number; stderr: string } {
    if (this.#world.isInUse(data)) return { exitCode: 1, stderr: 'data directory is locked by a running node' };
    const content = JSON.parse(readFileSync(join(staging, 'content.json'), 'utf8')) as Content;
    if (content.region !== region || content.organizations[0] !== organization)
      return { exitCode: 1, stderr: 'staging is of another region or organization' };
    const state = readState(data);
    if (state === undefined) return { exitCode: 1, stderr: 'data directory is not initialized' };
    writeState(data, withContent(state, content));
    return { exitCode: 0, stderr: '' };
  }
}

export function withContent(state: StoredState, { organizations, vaults }: Pick<Content, 'organizations' | 'vaults'>): StoredState {
  return {
    ...state,
    organizations: [...new Set([...state.organizations, ...organizations])],
    vaults: [...state.vaults.filter(({ organization }) => !organizations.includes(organization)), ...vaults],
  };
}
