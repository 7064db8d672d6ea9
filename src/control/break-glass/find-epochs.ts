/**
 * The epochs that the systems themselves carry: what a promotion wrote into a data store, what a change of route left beside the record. They outlive the state, and tell one that was restored
 * or went on without us that it is behind.
 *
 * Invariant: a system that does not answer in time, or can't tell, counts for nothing; it is named, so that a person knows whose word is missing.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { Site } from '../../contracts/driver.ts';
import type { Clock } from '../../host/host.ts';
import type { SiteKey } from '../../watch/site-key.ts';

export interface FoundEpochs {
  readonly found: { readonly [site: string]: number };
  readonly silent: { readonly [site: string]: string };
  /** 0 where none was found. */
  readonly highest: number;
}

export async function findEpochs(sites: ReadonlyMap<SiteKey, Site>, clock: Clock, timeoutMs: number): Promise<FoundEpochs> {
  const found: Record<string, number> = {};
  const silent: Record<string, string> = {};
  const over = new AbortController();
  const late = new Error(`no answer within ${timeoutMs} ms`);
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  tooLate.catch(() => {});
  const cancel = clock.after(timeoutMs, () => {
    over.abort(late);
    reject(late);
  });
  try {
    await Promise.all(
      [...sites].map(async ([key, site]) => {
        try {
          const epoch = await Promise.race([site.readEpoch?.(over.signal), tooLate]);
          if (epoch !== undefined) found[key] = epoch;
        } catch (thrown) {
          silent[key] = thrown === late ? late.message : asHoldfastError(thrown).message;
        }
      }),
    );
  } finally {
    cancel();
    over.abort(new Error('seen enough'));
  }
  return { found, silent, highest: Math.max(0, ...Object.values(found)) };
}
