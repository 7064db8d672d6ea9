/**
 * Proofs, tombstones, leases and gaps: each an object of its own, a line of JSON that carries its digest and, where the repository is encrypted, the MAC of the repository key.
 *
 * Invariant: written once and never changed; a record that is not exactly what was written is REPOSITORY_DAMAGED, and never counted.
 */
import { fail } from '../base/errors.ts';
import { hashJson } from '../base/hashing.ts';
import type { JsonObject } from '../base/json.ts';
import type { RecordFolder } from './object-names.ts';
import { getObject, putObject } from './put-object.ts';
import { checkFormat, encodeJson, formatVersion, parseJsonObject } from './repository-format.ts';
import type { RepositoryParts } from './repository-parts.ts';

interface Envelope extends JsonObject {
  readonly holdfast: 'record';
  readonly format: number;
  readonly repository: string;
  readonly folder: RecordFolder;
  readonly record: JsonObject;
}

export async function writeRecord(
  parts: RepositoryParts,
  folder: RecordFolder,
  object: string,
  record: JsonObject,
  options: { readonly lock?: boolean } = {},
): Promise<void> {
  const { store, facts, keys } = parts;
  if (facts.suite !== 'plain' && keys === undefined)
    throw fail('KEY_MISSING', { message: `a record of an encrypted repository needs its key: ${object}`, subject: object });
  const envelope: Envelope = { holdfast: 'record', format: formatVersion, repository: facts.id, folder, record };
  const digest = hashJson(envelope);
  const content = encodeJson({ ...envelope, digest, ...(keys === undefined ? {} : { mac: keys.mac(digest) }) });
  if ((await putObject(store, object, content, options)) === 'exists' && Buffer.compare(await getObject(store, object), content) !== 0)
    throw fail('REPOSITORY_DAMAGED', { message: `there is another record under the name ${object} already`, subject: object });
  await store.backend.barrier();
}

export async function readRecord(parts: RepositoryParts, folder: RecordFolder, object: string): Promise<JsonObject> {
  const content = await getObject(parts.store, object);
  const value = parseJsonObject(content, object);
  checkFormat(value, 'record', object);
  const { digest, mac, ...envelope } = value as Envelope & { readonly digest?: string; readonly mac?: string };
  const damaged = (why: string) => fail('REPOSITORY_DAMAGED', { message: `${object} ${why}`, subject: object });
  if (digest === undefined || hashJson(envelope as Envelope) !== digest || Buffer.compare(encodeJson(value), content) !== 0)
    throw damaged('is not what was written');
  if (parts.keys !== undefined && mac !== parts.keys.mac(digest)) throw damaged('was not written by who holds the key of this repository');
  if (envelope.repository !== parts.facts.id || envelope.folder !== folder) throw damaged('was brought here from another place');
  return envelope.record as JsonObject;
}
