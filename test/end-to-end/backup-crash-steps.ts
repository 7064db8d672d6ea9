/** What the process that is killed does, and what the one that looks afterwards does too. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import type { RepositoryPlace } from '../../src/backups/repository-place.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Host, Random } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { backend as filesystem } from '../../src/repositories/filesystem/backend.ts';

export const component = 'documents';
/** Small, so that a backup of a megabyte has many pieces and a kill has many places to fall between. */
const pieceBytes = 32 * 1024;
const filesCount = 8;
const fileBytesMax = 200_000;

export const storeDirectory = (directory: string) => join(directory, 'store');
const filesDirectory = (directory: string) => join(directory, 'files');

export function crashPlace(directory: string, host: Host = nodeHost({ logTo: 'silent' })): RepositoryPlace & { readonly host: Host } {
  return { backend: filesystem.open({ path: storeDirectory(directory) }, host), host, platform: 'crash', pieceBytes };
}

/** Makes the repository where there is none: a process that was killed in the middle of that left none. */
export async function openOrCreate(place: RepositoryPlace, keepKey: (key: string) => Promise<void>, keyFile: string): Promise<Repository> {
  await place.backend.ensurePlace?.();
  if (existsSync(keyFile)) {
    try {
      return await openRepository({ ...place, secret: new Secret(await readFile(keyFile, 'utf8'), 'file') });
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'REPOSITORY_MISSING') throw error;
    }
  }
  return await createRepository({
    ...place,
    encryption: {},
    confirmRecoveryKey: async (key) => {
      await keepKey(key);
      return key;
    },
  });
}

/** Some of the files get other content and another length. */
export async function changeFiles(directory: string, random: Random): Promise<void> {
  await mkdir(filesDirectory(directory), { recursive: true });
  for (let i = 0; i < filesCount; i += 1) {
    const file = join(filesDirectory(directory), `file-${i}`);
    if (existsSync(file) && random.next() < 0.6) continue;
    await writeFile(file, random.bytes(Math.floor(random.next() * fileBytesMax)));
  }
}

/** The digest of all names and contents, which the manifest keeps too. */
export async function takeBackup(repository: Repository, directory: string, backupId: string): Promise<string> {
  const writing = await repository.beginBackup({ component, backupId, what: 'files', signal: new AbortController().signal });
  const all = createHash('sha256');
  let dataBytes = 0;
  for (const name of (await readdir(filesDirectory(directory))).sort()) {
    const content = await readFile(join(filesDirectory(directory), name));
    all.update(name).update(createHash('sha256').update(content).digest());
    dataBytes += content.length;
    const part = writing.sink.openPart(name, { compressed: true });
    for (let at = 0; at < content.length; at += 50_000) await part.write(content.subarray(at, at + 50_000));
    await part.end();
  }
  const digest = all.digest('hex');
  await writing.commit({
    engine: 'files',
    engineVersion: '1',
    identity: 'history',
    consistentAtMs: Date.now(),
    dataBytes,
    more: { digest },
  });
  return digest;
}

/** Restores into an empty directory and digests what is there then. */
export async function restoredDigest(repository: Repository, backupId: string, into: string): Promise<string> {
  await rm(into, { recursive: true, force: true });
  await mkdir(into, { recursive: true });
  const reader = await repository.openBackup(component, backupId);
  for (const { name } of reader.parts) {
    const pieces: Uint8Array[] = [];
    for await (const piece of reader.readPart(name)) pieces.push(piece);
    await writeFile(join(into, name), Buffer.concat(pieces));
  }
  const all = createHash('sha256');
  for (const name of (await readdir(into)).sort())
    all.update(name).update(
      createHash('sha256')
        .update(await readFile(join(into, name)))
        .digest(),
    );
  await rm(into, { recursive: true });
  return all.digest('hex');
}

/** As PostgreSQL names its log segments. */
export const segmentName = (number: number) => number.toString(16).toUpperCase().padStart(24, '0');

/** The same bytes for the same number: a process that was killed sends them again. */
export function segmentBytes(number: number): Uint8Array {
  const block = createHash('sha256').update(String(number)).digest();
  return Buffer.concat(Array.from({ length: 1_280 }, (_, i) => createHash('sha256').update(block).update(String(i)).digest()));
}
