/**
 * Moving the active region by priorities: the cluster itself lets the other region apply everything before it serves there, so nothing is lost, and only one region ever takes commits.
 *
 * The change of priorities is one commit of the cluster. When the process dies after it, the next look finds the move under way or done.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import type { FdbClient } from './client.ts';
import { hasProcesses, hindranceOf, prefers, withPriorities } from './regions.ts';
import { callOf, type FdbSite } from './site.ts';
import type { ClusterView } from './status.ts';

/** Of which cluster, and when, a change was asked for: the same address may be a different history later. */
interface ChangeNote extends JsonObject {
  readonly connection: string;
  readonly generation: number;
}

/** Keeps the identity right before a change. SYSTEM_WRONG_IDENTITY where this step began on another cluster, or on an older state of it. */
export async function bindToCluster(view: ClusterView, step: StepContext, more: JsonObject = {}): Promise<void> {
  const { connection, generation } = view;
  if (connection === undefined || generation === undefined)
    throw fail('SYSTEM_NOT_SERVING', { message: 'the cluster does not tell its connection string or its generation' });
  const before = step.note as ChangeNote | undefined;
  if (before !== undefined && (before.connection.split('@')[0] !== connection.split('@')[0] || before.generation > generation))
    throw fail('SYSTEM_WRONG_IDENTITY', {
      message: `this step began on ${before.connection} in generation ${before.generation}, and finds ${connection} in generation ${generation}`,
    });
  await step.keepNote({ ...before, connection, generation, ...more } satisfies ChangeNote);
}

/** The data centre gets the higher priority; the caller has bound the step to the cluster. The other one may come back into use only while it is there. */
export async function prefer(site: FdbSite, client: FdbClient, view: ClusterView, dcid: string, step: StepContext): Promise<void> {
  const other = dcid === site.dcid ? site.other.dcid : site.dcid;
  if (prefers(view, dcid, other)) return;
  if (view.regions === undefined) throw fail('SYSTEM_NOT_SERVING', { message: 'the cluster does not tell its regions' });
  const rest = hasProcesses(view, other) && view.usableRegions === 2 ? 0 : -1;
  await client.setRegions(withPriorities(view.regions, { [dcid]: 1, [other]: rest }), callOf(site, step));
}

/** SYSTEM_NOT_SERVING, which passes, as long as the target has not all of it. */
export function requireMovable(site: FdbSite, view: ClusterView, target: string): void {
  const hindrance = hindranceOf(view, target, site.context.options['lag-limit']);
  if (hindrance !== undefined)
    throw fail('SYSTEM_NOT_SERVING', {
      message: `it can't move to ${target}: ${hindrance}`,
      hint: 'It is tried again within the time of the step.',
    });
}
