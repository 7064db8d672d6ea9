/**
 * One backup being written: parts into pieces, pieces into chapters, and at the end the manifest, which is the commit.
 *
 * Invariant: the manifest is put only after every piece and chapter was stored and one barrier has made them durable; it is then read back and compared. What dies before leaves no
 * backup, and objects that the next attempt or the next sweep removes; what dies after leaves a complete one.
 */
import { fail } from '../base/errors.ts';
import type { BackupFacts, BackupSink, PartWriter } from '../contracts/backup.ts';
import { objectMaxBytes } from '../contracts/repository-backend.ts';
import type { BackupWriting } from './backup-repository.ts';
import { type BackupSeal, makeBackupSeal } from './backup-seal.ts';
import { ChapterWriter } from './chapter-writer.ts';
import { describeBackup } from './describe-backup.ts';
import { Lanes } from './lanes.ts';
import { encodeManifest, type Manifest, type ManifestHead } from './manifest.ts';
import { chapterObject, manifestObject, pieceObject } from './object-names.ts';
import { makeBuffers } from './piece-buffers.ts';
import { PieceWriter, type PieceWriting } from './piece-writer.ts';
import { getObject, holdsExactly, putObject } from './put-object.ts';
import type { BackupRecord } from './records.ts';
import { removeBackupObjects } from './remove-objects.ts';
import { formatVersion, pieceBytes } from './repository-format.ts';
import type { RepositoryParts } from './repository-parts.ts';
import { tagBytes } from './sealing.ts';

/** Pieces between being cut and being stored. Each holds a buffer of its size, and for a moment what it is compressed to and the thread pool's copy. */
const piecesUnderWayMax = 4;

export interface BackupRequest {
  readonly component: string;
  readonly backupId: string;
  readonly what: string;
  readonly signal: AbortSignal;
}

export async function beginBackupWriting(parts: RepositoryParts, request: BackupRequest): Promise<BackupWriting> {
  const names = { repositoryId: parts.facts.id, component: request.component, backupId: request.backupId };
  const seal = makeBackupSeal(names, parts.keys, parts.store.host.random);
  return new OngoingBackup(parts, request, seal);
}

class OngoingBackup implements BackupWriting {
  readonly sink: BackupSink;
  readonly fingerprintKey: Uint8Array;
  readonly progress = { plainBytes: 0, storedBytes: 0 };
  readonly #parts: RepositoryParts;
  readonly #request: BackupRequest;
  readonly #seal: BackupSeal;
  readonly #startedAtMs: number;
  readonly #chapters: ChapterWriter;
  readonly #writers = new Map<string, PieceWriter>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #failure: { readonly error: unknown } | undefined;
  #over = false;
  /** The manifest under this id is not ours: then nothing below its prefix may be removed. */
  #isOfOthers = false;

  constructor(parts: RepositoryParts, request: BackupRequest, seal: BackupSeal) {
    this.#parts = parts;
    this.#request = request;
    this.#seal = seal;
    this.#signal = AbortSignal.any([request.signal, this.#stop.signal]);
    this.#startedAtMs = parts.store.host.clock.nowMs();
    this.fingerprintKey = seal.fingerprintKey;
    const { component, backupId } = request;
    this.#chapters = new ChapterWriter((digest, content) => this.#put(chapterObject(component, backupId, digest), content));
    const writing = this.#pieceWriting();
    this.sink = { backupId, openPart: (name, options) => this.#openPart(name, options?.compressed === true, writing) };
  }

  async commit(facts: BackupFacts): Promise<BackupRecord> {
    this.#throwIfOver();
    const lines = [...this.#writers.values()].map((writer) => writer.line() ?? this.#unfinished(writer.name));
    const { store } = this.#parts;
    const chapters = await this.#chapters.finish();
    this.#throwIfOver();
    const manifest = { head: this.#head(), facts, chapters, parts: lines };
    const { content, digest } = this.#encode(manifest);
    // Everything that the manifest speaks of is durable before there is one.
    await store.backend.barrier();
    this.#throwIfOver();
    await this.#putManifest(content);
    this.#over = true;
    return describeBackup({ ...manifest, digest });
  }

  async abandon(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#stop.abort(fail('BACKUP_INCOMPLETE', { message: 'the backup was abandoned' }));
    await Promise.allSettled([...this.#underWay]);
    if (!this.#isOfOthers) await removeBackupObjects(this.#parts.store, this.#request.component, this.#request.backupId);
  }

  #openPart(name: string, compressed: boolean, writing: PieceWriting): PartWriter {
    this.#throwIfOver();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must not be in a name.
    if (name.length === 0 || name.length > 512 || /[\u0000-\u001f]/.test(name))
      throw fail('BACKUP_INCOMPLETE', { message: `"${name.slice(0, 60)}" can not be the name of a part` });
    if (this.#writers.has(name)) throw fail('BACKUP_INCOMPLETE', { message: `the part ${name} was opened twice` });
    const writer = new PieceWriter(name, compressed, writing);
    this.#writers.set(name, writer);
    return writer;
  }

  #pieceWriting(): PieceWriting {
    const { component, backupId } = this.#request;
    const bytes = this.#parts.pieceBytes ?? pieceBytes;
    return {
      seal: this.#seal,
      random: this.#parts.store.host.random,
      lanes: new Lanes(piecesUnderWayMax),
      pieceBytes: bytes,
      signal: this.#signal,
      // One gathers while the others are under way.
      buffers: makeBuffers(this.#parts.store.backend, bytes + tagBytes, piecesUnderWayMax + 1),
      progress: this.progress,
      putPiece: (digest, content) => this.#put(pieceObject(component, backupId, digest), content),
      list: (line) => this.#chapters.add(line),
      failed: (error) => {
        this.#failure ??= { error };
        this.#stop.abort(error);
      },
      throwIfOver: () => this.#throwIfOver(),
    };
  }

  #put(object: string, content: Uint8Array): Promise<void> {
    const put = this.#putChecked(object, content);
    this.#underWay.add(put);
    const done = () => void this.#underWay.delete(put);
    put.then(done, done);
    return put;
  }

  /** The name is the digest of the content: an object of that name has these bytes, or is damaged. */
  async #putChecked(object: string, content: Uint8Array): Promise<void> {
    const { store } = this.#parts;
    const outcome = await putObject(store, object, content, { lock: true, signal: this.#signal });
    if (outcome === 'created' || (await holdsExactly(store.backend, object, content, this.#signal))) return;
    throw fail('BACKUP_INCOMPLETE', {
      message: `the store has another object under the name ${object}`,
      hint: 'An earlier attempt left it damaged: remove it, or take the backup under another id.',
      subject: object,
    });
  }

  #head(): ManifestHead {
    const { facts: repository, store } = this.#parts;
    const { component, backupId, what } = this.#request;
    return {
      holdfast: 'manifest',
      format: formatVersion,
      repository: repository.id,
      platform: repository.platform,
      component,
      backup: backupId,
      what,
      suite: repository.suite,
      startedAtMs: this.#startedAtMs,
      endedAtMs: store.host.clock.nowMs(),
      ...(this.#seal.wrapped === undefined ? {} : { key: this.#seal.wrapped }),
    };
  }

  #encode(manifest: Omit<Manifest, 'digest'>): ReturnType<typeof encodeManifest> {
    const encoded = encodeManifest(manifest, this.#parts.keys);
    const { content } = encoded;
    if (content.length <= objectMaxBytes) return encoded;
    const { component, backupId } = this.#request;
    throw fail('BACKUP_INCOMPLETE', {
      message: `the manifest of ${component} ${backupId} would have ${content.length} bytes; a store takes ${objectMaxBytes}`,
      hint: 'It has too many parts: the driver must put small files together.',
    });
  }

  async #putManifest(content: Uint8Array): Promise<void> {
    const { store } = this.#parts;
    const { component, backupId } = this.#request;
    const object = manifestObject(component, backupId);
    const outcome = await putObject(store, object, content, { lock: true, signal: this.#signal });
    await store.backend.barrier();
    const found = await getObject(store, object, this.#signal);
    if (Buffer.compare(found, content) === 0) return;
    this.#isOfOthers = outcome === 'exists';
    throw fail('BACKUP_INCOMPLETE', {
      message:
        outcome === 'exists'
          ? `${component} ${backupId} was committed by somebody else meanwhile`
          : `the manifest of ${component} ${backupId} reads back otherwise than it was written`,
      subject: `${component} ${backupId}`,
    });
  }

  #unfinished(part: string): never {
    throw fail('BACKUP_INCOMPLETE', {
      message: `the part ${part} was not ended`,
      subject: `${this.#request.component} ${this.#request.backupId}`,
    });
  }

  #throwIfOver(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#request.signal.throwIfAborted();
    if (this.#over) throw fail('BACKUP_INCOMPLETE', { message: 'the backup is over: it was committed or abandoned' });
  }
}
