/**
 * P1: reads every object of a backup and compares each digest. The stored digests need no key; with the key the plain ones are compared as well. Every fault is listed, not only the
 * first, so that people see how much of a backup is damaged. Reads only.
 */
import { asHoldfastError, HoldfastError } from '../base/errors.ts';
import { inOrder } from './lanes.ts';
import type { PieceLine } from './manifest.ts';
import { pieceObject } from './object-names.ts';
import { type BackupContent, listPieces, openPiece } from './piece-reader.ts';
import { getObject } from './put-object.ts';
import { digestStored } from './sealing.ts';

const piecesAhead = 3;

export async function verifyPieces(
  content: BackupContent,
  signal: AbortSignal,
  onProgress: (doneBytes: number, ofBytes: number) => void,
): Promise<readonly string[]> {
  const { parts } = content.manifest;
  const ofBytes = parts.reduce((sum, part) => sum + part.storedBytes, 0);
  const problems: string[] = [];
  let doneBytes = 0;
  const judge = async (line: PieceLine) => ({ line, problem: await judgePiece(content, line, signal) });
  for (const part of parts) {
    try {
      for await (const { line, problem } of inOrder(listPieces(content, part), piecesAhead, judge)) {
        if (problem !== undefined) problems.push(problem);
        doneBytes += line.storedBytes;
        onProgress(doneBytes, ofBytes);
      }
    } catch (error) {
      // A chapter that can't be read hides the pieces that it lists; the other parts are looked at all the same.
      if (!(error instanceof HoldfastError) || error.code !== 'BACKUP_DAMAGED') throw error;
      problems.push(error.message);
    }
  }
  return problems;
}

async function judgePiece({ store, manifest, seal }: BackupContent, line: PieceLine, signal: AbortSignal): Promise<string | undefined> {
  const object = pieceObject(manifest.head.component, manifest.head.backup, line.stored);
  const what = `piece ${line.position} of the part ${line.part}`;
  let stored: Uint8Array;
  try {
    stored = await getObject(store, object, signal);
  } catch (error) {
    const known = asHoldfastError(error, object);
    if (known.code === 'STORE_NO_OBJECT') return `${what} is missing: ${object}`;
    throw error;
  }
  if (stored.length !== line.storedBytes) return `${what} has ${stored.length} bytes and not ${line.storedBytes}: ${object}`;
  if ((await digestStored(stored)) !== line.stored) return `${what} has other bytes than were stored: ${object}`;
  if (seal !== undefined && (await openPiece(seal, line, stored)) === undefined)
    return `${what} does not hold what was backed up there: ${object}`;
  return undefined;
}
