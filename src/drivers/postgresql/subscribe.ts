/**
 * A connection kept open only to notice at once that it breaks: when a server's processes are killed, its sockets close in the same instant.
 *
 * Reconnects quietly with growing pauses; a connection that could not be made is no evidence here, the probes say how the server is.
 */
import type { Evidence } from '../../contracts/observation.ts';
import type { Access } from './access.ts';
import type { Connection } from './ports.ts';

const firstPauseMs = 100;
const longestPauseMs = 5_000;

export function subscribe(access: Access, connectTimeoutMs: number, listener: (evidence: Evidence) => void): () => void {
  const { clock } = access.context.host;
  const abort = new AbortController();
  let current: Connection | undefined;
  let pauseMs = firstPauseMs;

  const keep = async () => {
    while (!abort.signal.aborted) {
      try {
        current = await access.connection('watch', { timeoutMs: connectTimeoutMs, signal: abort.signal });
        pauseMs = firstPauseMs;
        await untilLost(current, abort.signal, listener);
      } catch {
        // Not connected, or ended by unsubscribing: the probes report the first, nobody needs to know of the second.
      }
      if (abort.signal.aborted) return;
      await clock.sleep(pauseMs, abort.signal).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  };
  void keep();
  return () => {
    abort.abort(new Error('unsubscribed'));
    current?.close();
  };
}

function untilLost(connection: Connection, signal: AbortSignal, listener: (evidence: Evidence) => void): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    connection.onLost((evidence) => {
      if (!signal.aborted) listener(evidence);
      resolve();
    });
  });
}
