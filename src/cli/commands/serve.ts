/** serve: the long-running controller. Prints what it decides and does; ends in an orderly way on Ctrl-C, leaving executions resumable. */

import { join } from 'node:path';
import { formatTimeOfDay } from '../../base/instants.ts';
import { formatListenAddress, type ListenAddress } from '../../base/listen-address.ts';
import { PushRequests } from '../../control/backups/push-requests.ts';
import { MetricsReader } from '../../control/metrics/metrics-reader.ts';
import { Server } from '../../control/serve.ts';
import { toJson } from '../../watch/watch-records.ts';
import { eventLine } from '../render/execution-text.ts';
import { type Session, stateDirectory, withSession } from '../session.ts';
import type { CommandContext } from './context.ts';

export interface ServeOptions {
  /** Where Prometheus is answered; undefined: nowhere. */
  readonly metrics?: ListenAddress;
  /** Where this machine stands, for one of several controllers. */
  readonly region?: string;
}

export async function serve(context: CommandContext, { metrics: address, region }: ServeOptions = {}): Promise<void> {
  const { wiring, palette, options } = context;
  const work = async ({ control, host, spec, repositories }: Session) => {
    const say = (text: string, json: unknown) => wiring.terminal.out(options.json ? JSON.stringify(toJson(json)) : text);
    const at = () => palette.dim(formatTimeOfDay(host.clock.nowMs()));
    say(
      `${at()}  watching ${control.sites.size} sites of ${spec.name}${control.parts.region === undefined ? '' : ` from ${control.parts.region}`}${spec.failover.automatic ? '; a failover may start by itself' : '; a failover needs a person'}`,
      { event: 'started', sites: control.sites.size, ...(control.fleet ? { controller: control.parts.controller } : {}) },
    );
    const reader = new MetricsReader(control, { version: wiring.version });
    // Before anything is begun: who asked for metrics and can't have them should hear of it at once.
    const metrics = address && (await wiring.serveMetrics({ host, address, reader }));
    if (address && metrics) {
      const url = `http://${formatListenAddress({ host: address.host, port: metrics.port })}/metrics`;
      say(`${at()}  metrics at ${url}`, { event: 'metrics', url });
    }
    const server = new Server(control, wiring.signal, {
      onDecision: (decision, verdict) =>
        say(`${at()}  ${decision.act ? palette.bad(decision.summary) : palette.dim(decision.summary)}`, {
          event: 'decision',
          atMs: host.clock.nowMs(),
          decision,
          verdict,
        }),
      onExecution: (id) => say(`${at()}  execution ${id}`, { event: 'execution', id, atMs: host.clock.nowMs() }),
      onEvent: (event, state) => {
        reader.counts.count(event, state);
        const line = eventLine(event, palette);
        if (options.json) say('', { event: 'journal', execution: state.id, journal: event });
        else if (line !== undefined) say(line, undefined);
      },
    });
    const pushes = new PushRequests({
      spec,
      catalog: wiring.catalog,
      host,
      // The state is closed to others; a database that runs as another user is let in by a socket elsewhere.
      socketPath: wiring.environment.HOLDFAST_WAL_PUSH_SOCKET ?? join(stateDirectory(options, wiring), 'wal-push.sock'),
      openRepository: async (repository) => (await repositories.open(repository)).repository,
    });
    try {
      await pushes.start();
      await server.run();
    } finally {
      await metrics?.close();
      await pushes.close();
    }
    say(`${at()}  stopped`, { event: 'stopped' });
  };
  await withSession(options, wiring, 'serve', work, region === undefined ? {} : { region });
}
