/**
 * Tries what a directory can do: whether a name is given once only, also in a race, whether what was written is read and listed, and what its clock says. Dying inside it leaves objects
 * under `probe/`, which the next probe removes.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { BackendCapabilities, RepositoryBackend } from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';

const racers = 8;
/** Longer than any probe takes. */
const leftOverAgeMs = 3_600_000;

export async function probeFileStore(store: RepositoryBackend, host: Host, signal: AbortSignal): Promise<BackendCapabilities> {
  await removeLeftOvers(store, host, signal);
  const prefix = `probe/${Buffer.from(host.random.bytes(8)).toString('hex')}`;
  const notes: string[] = [];
  try {
    const putIfAbsent = await tryPutIfAbsent(store, `${prefix}/once`, signal, notes);
    const readAfterWrite = putIfAbsent && (await tryReadAfterWrite(store, `${prefix}/once`, signal));
    notes.push(
      'A directory compares no digests and locks nothing: the digests in each manifest find damage, and whoever may write to the directory may remove what is in it.',
    );
    return {
      putIfAbsent,
      readAfterWrite,
      checksums: false,
      lock: false,
      clockSkewMs: putIfAbsent ? await measureClockSkew(store, host, `${prefix}/clock`, signal) : null,
      notes,
    };
  } finally {
    await removeOwn(store, prefix, signal);
  }
}

async function tryPutIfAbsent(store: RepositoryBackend, name: string, signal: AbortSignal, notes: string[]): Promise<boolean> {
  try {
    const answers = await Promise.all(Array.from({ length: racers }, (_, i) => store.put(name, content(i), { signal })));
    const again = await store.put(name, content(racers), { signal });
    const kept = await store.get(name, { signal });
    const winner = answers.indexOf('created');
    const once =
      answers.filter((answer) => answer === 'created').length === 1 && again === 'exists' && Buffer.from(kept).equals(content(winner));
    if (!once)
      notes.push(`Of ${racers} puts of one name ${answers.filter((answer) => answer === 'created').length} were told that they made it.`);
    return once;
  } catch (error) {
    if (!isLinkRefused(error)) throw error;
    notes.push('This file system has no hard links, by which a name is given once only.');
    return false;
  }
}

/** Some file systems (FAT, some network shares) say EPERM, others that they know no such call. */
function isLinkRefused(error: unknown): boolean {
  let each = error;
  while (each instanceof HoldfastError) each = each.cause;
  const { code = '', syscall } = (each ?? {}) as NodeJS.ErrnoException;
  return syscall === 'link' && ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code);
}

async function tryReadAfterWrite(store: RepositoryBackend, name: string, signal: AbortSignal): Promise<boolean> {
  const read = await store.get(name, { signal });
  for await (const found of store.list(name, { signal })) if (found.name === name && found.sizeBytes === read.length) return true;
  return false;
}

/** The clock that stamps the files: another machine's where the directory is a share. */
async function measureClockSkew(store: RepositoryBackend, host: Host, name: string, signal: AbortSignal): Promise<number | null> {
  const beforeMs = host.clock.nowMs();
  await store.put(name, content(0), { signal });
  const afterMs = host.clock.nowMs();
  const facts = await store.head(name, signal);
  return facts === undefined ? null : Math.round(facts.modifiedMs - (beforeMs + afterMs) / 2);
}

async function removeOwn(store: RepositoryBackend, prefix: string, signal: AbortSignal): Promise<void> {
  for await (const { name } of store.list(prefix, { signal })) await store.remove(name, signal);
}

/** What a probe that died has left; not what another one is just writing. */
async function removeLeftOvers(store: RepositoryBackend, host: Host, signal: AbortSignal): Promise<void> {
  for await (const { name, modifiedMs } of store.list('probe/', { signal }))
    if (host.clock.nowMs() - modifiedMs > leftOverAgeMs) await store.remove(name, signal);
}

function content(number: number): Uint8Array {
  return Buffer.from(`what a probe wrote, number ${number}\n`);
}
