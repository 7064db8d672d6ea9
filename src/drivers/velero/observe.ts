/** One look at Velero: is its storage there, is the schedule as the spec says, is the newest backup whole and young enough. */
import { formatDuration } from '../../base/durations.ts';
import { HoldfastError } from '../../base/errors.ts';
import { parseInstantMs } from '../../base/instants.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import type { CallOptions, KubernetesClient, Resource } from '../kubernetes-api/client.ts';
import { type KubeObject, textAt, valueAt } from '../kubernetes-api/objects.ts';
import { evidenceOfRefusal } from '../kubernetes-api/refusal.ts';
import type { VeleroOptions, VeleroSiteOptions } from './options.ts';
import { defaultTtlMs, judge, parseTtlMs } from './phases.ts';

export type VeleroContext = SiteContext<VeleroOptions, VeleroSiteOptions>;
type Fault = NonNullable<Reading['faults']>[number];

export const veleroResource = (options: VeleroOptions, plural: string): Resource => ({
  apiVersion: 'velero.io/v1',
  plural,
  namespace: options.namespace,
});

export async function observeVelero(context: VeleroContext, client: KubernetesClient, signal: AbortSignal): Promise<Reading> {
  const { options, probeTimeoutMs, site, host } = context;
  const call = { timeoutMs: probeTimeoutMs, signal };
  try {
    const [location, schedule, backups, identity] = await Promise.all([
      client.get(veleroResource(options, 'backupstoragelocations'), options['storage-location'], call),
      options.schedule ? client.find(veleroResource(options, 'schedules'), options.schedule.name, call) : undefined,
      options.schedule ? readBackupsOf(client, options, options.schedule.name, call) : [],
      client.readClusterId(call),
    ]);
    if (site['cluster-id'] !== undefined && identity !== site['cluster-id'])
      return readingOf({ kind: 'error', detail: `${client.name} is another cluster than cluster-id says` });
    const trouble = troubleOf(location, context);
    const faults = [...trouble, ...scheduleFaults(schedule, options), ...backupFaults(backups, options, host.clock.nowMs())];
    const detail = trouble[0]?.message ?? `the storage location ${location.metadata.name} of ${client.name} is available`;
    return {
      ...readingOf({ kind: trouble.length === 0 ? 'answered' : 'wrong-answer', detail }),
      ...(identity === undefined ? {} : { identity }),
      faults,
      facts: { location: textAt(location.status, 'phase') ?? 'unknown', ...factsOf(backups) },
    };
  } catch (error) {
    if (error instanceof HoldfastError && error.kind === 'bug') throw error;
    return readingOf(evidenceOfRefusal(error, client.name, 'the API'));
  }
}

/** The newest first. */
export async function readBackupsOf(
  client: KubernetesClient,
  options: VeleroOptions,
  schedule: string,
  call: CallOptions,
): Promise<readonly KubeObject[]> {
  const all = await client.list(veleroResource(options, 'backups'), { labels: `velero.io/schedule-name=${schedule}` }, call);
  // Names end in the time too, which parts those of one second.
  return all.toSorted((a, b) => startedMs(b) - startedMs(a) || (a.metadata.name < b.metadata.name ? 1 : -1));
}

function startedMs(backup: KubeObject): number {
  const at = textAt(backup.status, 'startTimestamp') ?? backup.metadata.creationTimestamp;
  return at ? parseInstantMs(at) : 0;
}

const problem = (message: string, hint: string): Fault => ({ severity: 'problem', message, hint });

function troubleOf(location: KubeObject, { options, site }: VeleroContext): readonly Fault[] {
  const name = `the storage location ${location.metadata.name}`;
  const faults: Fault[] = [];
  const phase = textAt(location.status, 'phase');
  if (phase !== 'Available')
    faults.push(
      problem(
        `${name} is ${phase ?? 'not looked at yet'}${textAt(location.status, 'message') ? `: ${textAt(location.status, 'message')}` : ''}`,
        'Look at its bucket and its credentials.',
      ),
    );
  const bucket = textAt(location.spec, 'objectStorage', 'bucket');
  if (options.bucket !== undefined && bucket !== options.bucket)
    faults.push(problem(`${name} leads to the bucket ${bucket}, not ${options.bucket}`, 'Correct the location or the spec.'));
  const mode = textAt(location.spec, 'accessMode') ?? 'ReadWrite';
  if (site['access-mode'] !== undefined && mode !== site['access-mode'])
    faults.push(
      problem(
        `${name} is ${mode} here, not ${site['access-mode']}`,
        'Of several clusters at one bucket only one may write: the others would remove what has expired as well.',
      ),
    );
  return faults;
}

function scheduleFaults(schedule: KubeObject | undefined, options: VeleroOptions): readonly Fault[] {
  const wanted = options.schedule;
  if (wanted === undefined) return [];
  if (schedule === undefined) return [problem(`there is no schedule ${wanted.name}`, 'Create it: velero schedule create.')];
  const differences: string[] = [];
  const { spec, status } = schedule;
  const phase = textAt(status, 'phase');
  if (phase !== 'Enabled') differences.push(`it is ${phase ?? 'not judged yet'}`);
  if (valueAt(spec, 'paused') === true) differences.push('it is paused');
  if (textAt(spec, 'schedule') !== wanted.cron) differences.push(`it runs at "${textAt(spec, 'schedule')}", not "${wanted.cron}"`);
  const included = valueAt(spec, 'template', 'includedNamespaces');
  const names = Array.isArray(included) ? included.map(String).toSorted() : ['*'];
  if (wanted.namespaces && names.join() !== [...wanted.namespaces].toSorted().join())
    differences.push(`it backs up ${names.join(', ')}, not ${wanted.namespaces.join(', ')}`);
  const ttlMs = parseTtlMs(textAt(spec, 'template', 'ttl')) ?? defaultTtlMs;
  if (wanted.ttl !== undefined && ttlMs !== wanted.ttl)
    differences.push(`it keeps backups for ${formatDuration(ttlMs)}, not ${formatDuration(wanted.ttl)}`);
  const offSite = valueAt(spec, 'template', 'snapshotMoveData') === true || valueAt(spec, 'template', 'defaultVolumesToFsBackup') === true;
  if (options['volumes-off-site'] && !offSite) differences.push('the data of volumes stays where the volumes are');
  return differences.map((each) => problem(`the schedule ${wanted.name}: ${each}`, 'Change the Schedule or the spec.'));
}

function backupFaults(backups: readonly KubeObject[], options: VeleroOptions, nowMs: number): readonly Fault[] {
  const wanted = options.schedule;
  if (wanted === undefined) return [];
  const judged = backups.map((backup) => ({ backup, ...judge(backup, 'backup') }));
  const newest = judged.find(({ outcome }) => outcome !== 'running');
  const faults: Fault[] = [];
  if (newest?.outcome === 'failed')
    faults.push(problem(`the newest backup ${newest.backup.metadata.name} failed: ${newest.why}`, 'velero backup logs tells why.'));
  const whole = judged.find(({ outcome }) => outcome === 'completed');
  const within = options['newest-within'];
  if (within === undefined) return faults;
  const ageMs = whole === undefined ? undefined : nowMs - startedMs(whole.backup);
  if (ageMs === undefined) faults.push(problem(`no backup of ${wanted.name} has completed`, 'Take one, and see why none has.'));
  else if (ageMs > within)
    faults.push(
      problem(
        `the newest completed backup of ${wanted.name} is ${formatDuration(ageMs)} old, and ${formatDuration(within)} are allowed`,
        'See why later ones have failed.',
      ),
    );
  return faults;
}

function factsOf([newest]: readonly KubeObject[]): JsonObject {
  if (newest === undefined) return {};
  const { phase, itemsTotal, itemsDone, warnings } = judge(newest, 'backup');
  const expires = textAt(newest.status, 'expiration');
  return { newest: { name: newest.metadata.name, phase, itemsTotal, itemsDone, warnings, ...(expires ? { expires } : {}) } };
}
