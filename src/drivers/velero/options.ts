/** Options of Velero in a cluster. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { connectionFaults, connectionOptions, type OptionFault } from '../kubernetes-api/connection-options.ts';

const name = z.string().min(1);
const namespaces = z.array(name).min(1);

const schedule = z
  .strictObject({
    name: name.describe('The name of the Schedule'),
    cron: z.string().min(1).describe('When it runs: "0 2 * * *"'),
    namespaces: namespaces.optional().describe('The namespaces that it backs up'),
    ttl: duration('How long its backups are kept: 720h').optional(),
  })
  .describe('A Schedule that must be there, enabled and exactly so');

const backup = z
  .strictObject({
    namespaces: namespaces.describe('The namespaces to back up'),
    ttl: duration('How long the backup is kept').prefault('720h'),
    'move-volume-data': z
      .boolean()
      .default(true)
      .describe('Volume snapshots are copied to the storage location; otherwise they stay where the volumes are'),
  })
  .describe('The verb run takes such a backup');

const restore = z
  .strictObject({
    schedule: name.optional().describe('The newest completed backup of this Schedule'),
    backup: name.optional().describe('The backup of this name'),
    namespaces: namespaces.optional().describe('The namespaces to restore; default: all of the backup'),
    'into-namespaces': z
      .record(name, name)
      .default({})
      .describe('Other names for namespaces, so that a restore meets nothing: { application: application-drill }'),
    existing: z
      .enum(['refuse', 'keep', 'update'])
      .default('refuse')
      .describe('What if objects are there already and differ: the restore counts as failed, they stay as they are, or they are changed'),
  })
  .describe('The verb run makes such a restore');

export const componentOptions = z.strictObject({
  namespace: name.default('velero').describe('The namespace of Velero'),
  'storage-location': name.default('default').describe('The BackupStorageLocation that must be available'),
  bucket: name.optional().describe('The bucket that the location must lead to'),
  schedule: schedule.optional(),
  'newest-within': duration('How old the newest completed backup may be').optional(),
  'volumes-off-site': z
    .boolean()
    .default(false)
    .describe('The schedule must copy the data of volumes to the storage location: a snapshot beside its volume is lost with it'),
  run: z
    .strictObject({ backup: backup.optional(), restore: restore.optional() })
    .optional()
    .describe('What the verb run does: a backup or a restore'),
  'call-timeout': duration('How long one request to the API may take in a step').prefault('10s'),
});

export const siteOptions = z.strictObject({
  ...connectionOptions,
  'access-mode': z
    .enum(['ReadOnly', 'ReadWrite'])
    .optional()
    .describe('How this cluster may use the bucket; ReadOnly where another one writes to it, or both remove what has expired'),
});

export type VeleroOptions = z.output<typeof componentOptions>;
export type VeleroSiteOptions = z.output<typeof siteOptions>;

export function findFaults(options: VeleroOptions, sites: ReadonlyMap<string, VeleroSiteOptions>): readonly OptionFault[] {
  const faults = connectionFaults(sites);
  const { run, schedule: wanted } = options;
  if (run && (run.backup === undefined) === (run.restore === undefined))
    faults.push({ path: ['run'], message: 'it is not exactly one of backup and restore', hint: 'Name what the verb run shall do.' });
  if (run?.restore && (run.restore.schedule === undefined) === (run.restore.backup === undefined))
    faults.push({ path: ['run', 'restore'], message: 'it names not exactly one of schedule and backup', hint: 'Say what is restored.' });
  for (const key of ['newest-within', 'volumes-off-site'] as const)
    if (options[key] !== undefined && options[key] !== false && wanted === undefined)
      faults.push({ path: [key], message: `${key} is about the backups of a schedule, and none is named`, hint: 'Name the schedule.' });
  return faults;
}
