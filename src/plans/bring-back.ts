/**
 * How components that have no standby come to the target: from their backups. Pure.
 *
 * Invariant: what acknowledges writes is fenced at the source before the copy serves, wherever its driver can fence. Where it can't, the plan says so: whatever the source goes on to accept
 * is on nobody's side.
 */
import { formatDuration } from '../base/durations.ts';
import { fail } from '../base/errors.ts';
import { type ComponentSpec, inDependencyOrder } from '../spec/spec.ts';
import { type Ends, endsOfNeeds, type Frame } from './fragments.ts';

export const isBroughtBack = ({ replication }: Pick<ComponentSpec, 'replication'>): boolean => replication === 'none';

/** Time enough for any size: a restore that hangs must end some day. */
const restoreTimeoutMs = 3 * 86_400_000;

export interface BroughtBack {
  readonly losses: readonly string[];
  /** The last step of each data store. */
  readonly served: readonly string[];
  readonly measured: readonly string[];
}

/** @param fence adds the step that fences the component at the source, where there is one; returns its id */
export function bringBack(
  frame: Frame,
  ends: Ends,
  epochSet: string,
  fence: (component: ComponentSpec) => string | undefined,
): BroughtBack {
  const { builder, spec, situation, from, to, epoch } = frame;
  const losses: string[] = [];
  const served: string[] = [];
  const measured: string[] = [];
  for (const component of inDependencyOrder(spec).filter((each) => isBroughtBack(each) && each.sites.has(to))) {
    const { name } = component;
    requireReturn(frame, name);
    const fenced = component.sites.has(from) && situation.can(name, from, 'fence') ? fence(component) : undefined;
    const loss = lossOf(frame, component, fenced !== undefined);
    losses.push(loss);
    const restored = builder.platform(
      'restore-site',
      { component: name, region: to },
      {
        name: `restore-site ${name} ${to}`,
        after: [epochSet, fenced, ...endsOfNeeds(frame, component, ends)],
        why: `${name} has no standby: ${to} serves what its newest backup leads to`,
        mayLose: loss,
        timeoutMs: restoreTimeoutMs,
      },
    );
    const last = situation.can(name, to, 'promote')
      ? builder.site(
          'promote',
          name,
          to,
          { epoch, standbys: [] },
          { after: [restored], why: `${name} in ${to} takes the writes of the new epoch` },
        )
      : restored;
    ends.set(name, last);
    if (component.kind === 'data') served.push(last);
    measured.push(
      builder.platform(
        'measure-loss',
        {
          component: name,
          region: to,
          from,
          ...(fenced ? { fencedAtMs: { $from: fenced, field: 'sinceMs' } } : {}),
          reachedAtMs: { $from: restored, field: 'reachedAtMs' },
        },
        {
          name: `measure-loss ${name}`,
          after: [last],
          why: 'what the backup did not have is told by its instant, and by the canaries that came back with it',
          onFailure: 'continue',
          timeoutMs: 15_000,
        },
      ),
    );
  }
  return { losses, served, measured };
}

function lossOf({ situation, from }: Frame, component: ComponentSpec, isFenced: boolean): string {
  const lossMs = situation.estimatedLossMs(component.name);
  const amount =
    lossMs === undefined
      ? `an unproven amount of ${component.name}, which has no standby`
      : `up to ${formatDuration(lossMs)} of ${component.name}, the age of its newest recovery point`;
  return isFenced || component.kind !== 'data' || !component.sites.has(from)
    ? amount
    : `${amount}, and what ${from} goes on to accept: its driver can't fence it there`;
}

function requireReturn({ situation, to }: Frame, component: string): void {
  if (situation.canBringBack(component, to)) return;
  throw fail('PLAN_IMPOSSIBLE', {
    subject: `${component} in ${to}`,
    message: `${component} has no standby, and ${to} can't be brought back from its backups as it is configured`,
    hint: 'Give its site there hands and what its driver needs (a data directory): or take the site out of the spec.',
  });
}

/** A planned change loses nothing, and a restore comes back to an earlier instant. */
export function refuseWithoutStandby({ spec, from, to }: Frame): void {
  const alone = inDependencyOrder(spec).find((each) => isBroughtBack(each) && each.kind === 'data' && each.sites.has(to));
  if (!alone) return;
  throw fail('PLAN_IMPOSSIBLE', {
    subject: alone.name,
    message: `${alone.name} has no standby in ${to}, so a planned change would lose what came after its newest backup`,
    hint: `Stop its clients, take a backup (holdfast backup ${alone.name}), then holdfast failover --from ${from} --to ${to} with --accept-loss.`,
  });
}
