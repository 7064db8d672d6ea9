/** A digest over all keys and values of a range as of one version: what a restored copy must have again. Read in one transaction, which lasts five seconds: for ranges of moderate size. */
import { fail } from '../../base/errors.ts';
import { sha256Hex } from '../../base/hashing.ts';
import type { JsonObject } from '../../base/json.ts';
import type { CallOptions, FdbClient } from './client.ts';

export interface RangeDigest extends JsonObject {
  readonly version: number;
  readonly keys: number;
  readonly sha256: string;
}

const keysMax = 100_000;

export async function digestOf(
  client: FdbClient,
  range: { readonly begin: string; readonly end: string },
  call: CallOptions,
): Promise<RangeDigest> {
  const { version, rows } = await client.getRangeAtVersion(range.begin, range.end, keysMax + 1, call);
  if (rows.length > keysMax)
    throw fail('SYSTEM_REFUSED', { message: `the range has more than ${keysMax} keys`, hint: 'Name a smaller one.' });
  // As printed, where no character of a key or value can be the separator.
  return { version, keys: rows.length, sha256: sha256Hex(rows.map(({ key, value }) => `${key}\n${value}\n`).join('')) };
}
