/** What of the cluster's own set-up stands in the way of surviving the loss of a region. Pure. */
import { formatDuration } from '../../base/durations.ts';
import type { Reading } from '../../contracts/observation.ts';
import { hasSatellites, priorityOf } from './regions.ts';
import type { FdbSite } from './site.ts';
import type { ClusterView } from './status.ts';

type Fault = NonNullable<Reading['faults']>[number];

const problem = (message: string, hint: string): Fault => ({ severity: 'problem', message, hint });
const warning = (message: string, hint: string): Fault => ({ severity: 'warning', message, hint });

export function findReadinessFaults(view: ClusterView, site: FdbSite): readonly Fault[] {
  return [
    ...coordinatorFaults(view),
    ...regionFaults(view, site),
    ...copyFaults(view, site),
    ...backupFaults(view, site),
    ...(view.locked === true
      ? [problem(`the database is locked${view.lockUid ? ` (${view.lockUid})` : ''}`, 'Unlock it at a terminal: fdbcli unlock UID.')]
      : []),
  ];
}

function coordinatorFaults({ coordinators, quorum }: ClusterView): readonly Fault[] {
  const reached = coordinators.filter(({ reachable }) => reachable).length;
  const said = `${reached} of ${coordinators.length} coordinators are reached`;
  if (quorum !== true) return [problem(`${said}: no majority`, 'Without a majority nothing fails over, and nothing can be forced either.')];
  if (reached < coordinators.length) return [warning(said, 'Bring the others back, or choose new ones: fdbcli coordinators.')];
  return [];
}

function regionFaults(view: ClusterView, { dcid, other }: FdbSite): readonly Fault[] {
  const { usableRegions, regions } = view;
  if (usableRegions === undefined || regions === undefined)
    return [problem('the status does not tell how regions are configured', 'Look at fdbcli status json; without it nothing is proven.')];
  const faults: Fault[] = [];
  if (usableRegions !== 2)
    faults.push(
      problem(`usable_regions is ${usableRegions}: no second copy exists`, 'Run holdfast reprotect, or configure usable_regions=2.'),
    );
  const mine = priorityOf(regions, dcid);
  const others = priorityOf(regions, other.dcid);
  for (const [id, priority] of [
    [dcid, mine],
    [other.dcid, others],
  ] as const) {
    if (priority === undefined)
      faults.push(problem(`${id} is in no configured region`, 'Name it under regions; the id is the dcid of its processes, case counts.'));
    else if (priority < 0) faults.push(problem(`the priority of ${id} is ${priority}: it can never take over`, 'Run holdfast reprotect.'));
  }
  if (mine !== undefined && mine === others)
    faults.push(warning(`both regions have the priority ${mine}`, 'Which one is active is left to chance: give the active one more.'));
  const active = view.activeDc;
  const resting = active === dcid ? other.dcid : dcid;
  const higher = priorityOf(regions, resting) ?? -1;
  if (active !== undefined && higher > (priorityOf(regions, active) ?? -1))
    faults.push(
      warning(`${resting} has the higher priority (${higher}), and ${active} is active`, 'It moves by itself once the copy has caught up.'),
    );
  return faults;
}

function copyFaults(view: ClusterView, { context, dcid, other }: FdbSite): readonly Fault[] {
  const faults: Fault[] = [];
  const active = view.activeDc ?? dcid;
  if (view.usableRegions === 2 && view.regions !== undefined && !hasSatellites(view, active)) {
    const hint = 'Give the region satellites with processes: only their logs have what was acknowledged last.';
    const message = `${active} has no satellite: the other region follows asynchronously, and what was acknowledged last is lost with it`;
    faults.push(context.replication === 'synchronous' ? problem(message, hint) : warning(message, hint));
  }
  if (view.available && view.fullReplication !== true)
    faults.push(problem('the data are not fully replicated', 'Wait for the copies, or look for the processes that are missing.'));
  const limitMs = context.options['lag-limit'];
  if (view.available && view.usableRegions === 2) {
    if (view.lagSeconds === undefined)
      faults.push(problem('how far the other region is behind is not told', 'It may be dead: look at its processes.'));
    else if (view.lagSeconds * 1_000 > limitMs)
      faults.push(
        problem(
          `the other region is ${view.lagSeconds} s behind; ${formatDuration(limitMs)} are allowed`,
          'Look at the network between the regions.',
        ),
      );
    for (const each of [dcid, other.dcid])
      if ((view.processes?.get(each) ?? 0) === 0)
        faults.push(
          problem(
            `no process of ${each} reports`,
            'Bring them back; a region that is lost for good is dropped (run: { drop-region: ... }), or its log fills the disks.',
          ),
        );
  }
  return faults;
}

function backupFaults(view: ClusterView, { context }: FdbSite): readonly Fault[] {
  const wanted = context.options['backup-behind'];
  if (wanted === undefined) return [];
  const tag = view.backups?.[wanted.tag];
  if (tag?.running_backup !== true)
    return [problem(`no backup runs under the tag ${wanted.tag}`, 'Start it: a component with run: { backup: ... } does.')];
  const behind = tag.last_restorable_seconds_behind;
  if (tag.running_backup_is_restorable !== true || behind === undefined)
    return [
      problem(`the backup ${wanted.tag} can not be restored yet`, 'Its first whole copy is not finished: are backup_agents running?'),
    ];
  if (behind * 1_000 <= wanted.limit) return [];
  return [
    problem(
      `the backup ${wanted.tag} is ${behind} s behind; ${formatDuration(wanted.limit)} are allowed`,
      'Look at the backup_agents and at the store.',
    ),
  ];
}
