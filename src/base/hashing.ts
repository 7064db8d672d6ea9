import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from './json.ts';

/** SHA-256 of a text or bytes, as lower-case hex. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 over the canonical text of a JSON value. */
export function hashJson(value: Json): string {
  return sha256Hex(canonicalJson(value));
}
