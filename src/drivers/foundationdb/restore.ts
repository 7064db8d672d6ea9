/**
 * A container restored into an empty cluster by fdbrestore, and what came out compared.
 *
 * Invariant: fdbrestore clears nothing, so a cluster that holds keys is refused. The id of the step is left in the cluster last, after the comparison: a restore that was cut off before asks a person.
 */
import { fail } from '../../base/errors.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { credentialArguments, runBackupProgram } from './backup-programs.ts';
import { FdbClient } from './client.ts';
import { digestOf } from './digest.ts';
import type { FdbOptions } from './options.ts';
import { callOf, type FdbSite, keyOf } from './site.ts';

type RestoreWant = NonNullable<NonNullable<FdbOptions['run']>['restore']>;

const longMs = 24 * 3_600_000;

export function restoreVerb(site: FdbSite, want: RestoreWant): Verb {
  const target = new FdbClient({ runner: site.hands, fdbcli: site.context.site.fdbcli, clusterFile: want['dest-cluster-file'] });
  const marker = keyOf(site, 'restored');
  const idOf = ({ executionId, stepId }: StepContext) => `${executionId}/${stepId}`;
  const holdsKeys = async (step: StepContext) => (await target.getRange('""', '\\xff', 1, callOf(site, step))).length > 0;
  return {
    inspect: async (_want, step): Promise<Inspection> => {
      if ((await target.get(marker, callOf(site, step))) === idOf(step)) return await compare(site, target, want, step);
      if (step.note === undefined) return { state: 'absent', why: 'this step has restored nothing yet' };
      if (await holdsKeys(step))
        return { state: 'unknown', why: 'the restore was begun and its end was not seen: fdbrestore status tells, or clear the cluster' };
      return { state: 'absent', why: 'the restore was begun, and nothing has come' };
    },
    apply: async (_want, step) => {
      if (await holdsKeys(step))
        throw fail('RESTORE_TARGET_NOT_EMPTY', {
          message: `the cluster of ${want['dest-cluster-file']} holds keys, and fdbrestore would mix them with the backup's`,
          hint: 'Name the cluster file of an empty cluster.',
        });
      await step.keepNote({ phase: 'begun' });
      const version = want.version === undefined ? [] : ['-v', String(want.version)];
      const args = [
        'start',
        '--dest-cluster-file',
        want['dest-cluster-file'],
        '-r',
        want.container,
        ...version,
        '-w',
        ...credentialArguments(site),
      ];
      await runBackupProgram(site, 'fdbrestore', args, { timeoutMs: longMs, signal: step.signal, changes: true });
      const compared = await compare(site, target, want, step);
      if (compared.state !== 'done') throw fail('SYSTEM_NOT_SERVING', { message: compared.why });
      await target.set({ [marker]: idOf(step) }, callOf(site, step));
    },
  };
}

/** SYSTEM_REFUSED where the keys are not those that were backed up. */
async function compare(site: FdbSite, target: FdbClient, want: RestoreWant, step: StepContext): Promise<Inspection> {
  const detail = `${want.container} is restored`;
  if (want.expect === undefined) return { state: 'done', output: { detail: `${detail}; nothing was compared` } };
  const { keys, sha256 } = await digestOf(target, want.expect.range, callOf(site, step));
  if (sha256 !== want.expect.sha256)
    throw fail('BACKUP_DAMAGED', {
      message: `the ${keys} restored keys have the digest ${sha256}, and ${want.expect.sha256} was backed up`,
      hint: 'Restore to the version that the digest was told with, or another container.',
    });
  return { state: 'done', output: { detail: `${detail}, and its ${keys} keys are those that were backed up`, keys, sha256 } };
}
