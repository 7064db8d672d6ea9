/**
 * A continuous backup by fdbbackup: running, into its place, and restorable.
 *
 * Invariant: a backup that runs is adopted only where it writes to the wanted place; another one is never stopped. When the process dies after the start, the status tells that it runs.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { credentialArguments, runBackupProgram } from './backup-programs.ts';
import { parsePrinted } from './client.ts';
import { digestOf } from './digest.ts';
import type { FdbOptions } from './options.ts';
import { callOf, type FdbSite } from './site.ts';

type BackupWant = NonNullable<NonNullable<FdbOptions['run']>['backup']>;

const statusSchema = z.looseObject({
  Status: z.looseObject({ Name: z.string().optional(), Running: z.boolean().optional() }),
  Restorable: z.boolean().optional(),
  DestinationURL: z.string().optional(),
  BackupAgentsPaused: z.boolean().optional(),
  LatestRestorablePoint: z.looseObject({ Version: z.number().optional(), LagSeconds: z.number().optional() }).optional(),
});

const descriptionSchema = z.looseObject({
  Restorable: z.boolean().optional(),
  MaxRestorablePoint: z.looseObject({ Version: z.number().optional() }).optional(),
});

export function backupVerb(site: FdbSite, want: BackupWant): Verb {
  return { inspect: (_want, step) => inspect(site, want, step), apply: (_want, step) => apply(site, want, step) };
}

function parse<T>(schema: z.ZodType<T>, program: string, printed: string): T {
  const parsed = schema.safeParse(parsePrinted(program, printed));
  if (!parsed.success) throw fail('SYSTEM_WRONG_ANSWER', { message: `${program} printed JSON of an unknown shape` });
  return parsed.data;
}

const clusterFile = ({ context }: FdbSite): string => context.site['cluster-file'];

async function inspect(site: FdbSite, want: BackupWant, step: StepContext): Promise<Inspection> {
  const call = callOf(site, step);
  const args = ['status', '-C', clusterFile(site), '-t', want.tag, '--json'];
  const status = parse(statusSchema, 'fdbbackup status', await runBackupProgram(site, 'fdbbackup', args, call));
  if (status.Status.Running !== true) return { state: 'absent', why: `no backup runs under the tag ${want.tag} (${status.Status.Name})` };
  const container = status.DestinationURL ?? '';
  if (!container.startsWith(want.url.replace(/\/?(?:\?.*)?$/, '')))
    throw fail('SYSTEM_REFUSED', {
      message: `a backup already runs under the tag ${want.tag}, into ${container}`,
      hint: 'Take another tag, or discontinue that one: fdbbackup discontinue -t TAG.',
    });
  if (status.BackupAgentsPaused === true) return { state: 'pending', why: 'the backup agents are paused' };
  if (status.Restorable !== true) return { state: 'pending', why: `the backup ${want.tag} can not be restored yet` };
  const newest = await describe(site, container, step);
  if (newest === undefined) return { state: 'pending', why: `${container} can not be restored yet` };
  const digest = await digestVersionsOf(site, want, step);
  const lagSeconds = status.LatestRestorablePoint?.LagSeconds;
  return {
    state: 'done',
    output: {
      detail: `${container} can be restored to version ${newest}`,
      container,
      newestVersion: newest,
      ...(lagSeconds === undefined ? {} : { lagSeconds }),
      ...digest,
    },
  };
}

/** The container's own word: what the cluster believes to have written may not be there. */
async function describe(site: FdbSite, container: string, step: StepContext): Promise<number | undefined> {
  const args = ['describe', '-d', container, '--json', ...credentialArguments(site)];
  const printed = await runBackupProgram(site, 'fdbbackup', args, callOf(site, step));
  const { Restorable, MaxRestorablePoint } = parse(descriptionSchema, 'fdbbackup describe', printed);
  return Restorable === true ? MaxRestorablePoint?.Version : undefined;
}

async function digestVersionsOf(site: FdbSite, { digest }: BackupWant, step: StepContext): Promise<JsonObject> {
  return digest === undefined ? {} : { digest: await digestOf(site.client, digest, callOf(site, step)) };
}

async function apply(site: FdbSite, want: BackupWant, step: StepContext): Promise<void> {
  const seconds = String(Math.max(1, Math.round(want['snapshot-every'] / 1_000)));
  const args = ['start', '-C', clusterFile(site), '-t', want.tag, '-d', want.url, '-z', '-s', seconds, ...credentialArguments(site)];
  await runBackupProgram(site, 'fdbbackup', args, { ...callOf(site, step), changes: true });
}
