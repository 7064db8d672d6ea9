/** A repository in memory with a clock that sleeps at once, and what tests do with it again and again. */

import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { Secret } from '../../src/base/secret.ts';
import type { BackupFacts, BackupReader } from '../../src/contracts/backup.ts';
import { fakeHost, seededRandom } from './host.ts';
import { MemoryBackend, type MemoryBackendOptions } from './memory-backend.ts';

/** Small pieces, so that a test of a few kilobytes has many of them. */
export const testPieceBytes = 1_024;

export const startMs = Date.parse('2026-11-20T10:00:00.000Z');

export interface RepositoryWorld {
  readonly backend: MemoryBackend;
  readonly repository: Repository;
  /** Undefined in a repository that is not encrypted. */
  readonly recoveryKey: string | undefined;
  nowMs: number;
  /** As a process that has just started would. */
  reopen(): Promise<Repository>;
}

/** Time passes only by being slept or set. */
export function testHost(state: { nowMs: number }, seed = 1) {
  const host = fakeHost({ seed });
  const clock = {
    ...host.clock,
    nowMs: () => state.nowMs,
    sleep: async (durationMs: number, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      state.nowMs += durationMs;
    },
  };
  return { clock, random: seededRandom(seed), log: host.log };
}

export async function makeWorld(
  options: MemoryBackendOptions & { readonly encrypted?: boolean; readonly lockMs?: number; readonly pieceBytes?: number } = {},
): Promise<RepositoryWorld> {
  const state = { nowMs: startMs };
  const backend = new MemoryBackend({ nowMs: () => state.nowMs, ...options });
  let recoveryKey: string | undefined;
  const place = {
    backend,
    platform: 'orders',
    pieceBytes: options.pieceBytes ?? testPieceBytes,
    ...(options.lockMs === undefined ? {} : { lockMs: options.lockMs }),
  };
  const repository = await createRepository({
    ...place,
    host: testHost(state, 11),
    ...(options.encrypted === true ? { encryption: {} } : {}),
    confirmRecoveryKey: async (key) => {
      recoveryKey = key;
      return key;
    },
  });
  let starts = 0;
  return {
    backend,
    repository,
    recoveryKey,
    get nowMs() {
      return state.nowMs;
    },
    set nowMs(value) {
      state.nowMs = value;
    },
    reopen: async () => {
      starts += 1;
      const secret = recoveryKey === undefined ? {} : { secret: new Secret(recoveryKey, 'test') };
      return await openRepository({ ...place, host: testHost(state, 100 + starts), ...secret });
    },
  };
}

export function testFacts(more: Partial<BackupFacts> = {}): BackupFacts {
  return { engine: 'test', engineVersion: '1.0', identity: '7000000000000000001', consistentAtMs: startMs, dataBytes: 0, ...more };
}

export type TestParts = Readonly<Record<string, Uint8Array>>;

export async function writeBackup(
  repository: Repository,
  parts: TestParts,
  options: { readonly component?: string; readonly backupId?: string; readonly facts?: BackupFacts; readonly compressed?: boolean } = {},
) {
  const writing = await repository.beginBackup({
    component: options.component ?? 'db',
    backupId: options.backupId ?? 'b1',
    what: 'base',
    signal: new AbortController().signal,
  });
  for (const [name, bytes] of Object.entries(parts)) {
    const part = writing.sink.openPart(name, { compressed: options.compressed === true });
    await part.write(bytes);
    await part.end();
  }
  return await writing.commit(options.facts ?? testFacts());
}

export async function readParts(reader: BackupReader): Promise<Record<string, Uint8Array>> {
  const parts: Record<string, Uint8Array> = {};
  for (const { name } of reader.parts) parts[name] = await collect(reader.readPart(name));
  return parts;
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** Bytes that do not compress, the same for the same seed. */
export function randomBytes(count: number, seed = 7): Uint8Array {
  return seededRandom(seed).bytes(count);
}

export const never = new AbortController().signal;
