/**
 * The format of a repository, version 1: constants, the `repo` object, and how small JSON objects are written and read. docs/reference/repository-format.md is its description.
 *
 * Invariant: what is not exactly as this version writes it is refused, with an error that tells a newer format, another platform and damage apart.
 */
import { fail } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { canonicalJson } from '../base/json.ts';
import { repositoryObject } from './object-names.ts';

export const formatVersion = 1;
/** Plain bytes of a piece. */
export const pieceBytes = 4 * 1024 * 1024;
export const compressionLevel = 3;

export type Suite = 'plain' | 'aes-256-gcm';

/** The object `repo`: which repository this is. Its existence is what makes the repository. */
export interface RepositoryFacts extends JsonObject {
  readonly holdfast: 'repository';
  readonly format: number;
  readonly id: string;
  readonly platform: string;
  readonly suite: Suite;
  readonly createdAtMs: number;
}

export function encodeJson(value: JsonObject): Uint8Array {
  return new TextEncoder().encode(`${canonicalJson(value)}\n`);
}

/** An object of JSON. Anything else is REPOSITORY_DAMAGED under the object's name. */
export function parseJsonObject(bytes: Uint8Array | string, object: string): JsonObject {
  try {
    const value: unknown = JSON.parse(typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  } catch (cause) {
    throw fail('REPOSITORY_DAMAGED', { message: `${object} is not the JSON that it should be`, subject: object, cause });
  }
  throw fail('REPOSITORY_DAMAGED', { message: `${object} is not an object of JSON`, subject: object });
}

/** A higher number in `format` was written by a newer Holdfast: what else it holds is not looked at. */
export function checkFormat(value: JsonObject, kind: string, object: string): void {
  if (value.holdfast !== kind || typeof value.format !== 'number')
    throw fail('REPOSITORY_DAMAGED', { message: `${object} is not a Holdfast ${kind}`, subject: object });
  if (value.format > formatVersion)
    throw fail('REPOSITORY_NEWER_FORMAT', {
      message: `${object} has format ${value.format}; this Holdfast reads up to ${formatVersion}`,
      subject: object,
    });
}

export function parseRepositoryFacts(bytes: Uint8Array, platform: string, backendName: string): RepositoryFacts {
  const value = parseJsonObject(bytes, repositoryObject);
  checkFormat(value, 'repository', repositoryObject);
  const { id, platform: owner, suite, createdAtMs } = value;
  if (
    typeof id !== 'string' ||
    typeof owner !== 'string' ||
    typeof createdAtMs !== 'number' ||
    (suite !== 'plain' && suite !== 'aes-256-gcm')
  )
    throw fail('REPOSITORY_DAMAGED', {
      message: `the object ${repositoryObject} of ${backendName} lacks what it should say`,
      subject: backendName,
    });
  if (owner !== platform)
    throw fail('REPOSITORY_OTHER_PLATFORM', {
      message: `the repository in ${backendName} belongs to the platform "${owner}", not to "${platform}"`,
      subject: backendName,
    });
  return value as RepositoryFacts;
}
