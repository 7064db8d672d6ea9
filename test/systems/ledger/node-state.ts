/** What a node of the stand-in keeps in its data directory, and the hashes of its vaults. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '../../../src/base/json.ts';

export type Profile = 'A' | 'B';

export interface StoredMember extends JsonObject {
  nodeId: string;
  address: string;
  role: 'voter' | 'learner';
}

export interface StoredVault extends JsonObject {
  organization: string;
  vault: string;
  height: number;
  /** What its blocks say: another text, other hashes. */
  content: string;
  health: 'healthy' | 'diverged' | 'recovering';
  divergedAt?: number;
  /** Its log is damaged: playing it again leads to the same divergence. */
  beyondRepair?: boolean;
}

export interface StoredState extends JsonObject {
  nodeId: string;
  clusterId: string;
  term: number;
  members: StoredMember[];
  organizations: string[];
  vaults: StoredVault[];
}

const stateFile = (directory: string): string => join(directory, 'node-state.json');

export function readState(directory: string): StoredState | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(directory), 'utf8')) as StoredState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export function writeState(directory: string, state: StoredState): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(stateFile(directory), JSON.stringify(state));
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

export const blockHash = (vault: StoredVault): Buffer =>
  hash(`block ${vault.organization} ${vault.vault} ${vault.height} ${vault.content}`);
export const stateRoot = (vault: StoredVault): Buffer =>
  hash(`state ${vault.organization} ${vault.vault} ${vault.height} ${vault.content} ${vault.health === 'diverged' ? 'wrong' : 'right'}`);
