/** `resume --region R`: a region that fenced itself serves again. */
import { fail } from '../../base/errors.ts';
import { askReturn } from '../../control/primary/ask-return.ts';
import { isGuarded } from '../../plans/fragments.ts';
import { personOf, withSession } from '../session.ts';
import type { CommandContext } from './context.ts';

export async function resumeRegion(context: CommandContext, region: string): Promise<void> {
  await withSession(context.options, context.wiring, 'act', async ({ spec, store, host }) => {
    if (!spec.regions.has(region))
      throw fail('NOT_FOUND', {
        subject: region,
        message: `there is no region "${region}"`,
        hint: `There are: ${[...spec.regions.keys()].join(', ')}.`,
      });
    if (!isGuarded(spec))
      throw fail('USAGE', {
        message: 'no region fences itself with this spec',
        hint: 'Several controllers that share a state (state:) hold leases, with controllers.without-state: fence.',
      });
    const by = personOf(context.options, context.wiring);
    const did = await askReturn({ store, clock: host.clock, region, by, signal: context.wiring.signal });
    context.answer(`${region}: ${did}`, { region, outcome: 'done', detail: did });
  });
}
