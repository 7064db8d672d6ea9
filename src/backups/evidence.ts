/**
 * Executions that the state keeps no longer: header and journal of each as one record, under its id. The journal's chain of hashes goes along, so that it can be checked without the state.
 *
 * Invariant: as for every record: written once, never changed; writing the same again does nothing, so that whoever died between writing it and trimming the state does it again.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { encodeName } from './object-names.ts';
import { readRecord, writeRecord } from './record-objects.ts';
import type { RepositoryParts } from './repository-parts.ts';

const objectOf = (id: string): string => `evidence/${encodeName(id)}`;

export async function writeEvidence(parts: RepositoryParts, id: string, evidence: JsonObject): Promise<void> {
  await writeRecord(parts, 'evidence', objectOf(id), evidence, { lock: true });
}

/** Undefined where there is none of that id. */
export async function readEvidence(parts: RepositoryParts, id: string): Promise<JsonObject | undefined> {
  try {
    return await readRecord(parts, 'evidence', objectOf(id));
  } catch (thrown) {
    if (asHoldfastError(thrown).code === 'STORE_NO_OBJECT') return undefined;
    throw thrown;
  }
}
