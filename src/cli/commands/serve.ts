/** serve: the long-running controller. Prints what it decides and does; ends in an orderly way on Ctrl-C, leaving executions resumable. */

import { formatTimeOfDay } from '../../base/instants.ts';
import { Server } from '../../control/serve.ts';
import { toJson } from '../../watch/watch-records.ts';
import { eventLine } from '../render/execution-text.ts';
import { withSession } from '../session.ts';
import type { CommandContext } from './context.ts';

export async function serve(context: CommandContext): Promise<void> {
  const { wiring, palette, options } = context;
  await withSession(options, wiring, 'serve', async ({ control, host, spec }) => {
    const say = (text: string, json: unknown) => wiring.terminal.out(options.json ? JSON.stringify(toJson(json)) : text);
    const at = () => palette.dim(formatTimeOfDay(host.clock.nowMs()));
    say(
      `${at()}  watching ${control.sites.size} sites of ${spec.name}${spec.failover.automatic ? '; a failover may start by itself' : '; a failover needs a person'}`,
      { event: 'started', sites: control.sites.size },
    );
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
        const line = eventLine(event, palette);
        if (options.json) say('', { event: 'journal', execution: state.id, journal: event });
        else if (line !== undefined) say(line, undefined);
      },
    });
    await server.run();
    say(`${at()}  stopped`, { event: 'stopped' });
  });
}
