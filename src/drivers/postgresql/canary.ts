/**
 * The numbered, timed row by which loss is measured: one row per component in `holdfast.canary`, overwritten. It is committed with the server's own synchronous_commit, so
 * it is as durable as a client's write.
 *
 * A write that waits for a standby which is gone is cancelled at the time limit. The row may then have been committed at that server alone: the error says that the
 * outcome is unknown, and nobody may count the row as acknowledged.
 */
import type { Canary } from '../../contracts/driver.ts';
import type { Access } from './access.ts';

/** The caller's signal ends a write sooner; this is only for a caller that would wait for ever. */
const longestMs = 60_000;

export function canaryOf(access: Access): Canary {
  const { component } = access.context;
  return {
    async write(row, signal) {
      const limit = { timeoutMs: longestMs, signal };
      const connection = await access.connection('canary', limit);
      await connection.writeCanary(component, row, limit);
    },
    read(signal) {
      const limit = { timeoutMs: longestMs, signal };
      return access.read('canary', limit, (connection) => connection.readCanary(component, limit));
    },
  };
}
