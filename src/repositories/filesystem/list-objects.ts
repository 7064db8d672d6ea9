/**
 * The objects below a directory in ascending order of their whole names by code points. That is not the order of a walk: `a-b` comes before `a/b`, because `-` comes before `/`.
 *
 * Holds the names of one directory of each level at a time. What is no object (temporary files, things that somebody put there) is passed over.
 */
import { isObjectName, type StoredObject } from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';
import { causeOf } from './file-store-errors.ts';

export interface Listing {
  readonly root: string;
  readonly prefix: string;
  /** Only names greater than this one. */
  readonly after: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export function listObjects(host: Host, listing: Listing): AsyncIterable<StoredObject> {
  // A prefix `a/b/c` can only be met below `a/b`.
  const folder = listing.prefix.slice(0, listing.prefix.lastIndexOf('/') + 1);
  return listFolder(host, listing, folder);
}

/** `folder` is empty or ends with a slash. */
async function* listFolder(host: Host, listing: Listing, folder: string): AsyncIterable<StoredObject> {
  /** Folders whose turn comes later than that of a plain file of their name, each smaller than the one before it. */
  const waiting: string[] = [];
  for (const part of await namesIn(host, `${listing.root}/${folder}`)) {
    listing.signal?.throwIfAborted();
    const name = `${folder}${part}`;
    while (waiting.length > 0 && (waiting.at(-1) as string) < name) yield* listFolder(host, listing, waiting.pop() as string);
    if (!mayHold(listing, name) || !isObjectName(name)) continue;
    const facts = await host.fileStreams.stat(`${listing.root}/${name}`);
    // Undefined: removed since its directory was read.
    if (facts?.kind === 'directory') {
      if (mayHold(listing, `${name}/`) && !isPast(listing, `${name}/`)) waiting.push(`${name}/`);
    } else if (facts?.kind === 'file' && name.startsWith(listing.prefix) && (listing.after === undefined || name > listing.after))
      yield { name, sizeBytes: facts.sizeBytes, modifiedMs: facts.modifiedMs };
  }
  while (waiting.length > 0) yield* listFolder(host, listing, waiting.pop() as string);
}

/** Whether the name, or one that goes on from it, can begin with the prefix. */
function mayHold({ prefix }: Listing, name: string): boolean {
  return name.startsWith(prefix) || prefix.startsWith(name);
}

/** All names of the folder come before `after`. */
function isPast({ after }: Listing, folder: string): boolean {
  return after !== undefined && after > folder && !after.startsWith(folder);
}

async function namesIn(host: Host, directory: string): Promise<readonly string[]> {
  try {
    // As Node sorts texts (by UTF-16 units), which for the characters of object names is the order of code points.
    return await host.files.list(directory);
  } catch (error) {
    if (causeOf(error) === 'ENOENT' || causeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}
