/** A key that is written, read back and cleared: the only proof that the database takes what clients write. */
import { fail } from '../../base/errors.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { callOf, type FdbSite, keyOf } from './site.ts';

export async function probeWrite(site: FdbSite, step: Pick<StepContext, 'signal'>): Promise<void> {
  const key = keyOf(site, `probe/${site.context.region}`);
  const value = Buffer.from(site.context.host.random.bytes(8)).toString('hex');
  const call = callOf(site, step);
  await site.client.set({ [key]: value }, call);
  const found = await site.client.get(key, call);
  if (found !== value)
    throw fail('SYSTEM_NOT_SERVING', {
      message: 'a probe was written, and something else was read back',
      details: { written: value, found },
    });
  await site.client.clear(key, call);
}
