/**
 * A state that is behind its own systems must not act: it was restored from an older copy, or a failover was done without it while it was gone.
 *
 * Invariant: nothing is planned from a state whose epoch is below one that a system carries.
 */
import { fail } from '../../base/errors.ts';
import type { Control } from '../control.ts';
import { findEpochs } from './find-epochs.ts';

/** What is there answers well within this; nobody waits longer for what is lost. */
const askMaxMs = 300;

export async function refuseBehind(control: Control, epoch: number, leftAside: string | undefined): Promise<void> {
  const asked = new Map([...control.sites].filter(([key]) => leftAside === undefined || !key.endsWith(`@${leftAside}`)));
  const { found } = await findEpochs(asked, control.parts.host.clock, askMaxMs);
  const ahead = Object.entries(found).filter(([, carried]) => carried > epoch);
  if (ahead.length === 0) return;
  const named = ahead.map(([site, carried]) => `${site} carries epoch ${carried}`).join(', ');
  throw fail('EPOCH_SUPERSEDED', {
    message: `the state is at epoch ${epoch}, and ${named}: something was changed without this state`,
    hint: 'Bring what was done by break-glass into the state with holdfast state reconcile, on the machine that it was done on; nothing is started before.',
    details: { epoch, ahead: Object.fromEntries(ahead) },
  });
}
