/**
 * Whether a backup is in another region as well. A store copies objects in no order, so the manifest's copy says nothing of the pieces': every object that the manifest names is asked
 * about. Reads only.
 */
import type { BackupCopies } from './backup-repository.ts';
import { inOrder } from './lanes.ts';
import { chapterObject, manifestObject, pieceObject } from './object-names.ts';
import { type BackupContent, listPieces } from './piece-reader.ts';

const asksAhead = 16;

export async function readCopies(content: BackupContent, signal: AbortSignal): Promise<BackupCopies> {
  const counts = { objects: 0, done: 0, pending: 0, failed: 0, none: 0 };
  const storeKeys = new Set<string>();
  const ask = (name: string) => content.store.backend.head(name, signal);
  for await (const facts of inOrder(namesOf(content), asksAhead, ask)) {
    counts.objects += 1;
    const state = facts?.replication ?? 'not-eligible';
    counts[state === 'not-eligible' ? 'none' : state] += 1;
    if (facts?.storeKey !== undefined) storeKeys.add(facts.storeKey);
  }
  return { ...counts, storeKeys: [...storeKeys].sort() };
}

async function* namesOf(content: BackupContent): AsyncGenerator<string> {
  const { head, chapters, parts } = content.manifest;
  yield manifestObject(head.component, head.backup);
  for (const { chapter } of chapters) yield chapterObject(head.component, head.backup, chapter);
  for (const part of parts)
    for await (const { stored } of listPieces(content, part)) yield pieceObject(head.component, head.backup, stored);
}
