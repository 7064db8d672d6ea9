/**
 * Takes a copy of a directory as one tar archive, streamed.
 *
 * Invariant: every file in it is one that was there as a whole (archive-file.ts); links are kept as links and never followed, so nothing outside of the directory is read. Memory does
 * not grow with the number of files. Files that are made after their directory was passed are not in it. `after` runs whatever happened; when this process dies in between, it does not:
 * the command of `before` should end its effect by itself after a while.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { BackupContext, BackupFacts, BackupSink, BackupSource, TakeOptions } from '../../contracts/backup.ts';
import { commandFailed, runSiteCommand } from '../../contracts/site-command.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import type { FileFacts } from '../../host/host.ts';
import { archiveFile, type ReadRules } from './archive-file.ts';
import { elsewhereMark, faissHeaderBytes, isFaissPath } from './faiss-header.ts';
import { FaissNotes } from './faiss-notes.ts';
import { type PathFilter, pathFilter } from './globs.ts';
import { GroupTallies, restOfGroups } from './group-tallies.ts';
import type { FilesOptions, FilesSiteOptions } from './options.ts';
import type { TarEntry } from './tar-entry.ts';
import { TarWriter } from './tar-writer.ts';

export type FilesContext = SiteContext<FilesOptions, FilesSiteOptions>;

export const archivePart = 'files.tar';
const progressEvery = 10_000;
const nothing = new Uint8Array(0);

export function openBackupSource(context: FilesContext): BackupSource {
  return {
    take: async (what, sink, options, backup) => {
      if (what !== 'files') throw fail('USAGE', { message: `files have no backup of the kind ${what}`, hint: 'Its kind is files.' });
      return await withHooks(context, backup, () => takeFiles(context, sink, options, backup));
    },
    close: async () => {},
  };
}

async function withHooks<T>(context: FilesContext, backup: BackupContext, work: () => Promise<T>): Promise<T> {
  const { before, after } = context.options;
  // The end of a backup that was given up is still to be told.
  const runAfter = (): Promise<void> => runHook(context, 'after', after, undefined);
  await runHook(context, 'before', before, backup.signal).catch(async (error: unknown) => {
    await runAfter().catch((second: unknown) => backup.log.warn('files-hook-failed', { hook: 'after', why: String(second) }));
    throw error;
  });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await runAfter().catch((second: unknown) => backup.log.warn('files-hook-failed', { hook: 'after', why: String(second) }));
    throw error;
  }
  await runAfter();
  return result;
}

async function runHook(
  { hands, component, options }: FilesContext,
  name: 'before' | 'after',
  command: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (command === undefined) return;
  if (hands === undefined)
    throw fail('HANDS_MISSING', { subject: component, message: `the command "${name}" of ${component} needs hands at the site` });
  const timeoutMs = options['hook-timeout'];
  const result = await runSiteCommand(hands, command, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  if (result.exitCode !== 0) throw commandFailed(hands, command, result);
}

async function takeFiles(context: FilesContext, sink: BackupSink, options: TakeOptions, backup: BackupContext): Promise<BackupFacts> {
  const { host, options: own, site, component } = context;
  const root = site.path;
  const consistentAtMs = host.clock.nowMs();
  await refuseOtherThanDirectory(context);
  const archiving = new Archiving(context, new TarWriter(sink.openPart(archivePart)), options.fingerprintKey, backup);
  for await (const found of host.fileStreams.walk(root)) {
    backup.signal.throwIfAborted();
    await archiving.add(found);
  }
  const { tallies, faiss, limits, skipped } = await archiving.finish();
  const notes = faiss === undefined ? undefined : await faiss.finish(host, root, own.python, backup.signal);
  if (tallies.entries().some(({ name }) => name === restOfGroups))
    limits.push('there are too many directories at the top for an entry each');
  limits.push('each file is as it was at one instant; different files may be of different instants, unless "before" made them stand still');
  return {
    engine: 'files',
    engineVersion: '1',
    identity: `${component} ${root}`,
    consistentAtMs,
    dataBytes: tallies.bytes,
    fingerprint: { entries: tallies.entries(), limits: [...limits, ...(notes?.limits ?? [])] },
    more: { root, files: tallies.files, skipped, ...(notes ? { faiss: notes.notes } : {}) },
  };
}

async function refuseOtherThanDirectory({ host, site, component }: FilesContext): Promise<void> {
  const facts = await host.fileStreams.stat(site.path);
  if (facts?.kind !== 'directory')
    throw fail('NOT_FOUND', {
      subject: component,
      message: facts === undefined ? `there is no directory ${site.path}` : `${site.path} is a ${facts.kind}, not a directory`,
      hint: 'Is it mounted? An empty backup would push out the good ones.',
    });
}

class Archiving {
  readonly #context: FilesContext;
  readonly #tar: TarWriter;
  readonly #tallies: GroupTallies;
  readonly #faiss: FaissNotes | undefined;
  readonly #rules: ReadRules;
  readonly #backup: BackupContext;
  readonly #wants: PathFilter;
  /** Directories on the way down that have not been written, because nothing in them was wanted yet. */
  #pending: FileFacts[] = [];
  #seen = 0;
  #others = 0;

  constructor(context: FilesContext, tar: TarWriter, key: Uint8Array, backup: BackupContext) {
    const { options, host } = context;
    const isFaiss = options.profile === 'faiss';
    this.#context = context;
    this.#tar = tar;
    this.#tallies = new GroupTallies(key);
    this.#faiss = isFaiss ? new FaissNotes() : undefined;
    this.#backup = backup;
    this.#wants = pathFilter(options.include, options.exclude);
    this.#rules = {
      fileStreams: host.fileStreams,
      attempts: options['read-again'] + 1,
      headBytes: isFaiss ? faissHeaderBytes : 0,
      mark: isFaiss ? elsewhereMark : undefined,
      signal: backup.signal,
    };
  }

  async add(found: FileFacts): Promise<void> {
    this.#seen += 1;
    if (this.#seen % progressEvery === 0) this.#backup.progress(`${this.#seen} files, ${Math.round(this.#tallies.bytes / 1_048_576)} MiB`);
    while (this.#pending.length > 0 && !found.path.startsWith(`${this.#pending.at(-1)?.path}/`)) this.#pending.pop();
    const isWanted = this.#wants(found.path);
    if (found.kind === 'directory') {
      this.#pending.push(found);
      if (isWanted) await this.#writePending();
    } else if (found.kind === 'other') this.#others += 1;
    else if (isWanted) {
      await this.#writePending();
      await (found.kind === 'link' ? this.#addLink(found) : this.#addFile(found));
    }
  }

  async #writePending(): Promise<void> {
    for (const { path, mode, modifiedMs } of this.#pending)
      await this.#addEmpty({ path, kind: 'directory', sizeBytes: 0, mode, modifiedMs });
    this.#pending = [];
  }

  async #addLink({ path, modifiedMs }: FileFacts): Promise<void> {
    const { host, site } = this.#context;
    try {
      const target = await host.fileStreams.readLink(`${site.path}/${path}`);
      await this.#addEmpty({ path, kind: 'link', sizeBytes: 0, mode: 0o777, modifiedMs, target });
    } catch (error) {
      // It was removed, or became something else, since it was seen.
      if (!(error instanceof HoldfastError) || (error.details.cause !== 'ENOENT' && error.details.cause !== 'EINVAL')) throw error;
    }
  }

  async #addEmpty(entry: TarEntry): Promise<void> {
    await this.#tar.begin(entry);
    await this.#tar.end();
    this.#tallies.add(entry, nothing);
  }

  async #addFile(found: FileFacts): Promise<void> {
    const isIndex = this.#faiss !== undefined && isFaissPath(found.path);
    const rules = isIndex ? this.#rules : { ...this.#rules, headBytes: 0, mark: undefined };
    const file = await archiveFile(this.#tar, this.#context.site.path, found, rules);
    if (file === undefined) return;
    this.#tallies.add(file.entry, file.sha256);
    if (isIndex) this.#faiss?.add(file);
  }

  async finish() {
    await this.#tar.finish();
    const limits = this.#others === 0 ? [] : [`${this.#others} sockets, pipes or devices are not in it`];
    return { tallies: this.#tallies, faiss: this.#faiss, limits, skipped: this.#others };
  }
}
