/**
 * Holds a lease on a backup while it is read. When it can't be renewed before it ends, the work is stopped: the backup may be removed from then on. A process that dies leaves a lease
 * that ends by itself.
 */
import { asHoldfastError, fail } from '../base/errors.ts';
import type { Host } from '../host/host.ts';
import type { BackupRepository } from './backup-repository.ts';

const ttlMs = 10 * 60_000;

export interface LeaseHold {
  /** Aborted with the caller's signal, and when the lease is lost. */
  readonly signal: AbortSignal;
  release(): Promise<void>;
}

export interface LeaseWish {
  readonly repository: BackupRepository;
  readonly component: string;
  readonly backupId: string;
  readonly holder: string;
  readonly what: string;
  readonly host: Host;
  readonly signal: AbortSignal;
}

export async function holdLease(wish: LeaseWish): Promise<LeaseHold> {
  const { repository, component, backupId, holder, what, host } = wish;
  const lease = await repository.takeLease({ component, backupId, holder, what, ttlMs });
  const lost = new AbortController();
  let renewedMs = host.clock.monotonicMs();
  let cancel = (): void => undefined;
  let renewing: Promise<void> = Promise.resolve();
  const renew = async (): Promise<void> => {
    try {
      await lease.renew();
      renewedMs = host.clock.monotonicMs();
    } catch (error) {
      host.log.warn('backups.lease-not-renewed', { backupId, code: asHoldfastError(error).code });
      if (host.clock.monotonicMs() - renewedMs > ttlMs - ttlMs / 5)
        lost.abort(fail('INTERRUPTED', { message: `the lease on ${backupId} could not be renewed in time`, subject: component }));
    }
  };
  const plan = (): void => {
    cancel = host.clock.after(ttlMs / 5, () => {
      renewing = renew().then(() => {
        if (!lost.signal.aborted) plan();
      });
    });
  };
  plan();
  return {
    signal: AbortSignal.any([wish.signal, lost.signal]),
    async release() {
      cancel();
      await renewing;
      cancel();
      await lease.release();
    },
  };
}
