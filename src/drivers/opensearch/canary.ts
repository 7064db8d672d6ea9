/**
 * The notes in the canary index: the heartbeat by which lag and loss are measured, the epoch of the last promotion, and a name for the data set. They are replicated like any document.
 *
 * When the process dies within a write, the row is there or not; its number is never used again.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Canary } from '../../contracts/canary.ts';
import type { Call } from './client.ts';
import { readNotes } from './cluster-view.ts';
import type { SiteParts } from './parts.ts';

export function openCanary(parts: SiteParts): Canary {
  const { cluster, context } = parts;
  const call = (signal: AbortSignal): Call => ({ timeoutMs: context.probeTimeoutMs, signal });
  return {
    write: async ({ number, atMs, epoch }, signal) => {
      await cluster.change('PUT', `/${cluster.options['canary-index']}/_doc/canary`, { number, atMs, epoch }, call(signal));
    },
    read: async (signal) => (await readNotes(cluster, call(signal))).canary,
  };
}

/** The first promotion, or the first standby, gives the data their name; it stays with them. */
export async function ensureDatasetName(parts: SiteParts, at: SiteParts['cluster'], call: Call): Promise<void> {
  const name = Buffer.from(parts.context.host.random.bytes(16)).toString('hex');
  try {
    await at.change('PUT', `/${at.options['canary-index']}/_create/dataset`, { name }, call);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.type !== 'version_conflict_engine_exception') throw error;
  }
}

export async function writeEpoch(parts: SiteParts, epoch: number, call: Call): Promise<void> {
  await parts.cluster.change('PUT', `/${parts.cluster.options['canary-index']}/_doc/epoch`, { epoch }, call);
}
