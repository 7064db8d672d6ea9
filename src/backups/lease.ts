/**
 * Leases: somebody reads or writes a backup, so nothing of it may be removed. An object that says until when; renewing writes the next one and removes the one before.
 *
 * Invariant: from `takeLease` to `release` there is always one object that has not expired, as long as `renew` is called in time. A holder that dies leaves one that expires by itself.
 */
import { asHoldfastError } from '../base/errors.ts';
import { makeId } from '../base/ids.ts';
import type { RepositoryLease } from './backup-repository.ts';
import { recordPrefix } from './object-names.ts';
import { writeRecord } from './record-objects.ts';
import type { LeaseRecord } from './records.ts';
import type { RepositoryParts } from './repository-parts.ts';

export type LeaseRequest = Omit<LeaseRecord, 'untilMs'> & { readonly ttlMs: number };

export async function takeLease(parts: RepositoryParts, request: LeaseRequest): Promise<RepositoryLease> {
  const { clock, random, log } = parts.store.host;
  const { ttlMs, component, backupId, holder, what } = request as LeaseRequest & LeaseRecord;
  const prefix = recordPrefix('leases', component, backupId);
  const write = async () => {
    const object = `${prefix}${makeId('lease', clock.nowMs(), () => random.next())}`;
    await writeRecord(parts, 'leases', object, { component, backupId, holder, what, untilMs: clock.nowMs() + ttlMs });
    return object;
  };
  let current: string | undefined = await write();
  return {
    async renew() {
      const before = current;
      current = await write();
      if (before === undefined) return;
      try {
        await parts.store.backend.remove(before);
      } catch (error) {
        // The next one holds; the one before expires by itself.
        log.warn('repository.lease-left', { object: before, code: asHoldfastError(error).code });
      }
    },
    async release() {
      const held = current;
      current = undefined;
      if (held !== undefined) await parts.store.backend.remove(held);
    },
  };
}
