/** A real PostgreSQL, a real repository in a directory, and what tests of backups do with them again and again. */
import { rm } from 'node:fs/promises';
import pg from 'pg';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import type { SabotageRequest } from '../../src/backups/sabotage.ts';
import { Secret } from '../../src/base/secret.ts';
import type {
  ArchiveOptions,
  ArchiveWriter,
  BackupContext,
  BackupReader,
  BackupSource,
  RecoveryTarget,
  Restorer,
  RunningCopy,
} from '../../src/contracts/backup.ts';
import type { RepositoryBackend } from '../../src/contracts/repository-backend.ts';
import { readArchiveExtents } from '../../src/control/backups/archive-extents.ts';
import { driver } from '../../src/drivers/postgresql/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { backend as directoryBackend } from '../../src/repositories/filesystem/backend.ts';
import type { RunningPostgres } from '../systems/postgresql.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';

export const host = nodeHost({ logTo: process.env.HOLDFAST_TEST_LOG ?? 'silent' });
export const component = 'orders';

export interface SourceOptions {
  readonly options?: Record<string, unknown>;
  readonly server?: RunningPostgres;
  readonly password?: string;
}

export class BackupWorld {
  readonly server: RunningPostgres;
  readonly repository: Repository;
  readonly #directory: string;
  readonly #copies: RunningCopy[] = [];
  readonly #archiving: { end(): Promise<void> }[] = [];
  #numbers = 0;

  /** For damage to what is stored. */
  readonly store: NonNullable<SabotageRequest['store']>;

  private constructor(server: RunningPostgres, repository: Repository, store: NonNullable<SabotageRequest['store']>, directory: string) {
    this.store = store;
    this.server = server;
    this.repository = repository;
    this.#directory = directory;
  }

  static async open(server: RunningPostgres): Promise<BackupWorld> {
    const directory = await temporaryDirectory('backups');
    const options = directoryBackend.options.parse({ path: `${directory}/repository` });
    const store = directoryBackend.open(options as never, host);
    await store.ensurePlace?.();
    const repository = await createRepository({
      backend: store,
      platform: 'test',
      host,
      confirmRecoveryKey: async (key: string) => key,
    });
    const openOver = (backend: RepositoryBackend) => openRepository({ backend, platform: 'test', host });
    return new BackupWorld(server, repository, { backend: store, openOver }, directory);
  }

  context(signal: AbortSignal = new AbortController().signal): BackupContext {
    return { signal, log: host.log, progress: () => {} };
  }

  source({ options = {}, server = this.server, password }: SourceOptions = {}): BackupSource {
    const site = driver.siteOptions.parse({
      url: `postgresql://holdfast@${server.address}:${server.port}/postgres`,
      password: new Secret(password ?? server.passwords.holdfast, 'test'),
      replication: { user: 'replicator', password: new Secret(server.passwords.replicator, 'test') },
    });
    if (!driver.backups) throw new Error('the driver has no backups');
    return driver.backups.openSource({
      host,
      platform: 'test',
      component,
      region: 'east',
      options: driver.componentOptions.parse(options),
      site,
      sites: new Map([['east', site]]),
      replication: 'asynchronous',
      hands: undefined,
      probeTimeoutMs: 1_000,
    });
  }

  openArchive = (identity: string): Promise<ArchiveWriter> => this.repository.openArchive(component, identity);

  /** Takes and commits a backup. */
  async backUp(
    what: string,
    more: SourceOptions & { readonly archived?: boolean; readonly signal?: AbortSignal; readonly basis?: BackupReader } = {},
  ): Promise<BackupReader> {
    this.#numbers += 1;
    const backupId = `b${this.#numbers}`;
    const signal = more.signal ?? new AbortController().signal;
    const writing = await this.repository.beginBackup({ component, backupId, what, signal });
    const source = this.source(more);
    try {
      const facts = await source.take(
        what,
        writing.sink,
        {
          fingerprintKey: writing.fingerprintKey,
          ...(more.archived === true ? { openArchive: this.openArchive } : {}),
          ...(more.basis === undefined ? {} : { basis: more.basis }),
        },
        this.context(signal),
      );
      await writing.commit(JSON.parse(JSON.stringify(facts)));
    } catch (error) {
      await writing.abandon();
      throw error;
    } finally {
      await source.close();
    }
    return await this.repository.openBackup(component, backupId);
  }

  /** Archives until `end`; `ended` rejects where it can't go on. */
  archive(more: SourceOptions & Partial<ArchiveOptions> = {}) {
    const stop = new AbortController();
    const source = this.source(more);
    const seen: { atMs: number; text: string }[] = [];
    const onArchived = ({ atMs, position }: { atMs: number; position: { text: string } }) => {
      seen.push({ atMs, text: position.text });
    };
    const ended = source.archive?.(this.openArchive, { onArchived }, this.context(stop.signal)) ?? Promise.reject(new Error('no archive'));
    ended.catch((error) => {
      if (process.env.HOLDFAST_TEST_LOG) console.log('ARCHIVE ENDED', error);
      // The test asks, or ends it.
    });
    const archiving = {
      seen,
      ended,
      end: async () => {
        stop.abort();
        await ended.catch(() => undefined);
        await source.close();
      },
    };
    this.#archiving.push(archiving);
    return archiving;
  }

  async restorer(options: Record<string, unknown> = {}): Promise<{ readonly restorer: Restorer; readonly workDirectory: string }> {
    this.#numbers += 1;
    const workDirectory = `${this.#directory}/work${this.#numbers}`;
    await host.files.makeDirectory(workDirectory);
    if (!driver.backups) throw new Error('the driver has no backups');
    const binDirectory = this.server.binDirectory.startsWith('/usr/lib/') ? {} : { 'restore-bin-directory': this.server.binDirectory };
    const restorer = driver.backups.openRestorer({
      ...this.context(),
      host,
      component,
      options: driver.componentOptions.parse({ ...binDirectory, ...options }),
      workDirectory,
    });
    return { restorer, workDirectory };
  }

  async catalogue() {
    return { catalogue: await this.repository.readCatalogue(), extents: await readArchiveExtents(this.store.backend) };
  }

  get directory(): string {
    return this.#directory;
  }

  newDirectory(): string {
    this.#numbers += 1;
    return `${this.#directory}/copy${this.#numbers}`;
  }

  async restore(backup: BackupReader, target: RecoveryTarget) {
    const { restorer } = await this.restorer();
    return restorer.restore(backup, target, this.newDirectory());
  }

  async start(backup: BackupReader, target: RecoveryTarget): Promise<RunningCopy> {
    const copy = await (await this.restore(backup, target)).start();
    this.#copies.push(copy);
    return copy;
  }

  /** Statements without an answer on one connection. */
  async run(...statements: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: this.server.url() });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  }

  /** Changes a running copy behind its back. */
  async tamper(copy: RunningCopy, statement: string): Promise<void> {
    const [, socket, user] = /-h '([^']+)' .* -U (\S+)/.exec(copy.address) ?? [];
    const client = new pg.Client({ host: socket ?? '', port: 5432, user: user ?? '', database: 'postgres' });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }

  async dispose(): Promise<void> {
    for (const archiving of this.#archiving) await archiving.end();
    for (const copy of this.#copies) await copy.stop();
    await this.repository.close();
    await this.server.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
