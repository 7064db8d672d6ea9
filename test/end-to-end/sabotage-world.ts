/** A repository in a directory, encrypted, and one system that is backed up into it: what the negative controls need, whatever the system is. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { ProofTarget } from '../../src/backups/proof-targets.ts';
import type { BackupRecord } from '../../src/backups/records.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { type ControlOutcome, type Damage, runControls } from '../../src/backups/sabotage.ts';
import { Secret } from '../../src/base/secret.ts';
import type { AnyDriverBackups, BackupContext, BackupSource, ProofLevel } from '../../src/contracts/backup.ts';
import type { RepositoryBackend } from '../../src/contracts/repository-backend.ts';
import type { Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { backend as directoryBackend } from '../../src/repositories/filesystem/backend.ts';
import { seededRandom } from '../fakes/host.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';

export const host: Host = nodeHost({ logTo: 'silent' });
export const component = 'orders';
/** Small, so that every backup has several pieces to be swapped. */
const pieceBytes = 64 * 1_024;

export function quietContext(signal: AbortSignal = new AbortController().signal): BackupContext {
  return { signal, log: host.log, progress: () => undefined };
}

/** One kind of system. */
export interface SabotageSubject {
  readonly name: string;
  readonly backups: AnyDriverBackups;
  /** The component's options, as the driver parsed them. */
  readonly options: unknown;
  readonly what: string;
  readonly level: ProofLevel;
  readonly target: ProofTarget;
  /** Those that only this system knows, and those of the general ones that have something to strike. */
  readonly damages: readonly Damage[];
  openSource(): BackupSource;
  /** Archives until it is ended; for systems with a log. */
  startArchive?(repository: Repository): Promise<{ afterBackup(): Promise<void>; end(): Promise<void> }>;
  stop(): Promise<void>;
}

export class SabotageWorld {
  readonly directory: string;
  readonly repository: Repository;
  readonly #backend: RepositoryBackend;
  readonly #recoveryKey: string;

  private constructor(directory: string, repository: Repository, backend: RepositoryBackend, recoveryKey: string) {
    this.directory = directory;
    this.repository = repository;
    this.#backend = backend;
    this.#recoveryKey = recoveryKey;
  }

  static async open(): Promise<SabotageWorld> {
    const directory = await temporaryDirectory('sabotage');
    const backend = directoryBackend.open(directoryBackend.options.parse({ path: join(directory, 'repository') }) as never, host);
    await backend.ensurePlace?.();
    let recoveryKey = '';
    const confirmRecoveryKey = async (key: string) => {
      recoveryKey = key;
      return key;
    };
    const repository = await createRepository({ backend, platform: 'test', host, pieceBytes, encryption: {}, confirmRecoveryKey });
    return new SabotageWorld(directory, repository, backend, recoveryKey);
  }

  async backUp(subject: SabotageSubject): Promise<BackupRecord> {
    const signal = new AbortController().signal;
    const { repository } = this;
    const writing = await repository.beginBackup({ component, backupId: 'b1', what: subject.what, signal });
    const workDirectory = join(this.directory, 'take');
    await host.files.makeDirectory(workDirectory);
    const source = subject.openSource();
    try {
      const openArchive = (identity: string) => repository.openArchive(component, identity);
      const facts = await source.take(
        subject.what,
        writing.sink,
        { fingerprintKey: writing.fingerprintKey, workDirectory, ...(subject.startArchive ? { openArchive } : {}) },
        quietContext(signal),
      );
      return await writing.commit(JSON.parse(JSON.stringify(facts)));
    } finally {
      await source.close();
    }
  }

  async runControls(
    subject: SabotageSubject,
    backup: BackupRecord,
    damages: readonly Damage[],
    seed: number,
    say: (line: string) => void,
  ): Promise<readonly ControlOutcome[]> {
    const secret = new Secret(this.#recoveryKey, 'the recovery key of the test');
    return await runControls(
      {
        repository: this.repository,
        component,
        backups: subject.backups,
        options: subject.options,
        entry: { backup },
        level: subject.level,
        target: subject.target,
        host,
        scratchDirectory: join(this.directory, 'scratch'),
        by: 'sabotage',
        signal: new AbortController().signal,
        onProgress: (message) => message.startsWith('damaging') && say(`${subject.name}: ${message}`),
        store: { backend: this.#backend, openOver: (backend) => openRepository({ backend, platform: 'test', host, pieceBytes, secret }) },
        chance: seededRandom(seed).next,
      },
      damages,
    );
  }

  async close(): Promise<void> {
    await this.repository.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
