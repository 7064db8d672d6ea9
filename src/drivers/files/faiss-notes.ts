/**
 * What a backup says of its FAISS indices: kind, number of vectors and dimension by the head of each file, and for the first of them what FAISS itself answered.
 *
 * Invariant: an answer belongs to the very content that was archived: the file is asked about only while it is still the one that was read.
 */
import type { Json, JsonObject } from '../../base/json.ts';
import type { CheckResult } from '../../contracts/backup.ts';
import type { Host } from '../../host/host.ts';
import type { ArchivedFile } from './archive-file.ts';
import { askFaiss, type FaissAnswer } from './faiss-check.ts';
import { faissHeaderBytes, parseFaissHeader } from './faiss-header.ts';

export interface FaissNote extends JsonObject {
  readonly path: string;
  readonly kind?: string;
  readonly ntotal?: number;
  readonly dimension?: number;
  /** Why its head was not understood. */
  readonly unknown?: string;
  /** Of the sample query, as FAISS answered at backup time. */
  readonly ids?: Json;
}

const notesMax = 10_000;
const askedMax = 100;
const askedBytesMax = 1_073_741_824;
const askMaxMs = 600_000;

export class FaissNotes {
  readonly #notes: (FaissNote & { identity: string })[] = [];
  readonly #limits: string[] = [];
  #more = 0;
  #bytes = 0;

  add({ entry, head, facts, hasMark }: ArchivedFile): void {
    if (hasMark) this.#limits.push(`${entry.path} seems to keep its vectors in another file: see that this one is in the backup too`);
    if (this.#notes.length >= notesMax) {
      this.#more += 1;
      return;
    }
    this.#notes.push({ path: entry.path, ...parseFaissHeader(head), identity: facts.identity });
  }

  /** Asks FAISS about the first indices. */
  async finish(
    host: Host,
    root: string,
    python: string | undefined,
    signal: AbortSignal,
  ): Promise<{ notes: readonly FaissNote[]; limits: readonly string[] }> {
    const asked = this.#notes.slice(0, askedMax);
    for (const [at, note] of asked.entries()) {
      const facts = await host.fileStreams.stat(`${root}/${note.path}`);
      this.#bytes += facts?.sizeBytes ?? 0;
      if (this.#bytes > askedBytesMax) asked.length = at;
      if (this.#bytes > askedBytesMax) break;
    }
    const paths = asked.map(({ path }) => `${root}/${path}`);
    const answers = paths.length === 0 ? [] : await askFaiss(host, python, paths, askMaxMs, signal);
    if (answers === undefined) this.#limits.push('FAISS itself was not asked: no Python with faiss is installed here');
    else if (asked.length < this.#notes.length)
      this.#limits.push(`FAISS itself was asked about ${asked.length} of ${this.#notes.length + this.#more} indices`);
    if (this.#more > 0) this.#limits.push(`the heads of ${this.#more} more indices were not kept`);
    const notes: FaissNote[] = [];
    for (const [at, { identity, ...note }] of this.#notes.entries()) {
      const answer = answers?.[at];
      const isStill = answer !== undefined && (await host.fileStreams.stat(`${root}/${note.path}`))?.identity === identity;
      if (answer !== undefined && !isStill) this.#limits.push(`${note.path} was changed before FAISS could be asked about it`);
      if (isStill && 'error' in answer) this.#limits.push(`FAISS can not read ${note.path}: ${answer.error}`);
      notes.push(isStill && 'ids' in answer ? { ...note, ids: answer.ids } : note);
    }
    return { notes, limits: this.#limits };
  }
}

/** The heads of a copy's files against the notes, then FAISS itself where it is there. */
export async function checkFaissCopy(
  host: Host,
  directory: string,
  notes: readonly FaissNote[],
  python: string | undefined,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = [];
  for (const note of notes) results.push(await checkHead(host, directory, note));
  const asked = notes.filter(({ ids }) => ids !== undefined);
  if (asked.length === 0) return results;
  const paths = asked.map(({ path }) => `${directory}/${path}`);
  const answers = await askFaiss(host, python, paths, askMaxMs, signal);
  if (answers === undefined)
    return [
      ...results,
      {
        name: 'FAISS reads the indices',
        level: 'P3',
        ok: false,
        detail: 'FAISS was asked at backup time, and no Python with faiss is installed here',
      },
    ];
  return [...results, ...asked.map((note, at) => checkAnswer(note, answers[at] as FaissAnswer))];
}

async function checkHead(host: Host, directory: string, note: FaissNote): Promise<CheckResult> {
  const name = `${note.path} has the head that it had`;
  const path = `${directory}/${note.path}`;
  if ((await host.fileStreams.stat(path))?.kind !== 'file') return { name, level: 'P3', ok: false, detail: 'the file is missing' };
  const pieces: Uint8Array[] = [];
  for await (const bytes of host.fileStreams.read(path, { to: faissHeaderBytes })) pieces.push(bytes);
  const head = parseFaissHeader(Buffer.concat(pieces));
  if ('unknown' in head) return { name, level: 'P3', ok: head.unknown === note.unknown, detail: `not understood: ${head.unknown}` };
  const ok = head.kind === note.kind && head.ntotal === note.ntotal && head.dimension === note.dimension;
  const was = ok ? '' : `; it was ${note.kind ?? 'not understood'}, ${note.ntotal} vectors of ${note.dimension} dimensions`;
  return { name, level: 'P3', ok, detail: `${head.kind}, ${head.ntotal} vectors of ${head.dimension} dimensions${was}` };
}

function checkAnswer(note: FaissNote, answer: FaissAnswer): CheckResult {
  const name = `FAISS answers from ${note.path} as it did`;
  if ('error' in answer) return { name, level: 'P3', ok: false, detail: answer.error };
  const isSize = answer.ntotal === note.ntotal && answer.dimension === note.dimension;
  const isSameIds = JSON.stringify(answer.ids) === JSON.stringify(note.ids);
  const detail = `${answer.ntotal} vectors of ${answer.dimension} dimensions; the sample query ${isSameIds ? 'gives the same ids' : 'gives other ids'}`;
  return { name, level: 'P3', ok: isSize && isSameIds, detail };
}
