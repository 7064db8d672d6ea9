/**
 * Removes an object with all of its versions. In a bucket that keeps versions a plain delete only hides the object behind a mark: it still costs, and its name is not free of the past.
 * Dying in the middle leaves older versions, which nobody lists; the name reads as removed once the newest is gone.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { type S3Connection, S3Refusal } from './s3-connection.ts';

export async function removeObject(
  connection: S3Connection,
  key: string,
  nowMs: number,
  signal: AbortSignal | undefined,
  options: { readonly aroundGovernance?: boolean } = {},
): Promise<void> {
  const versions = await versionsOf(connection, key, signal);
  if (versions === undefined) return removeVersion(connection, key, undefined, nowMs, signal, options);
  for (const version of versions) await removeVersion(connection, key, version, nowMs, signal, options);
}

/** Of each kind the newest first; undefined where the service keeps no versions, or does not tell of them. */
async function versionsOf(connection: S3Connection, key: string, signal: AbortSignal | undefined): Promise<readonly string[] | undefined> {
  const found: string[] = [];
  let marker: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } = {};
  try {
    for (;;) {
      const page = await connection.request(`list the versions of ${key}`, signal, ({ sdk, client, options }) =>
        client.send(new sdk.ListObjectVersionsCommand({ Bucket: connection.bucket, Prefix: key, ...marker }), options),
      );
      // Marks that hide the object come first: should a version be locked, it is seen again instead of being kept in hiding.
      const all = [...(page.DeleteMarkers ?? []), ...(page.Versions ?? [])];
      for (const { Key, VersionId } of all) if (Key === key && VersionId !== undefined) found.push(VersionId);
      // The name itself comes before every longer one that begins with it.
      if (page.IsTruncated !== true || all.some(({ Key = '' }) => Key !== key)) return found;
      marker = {
        ...(page.NextKeyMarker === undefined ? {} : { KeyMarker: page.NextKeyMarker }),
        ...(page.NextVersionIdMarker === undefined ? {} : { VersionIdMarker: page.NextVersionIdMarker }),
      };
    }
  } catch (error) {
    if (error instanceof HoldfastError && (error.code === 'STORE_UNSOUND' || error.code === 'STORE_NOT_ALLOWED')) return undefined;
    throw error;
  }
}

async function removeVersion(
  connection: S3Connection,
  key: string,
  version: string | undefined,
  nowMs: number,
  signal: AbortSignal | undefined,
  { aroundGovernance = false }: { readonly aroundGovernance?: boolean },
): Promise<void> {
  const at = { Bucket: connection.bucket, Key: key, ...(version === undefined ? {} : { VersionId: version }) };
  try {
    const answer = await connection.request(`remove ${key}`, signal, ({ sdk, client, options }) =>
      client.send(new sdk.DeleteObjectCommand({ ...at, ...(aroundGovernance ? { BypassGovernanceRetention: true } : {}) }), options),
    );
    if (version === undefined && answer.DeleteMarker === true)
      throw fail('STORE_NOT_ALLOWED', {
        message: `${key} was only hidden: the bucket keeps versions, and we may not see them`,
        hint: 'Allow us to list and to delete versions (s3:ListBucketVersions, s3:DeleteObjectVersion).',
        subject: connection.label,
      });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === 'STORE_NO_OBJECT') return;
    // A service says of a lock only "access denied".
    if (error.kind === 'refused' || error.kind === 'invalid') {
      const lockedUntilMs = await lockOf(connection, at, signal);
      if (error.code === 'STORE_LOCKED' || error.code === 'STORE_NO_LOCK' || lockedUntilMs > nowMs)
        throw fail('STORE_LOCKED', { message: `${key} is locked: ${error.message}`, subject: connection.label });
    }
    throw error;
  }
}

/** 0: no lock, or none that can be seen. */
async function lockOf(
  connection: S3Connection,
  at: { readonly Bucket: string; readonly Key: string; readonly VersionId?: string },
  signal: AbortSignal | undefined,
): Promise<number> {
  try {
    const found = await connection.attempt(`look at ${at.Key}`, signal, ({ sdk, client, options }) =>
      client.send(new sdk.HeadObjectCommand(at), options),
    );
    if (found.ObjectLockLegalHoldStatus === 'ON') return Number.POSITIVE_INFINITY;
    return found.ObjectLockRetainUntilDate?.getTime() ?? 0;
  } catch (error) {
    // What the removal was told is the answer then.
    if (error instanceof S3Refusal) return 0;
    throw error;
  }
}
