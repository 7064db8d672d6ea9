/**
 * Takes a backup of the tables that the patterns mean now: the server writes one .tar by its own BACKUP, its content is digested where it lives, and the file is streamed into the sink.
 *
 * Invariant: resolves only when the server says BACKUP_CREATED and every byte of the file has come. When this process dies, the server's backup goes on and leaves its file; the next one empties
 * whatever lies there under the component's name, except the base that increments build on.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { BackupContext, BackupFacts, BackupSink, BackupSource, FingerprintEntry, TakeOptions } from '../../contracts/backup.ts';
import { emptyFile, findFiles, readFile, type ServerFile } from './backup-files.ts';
import { canaryTable, readCanary } from './canary.ts';
import { backupNotFound, type ClickhouseClient, exceptionOf, literal, type QueryLimits, tableOf } from './client.ts';
import { digestTable, isMergeTree, readBackupParts } from './fingerprint.ts';
import { runOperation } from './operation.ts';
import { type ClickhouseContext, openClient } from './site-parts.ts';
import { nameOf, resolvePatterns, type TableName } from './table-patterns.ts';

export const archivePart = 'backup.tar';
const queryMs = 60_000;
const digestMs = 6 * 3_600_000;
const progressEveryBytes = 64 * 1_048_576;

export interface BackedUpTable extends TableName {
  readonly [key: string]: string;
  readonly engine: string;
}

export function openBackupSource(context: ClickhouseContext): BackupSource {
  return {
    take: async (what, sink, options, backup) => {
      if (what !== 'full' && what !== 'increment')
        throw fail('USAGE', { message: `ClickHouse has no backup of the kind ${what}`, hint: 'Its kinds are full and increment.' });
      return await new Taking(context, await openClient(context), sink, options, backup).take(what);
    },
    close: async () => {},
  };
}

class Taking {
  readonly #context: ClickhouseContext;
  readonly #client: ClickhouseClient;
  readonly #sink: BackupSink;
  readonly #options: TakeOptions;
  readonly #backup: BackupContext;
  readonly #limits: QueryLimits;
  readonly #path: string;
  readonly #id: string;

  constructor(context: ClickhouseContext, client: ClickhouseClient, sink: BackupSink, options: TakeOptions, backup: BackupContext) {
    this.#context = context;
    this.#client = client;
    this.#sink = sink;
    this.#options = options;
    this.#backup = backup;
    this.#limits = { timeoutMs: queryMs, signal: backup.signal };
    // A destination that exists is refused, and a failed attempt may leave one: each has a name of its own.
    const attempt = Buffer.from(context.host.random.bytes(4)).toString('hex');
    this.#id = `holdfast.${context.component}.${sink.backupId}.${attempt}`;
    this.#path = `${context.site['backups-directory']}/${this.#id}.tar`;
  }

  async take(what: string): Promise<BackupFacts> {
    const { host, options } = this.#context;
    const client = this.#client;
    const tables = await this.#findTables();
    const [server] = await client.query(
      'SELECT version() AS version, toString(serverUUID()) AS uuid, toUnixTimestamp64Milli(now64(3)) AS now',
      this.#limits,
    );
    const canary = await readCanary(client, this.#context.component, this.#limits);
    const base = what === 'increment' ? await this.#findBase() : undefined;
    await this.#emptyOthers(base);
    const merges = options['hold-merges'] ? tables.filter(({ engine }) => isMergeTree(engine)) : [];
    try {
      for (const table of merges) await client.run(`SYSTEM STOP MERGES ${tableOf(table)}`, this.#limits);
      const builtOn = await this.#write(tables, base);
      const [file] = await findFiles(client, this.#path, this.#limits);
      if (file === undefined)
        throw fail('BACKUP_INCOMPLETE', { message: `${client.name} says that the backup is made, and ${this.#path} is not there` });
      const fingerprint = await this.#digest(tables);
      await this.#restart(merges);
      await this.#transfer(file);
      const isKept = what === 'full' && options['keep-base'];
      if (!isKept) await emptyFile(client, this.#path, this.#limits);
      return {
        engine: 'clickhouse',
        engineVersion: String(server?.version),
        identity: String(server?.uuid),
        consistentAtMs: Number(server?.now),
        dataBytes: file.bytes,
        fingerprint,
        ...(canary === undefined ? {} : { canary: { ...canary } }),
        ...(builtOn === undefined ? {} : { needs: [builtOn.backupId] }),
        more: { tables: [...tables], file: this.#path, kept: isKept, ...(builtOn === undefined ? {} : { base: builtOn.path }) },
      };
    } catch (error) {
      await this.#giveUp(merges);
      throw error;
    } finally {
      host.log.debug('clickhouse-backup-ended', { id: this.#id });
    }
  }

  async #findTables(): Promise<readonly BackedUpTable[]> {
    const rows = await this.#client.query(
      'SELECT database, name, engine FROM system.tables WHERE NOT is_temporary ORDER BY database, name',
      { ...this.#limits, maxBodyBytes: 64 * 1_048_576 },
    );
    const all = rows.map(({ database, name, engine }) => ({ database: String(database), name: String(name), engine: String(engine) }));
    const { tables, empty } = resolvePatterns(this.#context.options.tables, all);
    if (empty.length > 0)
      throw fail('BACKUP_INCOMPLETE', {
        subject: this.#context.component,
        message: `no table of ${this.#client.name} is meant by ${empty.join(', ')}`,
        hint: 'Correct the pattern, or take it out: what is silently left out of a backup is missed when it is needed.',
      });
    return [...tables, ...all.filter(({ database, name }) => database === canaryTable.database && name === canaryTable.name)];
  }

  /** The full backup's file, where it still lies on the server as it was. */
  async #findBase(): Promise<{ readonly backupId: string; readonly path: string } | undefined> {
    const basis = this.#options.basis;
    const path = basis?.facts.more?.file;
    if (basis === undefined || typeof path !== 'string' || basis.facts.more?.kept !== true) return undefined;
    const [file] = await findFiles(this.#client, path, this.#limits);
    return file?.bytes === basis.facts.dataBytes ? { backupId: basis.backupId, path } : undefined;
  }

  async #emptyOthers(base: { readonly path: string } | undefined): Promise<void> {
    const prefix = `${this.#context.site['backups-directory']}/holdfast.${this.#context.component}.`;
    const found = await findFiles(this.#client, `${prefix}*.tar`, this.#limits);
    for (const { path } of found) if (path !== base?.path) await emptyFile(this.#client, path, this.#limits);
  }

  async #write<B extends { readonly path: string }>(tables: readonly TableName[], base: B | undefined): Promise<B | undefined> {
    const statement = `BACKUP ${tables.map((table) => `TABLE ${tableOf(table)}`).join(', ')} TO File(${literal(this.#path)})`;
    const operation = {
      timeoutMs: this.#context.options['backup-timeout'],
      signal: this.#backup.signal,
      progress: this.#backup.progress,
      statement,
      id: this.#id,
    };
    if (base !== undefined) {
      try {
        await runOperation(this.#context.host, this.#client, { ...operation, settings: [`base_backup = File(${literal(base.path)})`] });
        return base;
      } catch (error) {
        // Somebody has taken the base away in between: a full one then.
        if (exceptionOf(error) !== backupNotFound) throw error;
      }
    }
    await runOperation(this.#context.host, this.#client, operation);
    return undefined;
  }

  async #digest(tables: readonly BackedUpTable[]) {
    const limits: string[] = [];
    const entries: FingerprintEntry[] = [];
    const parts = await readBackupParts(this.#client, this.#path, this.#limits);
    for (const table of tables.filter(({ database }) => database !== canaryTable.database)) {
      if (!isMergeTree(table.engine)) {
        limits.push(`${nameOf(table)} (${table.engine}) has no parts: its content was not digested`);
        continue;
      }
      this.#backup.progress(`digesting ${nameOf(table)}`);
      const entry = await digestTable(this.#client, table, this.#options.fingerprintKey, parts.get(nameOf(table)) ?? [], {
        ...this.#limits,
        timeoutMs: digestMs,
      });
      if (entry) entries.push(entry);
      else limits.push(`${nameOf(table)} was merged while it was looked at: its content was not digested`);
    }
    return { entries, limits };
  }

  async #transfer(file: ServerFile): Promise<void> {
    const part = this.#sink.openPart(archivePart, { compressed: true });
    let done = 0;
    let told = 0;
    for await (const bytes of readFile(this.#client, file, this.#limits)) {
      this.#backup.signal.throwIfAborted();
      await part.write(bytes);
      done += bytes.length;
      if (done - told < progressEveryBytes) continue;
      told = done;
      this.#backup.progress(`${Math.round(done / 1_048_576)} of ${Math.round(file.bytes / 1_048_576)} MiB`);
    }
    await part.end();
  }

  async #restart(tables: readonly TableName[]): Promise<void> {
    for (const table of tables)
      await this.#client.run(`SYSTEM START MERGES ${tableOf(table)}`, { timeoutMs: queryMs, signal: new AbortController().signal });
  }

  /** Also after an abort: merges that stand still for good would stop the tables from taking writes. */
  async #giveUp(merges: readonly TableName[]): Promise<void> {
    try {
      await this.#restart(merges);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      const why = `${error.message}: SYSTEM START MERGES is still to be run for ${merges.map(nameOf).join(', ')}`;
      this.#backup.log.error('clickhouse-merges-held', { why });
    }
  }
}
