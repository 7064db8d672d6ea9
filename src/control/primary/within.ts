/** Waits no longer than that. What was begun goes on by itself, and nobody hears of its end any more. */
import { fail } from '../../base/errors.ts';
import type { Clock } from '../../host/host.ts';

export async function within<T>(clock: Clock, durationMs: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(durationMs, () => reject(fail('TIMED_OUT', { message: `no answer within ${Math.round(durationMs)} ms` })));
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel();
  }
}
