/**
 * The verb `run` of Velero: a backup or a restore, by its own resources.
 *
 * The object has a name that only this step makes: asked again, or by another controller after a crash, the same object is found and followed. One that failed stays, and fails the step each time: removing it is a
 * person's decision.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import { sha256Hex } from '../../base/hashing.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { CallOptions, KubernetesClient } from '../kubernetes-api/client.ts';
import { type KubeObject, textAt } from '../kubernetes-api/objects.ts';
import { isAlreadyThere } from '../kubernetes-api/refusal.ts';
import { readBackupsOf, type VeleroContext, veleroResource } from './observe.ts';
import type { VeleroOptions } from './options.ts';
import { formatTtl, judge } from './phases.ts';

type BackupWant = NonNullable<NonNullable<VeleroOptions['run']>['backup']>;
type RestoreWant = NonNullable<NonNullable<VeleroOptions['run']>['restore']>;

function nameOf({ executionId, stepId }: StepContext): string {
  return `holdfast-${sha256Hex(`${executionId}\n${stepId}`).slice(0, 20)}`;
}

export function runVerb({ options }: VeleroContext, client: KubernetesClient): Verb {
  const callOf = ({ signal }: StepContext): CallOptions => ({ timeoutMs: options['call-timeout'], signal });
  const { backup, restore } = options.run ?? {};
  const plural = backup === undefined ? 'restores' : 'backups';
  const resource = veleroResource(options, plural);
  return {
    inspect: async (_want, context) => {
      const object = await client.find(resource, nameOf(context), callOf(context));
      if (object === undefined) return { state: 'absent', why: `this step has made no ${backup === undefined ? 'restore' : 'backup'} yet` };
      return backup === undefined
        ? inspectRestore(client, options, restore as RestoreWant, object, callOf(context))
        : inspectBackup(object);
    },
    apply: async (_want, context) => {
      const call = callOf(context);
      const spec = backup === undefined ? await restoreSpec(client, options, restore as RestoreWant, call) : backupSpec(options, backup);
      const metadata = { name: nameOf(context), annotations: { 'holdfast.dev/execution': context.executionId } };
      try {
        await client.create(
          resource,
          { apiVersion: resource.apiVersion, kind: backup === undefined ? 'Restore' : 'Backup', metadata, spec },
          call,
        );
      } catch (error) {
        if (!isAlreadyThere(error)) throw error;
      }
    },
  };
}

function backupSpec(options: VeleroOptions, want: BackupWant): JsonObject {
  return {
    includedNamespaces: want.namespaces,
    ttl: formatTtl(want.ttl),
    storageLocation: options['storage-location'],
    snapshotMoveData: want['move-volume-data'],
  };
}

async function restoreSpec(client: KubernetesClient, options: VeleroOptions, want: RestoreWant, call: CallOptions): Promise<JsonObject> {
  const backup = await chooseBackup(client, options, want, call);
  const mapping = want['into-namespaces'];
  return {
    backupName: backup.metadata.name,
    ...(want.namespaces ? { includedNamespaces: want.namespaces } : {}),
    ...(Object.keys(mapping).length > 0 ? { namespaceMapping: mapping } : {}),
    ...(want.existing === 'update' ? { existingResourcePolicy: 'update' } : {}),
  };
}

/** Only a whole one: what is missing in a backup will be missing in what is restored from it. */
async function chooseBackup(client: KubernetesClient, options: VeleroOptions, want: RestoreWant, call: CallOptions): Promise<KubeObject> {
  const candidates =
    want.backup === undefined
      ? await readBackupsOf(client, options, want.schedule as string, call)
      : [await client.find(veleroResource(options, 'backups'), want.backup, call)].filter((each) => each !== undefined);
  const whole = candidates.find((each) => judge(each, 'backup').outcome === 'completed');
  if (whole) return whole;
  const what = want.backup ?? `of the schedule ${want.schedule}`;
  const [newest] = candidates;
  throw fail('SYSTEM_REFUSED', {
    message:
      newest === undefined
        ? `there is no backup ${what} in ${client.name}`
        : `no backup ${what} is whole: ${newest.metadata.name} ${judge(newest, 'backup').why || 'is under way'}`,
    hint: 'Backups of another cluster appear once the storage location is available, at most a minute later.',
  });
}

function inspectBackup(object: KubeObject): Inspection {
  const { outcome, phase, itemsDone, itemsTotal, warnings, why } = judge(object, 'backup');
  const { name } = object.metadata;
  if (outcome === 'running') return { state: 'pending', why: `the backup ${name} is ${phase}: ${itemsDone} of ${itemsTotal} items` };
  if (outcome === 'failed')
    throw failed(
      'backup',
      name,
      why,
      `velero backup logs ${name} tells why; velero backup delete ${name}, then holdfast retry, takes another one.`,
    );
  const expires = textAt(object.status, 'expiration');
  return {
    state: 'done',
    output: {
      detail: `the backup ${name} holds ${itemsTotal} items`,
      backup: name,
      items: itemsTotal,
      warnings,
      ...(expires ? { expires } : {}),
    },
  };
}

async function inspectRestore(
  client: KubernetesClient,
  options: VeleroOptions,
  want: RestoreWant,
  object: KubeObject,
  call: CallOptions,
): Promise<Inspection> {
  const { outcome, phase, itemsDone, itemsTotal, warnings, why } = judge(object, 'restore');
  const { name } = object.metadata;
  const again = `velero restore logs ${name} tells why; kubectl delete restore ${name}, then holdfast retry, makes another one.`;
  if (outcome === 'running') return { state: 'pending', why: `the restore ${name} is ${phase}: ${itemsDone} of ${itemsTotal} items` };
  if (outcome === 'failed') throw failed('restore', name, why, again);
  const backup = textAt(object.spec, 'backupName') as string;
  // Velero leaves what is there already as it is, and says Completed all the same.
  if (warnings > 0 && want.existing === 'refuse')
    throw failed(
      'restore',
      name,
      `${warnings} warnings: objects that were there already were left as they are`,
      `Restore into-namespaces that are empty, or set existing. ${again}`,
    );
  const source = await client.find(veleroResource(options, 'backups'), backup, call);
  const kept = source && judge(source, 'backup').itemsDone;
  const whole = want.namespaces === undefined;
  if (whole && kept !== undefined && kept !== itemsTotal)
    throw failed('restore', name, `${itemsTotal} items came out of a backup of ${kept}`, again);
  return {
    state: 'done',
    output: {
      detail: `${itemsDone} of ${itemsTotal} items of ${backup} restored`,
      backup,
      restore: name,
      items: itemsDone,
      ...(kept === undefined ? {} : { itemsInBackup: kept }),
      warnings,
    },
  };
}

const failed = (what: string, name: string, why: string, hint: string): HoldfastError =>
  fail('SYSTEM_REFUSED', { message: `the ${what} ${name} failed: ${why}`, hint });
