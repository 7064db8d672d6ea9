/**
 * The server that another one is made to follow has to be there first. One that is away for a moment is waited for; one that stays away is a matter for people: its own region may be waiting for
 * just this execution to end before it serves again.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import type { Connection, Limit } from './ports.ts';

const patienceMs = 60_000;
const pollMs = 500;

/** What `read` answers at the upstream. SYSTEM_REFUSED, and nothing is tried again by itself, where it can't be asked for a minute. */
export async function awaitUpstream<T>(
  access: Access,
  region: string,
  context: StepContext,
  read: (connection: Connection, limit: Limit) => Promise<T>,
): Promise<T> {
  const { clock } = access.context.host;
  const untilMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    const limit = access.limit(context.signal);
    try {
      return await access.read('verb', limit, (connection) => read(connection, limit), region);
    } catch (thrown) {
      context.signal.throwIfAborted();
      const error = asHoldfastError(thrown);
      if (error.kind !== 'transient') throw error;
      if (clock.monotonicMs() >= untilMs)
        throw fail('SYSTEM_REFUSED', {
          subject: access.subject,
          message: `${region}, which it is to follow, can not be asked: ${error.message}`,
          hint: `Let ${region} serve first (holdfast check says what it waits for), then holdfast retry; or end this with holdfast abort.`,
          cause: error,
        });
      context.progress(`${region} is waited for: ${error.message}`);
      await clock.sleep(pollMs, context.signal);
    }
  }
}
