/**
 * Answers `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps the process running.
 *
 * Invariant: nothing can be changed from here, and no answer holds a secret: what is told are names of the spec, states and numbers. A question that goes wrong ends in an answer of its
 * own; it never ends the process.
 */
import { fail } from '../base/errors.ts';
import type { ListenAddress } from '../base/listen-address.ts';
import type { MetricsReader } from '../control/metrics/metrics-reader.ts';
import type { Host, HttpAnswer, HttpListener, HttpQuestion } from '../host/host.ts';
import { expositionType, writeExposition } from './write-exposition.ts';

export interface MetricsFace {
  readonly host: Host;
  readonly address: ListenAddress;
  readonly reader: MetricsReader;
}

const plain = (status: number, text: string): HttpAnswer => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  body: `${text}\n`,
});

/** SYSTEM_REFUSED where the address can't be had. */
export async function serveMetrics({ host, address, reader }: MetricsFace): Promise<HttpListener> {
  if (!host.net.listenHttp) throw fail('SYSTEM_REFUSED', { message: 'this program can not answer over the network' });
  return host.net.listenHttp({ ...address, onQuestion: (question) => answerMetrics(reader, question) });
}

export async function answerMetrics(reader: MetricsReader, { method, path }: HttpQuestion): Promise<HttpAnswer> {
  if (method !== 'GET' && method !== 'HEAD') {
    const refusal = plain(405, 'only GET');
    return { ...refusal, headers: { ...refusal.headers, allow: 'GET, HEAD' } };
  }
  switch (path) {
    case '/metrics':
      return {
        status: 200,
        headers: { 'content-type': expositionType, 'cache-control': 'no-store' },
        body: writeExposition(reader.definitions, await reader.read()),
      };
    case '/healthz':
      return plain(200, 'ok');
    case '/readyz': {
      const { ready, why } = await reader.readiness();
      return plain(ready ? 200 : 503, why);
    }
    default:
      return plain(404, 'there are /metrics, /healthz and /readyz');
  }
}
