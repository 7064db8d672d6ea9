/**
 * Tries what an S3 service can do: services that call themselves compatible differ in all of it. Dying inside it leaves objects under `probe/`, which a later probe removes.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../../base/errors.ts';
import { dateOf } from '../../base/instants.ts';
import type { BackendCapabilities, RepositoryBackend } from '../../contracts/repository-backend.ts';
import type { Host } from '../../host/host.ts';
import { removeObject } from './remove-object.ts';
import { type S3Connection, S3Refusal, type S3Settings } from './s3-connection.ts';

const racers = 6;
/** Longer than any probe takes. */
const leftOverAgeMs = 3_600_000;
const probeLockMs = 60_000;

interface Probe {
  readonly store: RepositoryBackend;
  readonly connection: S3Connection;
  readonly settings: S3Settings;
  readonly host: Host;
  readonly signal: AbortSignal;
  /** Of this probe's objects. */
  readonly prefix: string;
  readonly notes: string[];
}

export async function probeS3(
  store: RepositoryBackend,
  connection: S3Connection,
  settings: S3Settings,
  host: Host,
  signal: AbortSignal,
): Promise<BackendCapabilities> {
  const prefix = `probe/${Buffer.from(host.random.bytes(8)).toString('hex')}`;
  const probe: Probe = { store, connection, settings, host, signal, prefix, notes: [] };
  await removeLeftOvers(probe);
  try {
    const clockSkewMs = await measureClockSkew(probe);
    const putIfAbsent = await tryPutIfAbsent(probe);
    return {
      putIfAbsent,
      readAfterWrite: await tryReadAfterWrite(probe),
      checksums: await tryChecksums(probe),
      lock: await tryLock(probe),
      clockSkewMs,
      notes: probe.notes,
    };
  } finally {
    for await (const { name } of store.list(`${prefix}/`, { signal })) await removeUnlessLocked(store, name, signal);
  }
}

/** What a probe that died has left; not what another one is just writing. */
async function removeLeftOvers({ store, host, signal }: Probe): Promise<void> {
  for await (const { name, modifiedMs } of store.list('probe/', { signal }))
    if (host.clock.nowMs() - modifiedMs > leftOverAgeMs) await removeUnlessLocked(store, name, signal);
}

async function tryPutIfAbsent({ store, prefix, signal, notes }: Probe): Promise<boolean> {
  const name = `${prefix}/once`;
  try {
    const answers = await Promise.all(Array.from({ length: racers }, (_, i) => store.put(name, content(i), { signal })));
    const again = await store.put(name, content(racers), { signal });
    const kept = Buffer.from(await store.get(name, { signal }));
    const made = answers.filter((answer) => answer === 'created').length;
    const once = made === 1 && again === 'exists' && kept.equals(content(answers.indexOf('created')));
    notes.push(
      once
        ? `Of ${racers} puts of one name at the same moment one made the object, and a later one changed nothing.`
        : `Of ${racers} puts of one name ${made} were told that they made the object; a later one was told "${again}".`,
    );
    return once;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'STORE_UNSOUND') throw error;
    notes.push(`The service refuses conditional puts (If-None-Match): ${error.message}.`);
    return false;
  }
}

async function tryReadAfterWrite({ store, prefix, signal, notes }: Probe): Promise<boolean> {
  const name = `${prefix}/read`;
  if ((await store.head(name, signal)) !== undefined) return false;
  await store.put(name, content(1), { signal });
  const facts = await store.head(name, signal);
  const listed: string[] = [];
  for await (const found of store.list(`${prefix}/`, { signal })) listed.push(found.name);
  const read = facts !== undefined && Buffer.from(await store.get(name, { signal })).equals(content(1));
  if (!read || !listed.includes(name))
    notes.push(`An object that was just written could ${read ? 'not be listed' : 'not be read'} at once.`);
  return read && listed.includes(name);
}

/** Hands over bytes with the digest of others, by each of the two ways. */
async function tryChecksums(probe: Probe): Promise<boolean> {
  const wrong = Buffer.from('0'.repeat(64), 'hex');
  const md5 = await isRefused(probe, 'md5', { ContentMD5: wrong.subarray(0, 16).toString('base64') });
  const sha256 = await isRefused(probe, 'sha256', { ChecksumSHA256: wrong.toString('base64') });
  const told = (is: boolean) => (is ? 'compared' : 'not compared');
  probe.notes.push(
    `Digests that are sent along: Content-MD5 is ${told(md5)}, x-amz-checksum-sha256 is ${told(sha256)}. Each put carries the first.`,
  );
  return md5;
}

async function isRefused(
  { connection, settings, signal, prefix }: Probe,
  name: string,
  digest: { readonly ContentMD5?: string; readonly ChecksumSHA256?: string },
): Promise<boolean> {
  const at = { Bucket: settings.bucket, Key: `${settings.prefix}${prefix}/wrong-${name}` };
  try {
    await connection.attempt(`put with a wrong ${name}`, signal, ({ sdk, client, options }) =>
      client.send(new sdk.PutObjectCommand({ ...at, Body: content(1), ...digest }), options),
    );
    return false;
  } catch (error) {
    if (!(error instanceof S3Refusal)) throw error;
    if (error.failure.status !== undefined && error.failure.status >= 400 && error.failure.status < 500) return true;
    throw error.failure.error;
  }
}

/** Locks an object for a minute in the mode that can be got around, sees whether it can be removed all the same, and gets around the lock. */
async function tryLock(probe: Probe): Promise<boolean> {
  const { store, connection, settings, host, prefix, signal, notes } = probe;
  if (!(await hasLockSwitchedOn(probe))) return false;
  const name = `${prefix}/locked`;
  const at = { Bucket: settings.bucket, Key: `${settings.prefix}${name}` };
  await connection.request('put with a lock', signal, ({ sdk, client, options }) =>
    client.send(
      new sdk.PutObjectCommand({
        ...at,
        Body: content(1),
        ContentMD5: createHash('md5').update(content(1)).digest('base64'),
        ObjectLockMode: 'GOVERNANCE',
        ObjectLockRetainUntilDate: dateOf(host.clock.nowMs() + probeLockMs),
      }),
      options,
    ),
  );
  const isKept = !(await removeUnlessLocked(store, name, signal));
  notes.push(isKept ? 'A locked object could not be removed.' : 'The service took a lock, and let the object be removed all the same.');
  if (isKept && !(await getAroundLock(probe, at.Key)))
    notes.push('We may not get around a lock, which is as it should be: what this probe wrote is removed by a later one.');
  return isKept;
}

async function hasLockSwitchedOn({ connection, settings, signal, notes }: Probe): Promise<boolean> {
  try {
    const found = await connection.request('look at the lock of the bucket', signal, ({ sdk, client, options }) =>
      client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket: settings.bucket }), options),
    );
    if (found.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled') return true;
    notes.push('The bucket has no Object Lock.');
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'transient') throw error;
    notes.push(`The bucket has no Object Lock that we could see: ${error.message}.`);
  }
  return false;
}

async function getAroundLock({ connection, host, signal }: Probe, key: string): Promise<boolean> {
  try {
    await removeObject(connection, key, host.clock.nowMs(), signal, { aroundGovernance: true });
    return true;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'transient') throw error;
    return false;
  }
}

/** True where it is gone. */
async function removeUnlessLocked(store: RepositoryBackend, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await store.remove(name, signal);
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STORE_LOCKED') return false;
    throw error;
  }
}

/** The service's clock less ours, by the date of its answer, which tells whole seconds only. */
async function measureClockSkew({ store, connection, host, prefix, signal }: Probe): Promise<number | null> {
  const beforeMs = host.clock.nowMs();
  await store.head(`${prefix}/clock`, signal);
  const afterMs = host.clock.nowMs();
  const { serverDateMs } = connection;
  return serverDateMs === undefined ? null : Math.round(serverDateMs + 500 - (beforeMs + afterMs) / 2);
}

function content(number: number): Uint8Array {
  return Buffer.from(`what a probe wrote, number ${number}\n`);
}
