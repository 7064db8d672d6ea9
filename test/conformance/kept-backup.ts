/** A backup kept in memory: what a repository does for a driver, without its pieces, digests and keys. Parts can be damaged, and read in pieces of any size. */
import { rm } from 'node:fs/promises';
import type {
  BackupContext,
  BackupFacts,
  BackupReader,
  BackupSink,
  BackupSource,
  RestorerContext,
  TakeOptions,
} from '../../src/contracts/backup.ts';
import type { Host } from '../../src/host/host.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';

export const fingerprintKey = Buffer.alloc(32, 42);

export class KeptBackup {
  readonly parts = new Map<string, Buffer>();
  readonly ended = new Set<string>();
  facts: BackupFacts | undefined;
  what = '';
  /** The most that was handed over without being awaited. */
  pendingMax = 0;

  sink(options: { readonly failAfterBytes?: number; readonly slowMs?: number } = {}): BackupSink {
    let pending = 0;
    let takenBytes = 0;
    return {
      backupId: 'kept',
      openPart: (name) => {
        const pieces: Uint8Array[] = [];
        this.parts.set(name, Buffer.alloc(0));
        return {
          write: async (bytes) => {
            pending += 1;
            this.pendingMax = Math.max(this.pendingMax, pending);
            await new Promise((resolve) => setTimeout(resolve, options.slowMs ?? 0));
            pending -= 1;
            takenBytes += bytes.length;
            if (takenBytes > (options.failAfterBytes ?? Number.POSITIVE_INFINITY)) throw new Error('the store is full');
            pieces.push(Uint8Array.from(bytes));
          },
          end: async () => {
            this.parts.set(name, Buffer.concat(pieces));
            this.ended.add(name);
          },
        };
      },
    };
  }

  reader(pieceBytes = 65_521): BackupReader {
    const { facts, parts } = this;
    if (facts === undefined) throw new Error('nothing was backed up');
    return {
      backupId: 'kept',
      what: this.what,
      facts,
      parts: [...parts].map(([name, bytes]) => ({ name, bytes: bytes.length })),
      readPart: async function* (name) {
        const bytes = parts.get(name) as Buffer;
        for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
      },
      fingerprintKey,
    };
  }

  /** A copy with one byte of a part turned over. */
  flipped(part: string, at: number): KeptBackup {
    return this.changed(part, (bytes) => {
      const copy = Buffer.from(bytes);
      const index = at < 0 ? copy.length + at : at;
      copy[index] = (copy[index] as number) ^ 0x40;
      return copy;
    });
  }

  changed(part: string, change: (bytes: Buffer) => Buffer): KeptBackup {
    const copy = new KeptBackup();
    copy.facts = this.facts;
    copy.what = this.what;
    for (const [name, bytes] of this.parts) copy.parts.set(name, name === part ? change(bytes) : bytes);
    return copy;
  }
}

export function backupContext(host: Host, signal: AbortSignal = new AbortController().signal): BackupContext {
  return { signal, log: host.log, progress: () => {} };
}

/** Directories that are removed after each test. */
export class TestDirectories {
  readonly #made: string[] = [];

  async make(name: string): Promise<string> {
    const directory = await temporaryDirectory(name);
    this.#made.push(directory);
    return directory;
  }

  async removeAll(): Promise<void> {
    for (const directory of this.#made.splice(0)) await rm(directory, { recursive: true, force: true });
  }
}

export async function takeBackup(
  source: BackupSource,
  host: Host,
  what: string,
  options: Omit<TakeOptions, 'fingerprintKey'> & { readonly signal?: AbortSignal; readonly slowMs?: number } = {},
): Promise<KeptBackup> {
  const kept = new KeptBackup();
  const { signal, slowMs, ...rest } = options;
  kept.what = what;
  kept.facts = await source.take(
    what,
    kept.sink(slowMs === undefined ? {} : { slowMs }),
    { fingerprintKey, ...rest },
    backupContext(host, signal),
  );
  for (const name of kept.parts.keys()) if (!kept.ended.has(name)) throw new Error(`the part ${name} was never ended`);
  // What a manifest keeps is JSON.
  kept.facts = JSON.parse(JSON.stringify(kept.facts)) as BackupFacts;
  return kept;
}

export function restorerContext<C>(
  host: Host,
  parts: { readonly component: string; readonly options: C; readonly workDirectory: string; readonly signal?: AbortSignal },
): RestorerContext<C> {
  const { signal, ...rest } = parts;
  return { ...backupContext(host, signal), host, ...rest };
}
