/**
 * A connection kept open only to notice its end: a killed server's kernel closes it at once, long before the next probe.
 *
 * Invariants: what the listener hears is that an established connection broke without our doing; failed attempts to connect are the probes' to report. Reconnects
 * by itself, ever more slowly, as long as it is subscribed. A small PING goes out regularly, so that the server's `timeout` setting does not end it for being idle.
 */
import type { Evidence } from '../../contracts/observation.ts';
import { targetOf } from './options.ts';
import { addressOf, type RedisConnection } from './port.ts';
import type { RedisSiteParts } from './server.ts';

const pingEveryMs = 5_000;
const retryFirstMs = 250;
const retryMaxMs = 5_000;

export function subscribe(parts: RedisSiteParts, listener: (evidence: Evidence) => void): () => void {
  const { context, port } = parts;
  const { clock } = context.host;
  const target = targetOf(context.site);
  const ended = new AbortController();
  let connection: RedisConnection | undefined;
  let cancelTimer = () => {};
  let retryMs = retryFirstMs;

  const later = (inMs: number, what: () => void) => {
    cancelTimer = clock.after(inMs, what);
  };
  const retry = () => {
    if (ended.signal.aborted) return;
    later(retryMs, connect);
    retryMs = Math.min(retryMs * 2, retryMaxMs);
  };
  const ping = () => {
    // Whether the answer comes is the probes' business; the connection stays open without it.
    connection?.send([['PING']], { timeoutMs: 24 * 3_600_000 }).catch(() => undefined);
    later(pingEveryMs, ping);
  };
  const connect = () => {
    port.connect(target, { timeoutMs: context.probeTimeoutMs, signal: ended.signal }).then((opened) => {
      if (ended.signal.aborted) return opened.close();
      connection = opened;
      retryMs = retryFirstMs;
      cancelTimer();
      opened.onClose(() => {
        connection = undefined;
        cancelTimer();
        if (ended.signal.aborted) return;
        listener({ kind: 'connection-lost', detail: `the connection to ${addressOf(target)} broke` });
        retry();
      });
      later(pingEveryMs, ping);
    }, retry);
  };

  connect();
  return () => {
    ended.abort(new Error('unsubscribed'));
    cancelTimer();
    connection?.close();
  };
}
