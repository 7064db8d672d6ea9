/**
 * Whether Argo CD keeps an object as Git says. Where it heals by itself, a change of the object is undone within seconds: then the change goes through the Application (its parameters, or its automated sync
 * suspended for the time being, the old policy written down on it), or is refused with a hint. Never behind its back.
 *
 * Dying between suspending and changing leaves the sync suspended and the annotation that says so: the next `apply` finds it and goes on; the policy returns with the size that was there before.
 */
import { z } from 'zod';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { annotations } from './annotations.ts';
import type { CallOptions, KubernetesClient, Resource } from './client.ts';
import { type KubeObject, objectsAt, textAt, valueAt } from './objects.ts';

export const argoOptions = z
  .strictObject({
    namespace: z.string().min(1).default('argocd').describe('The namespace of the Applications'),
    through: z
      .enum(['suspend', 'kustomize'])
      .optional()
      .describe(
        'How a change is made where Argo CD heals: suspend its automated sync until the change is taken back, or set replicas in the kustomize part of the Application',
      ),
  })
  .describe('What is done where Argo CD keeps the object as Git says');

export type ArgoOptions = z.output<typeof argoOptions>;

const trackingId = 'argocd.argoproj.io/tracking-id';
const instanceLabel = 'app.kubernetes.io/instance';

export interface ArgoOwner {
  readonly name: string;
  readonly application: KubeObject;
  /** Undoes changes of the object by itself. */
  readonly heals: boolean;
}

const applications = (namespace: string): Resource => ({ apiVersion: 'argoproj.io/v1alpha1', plural: 'applications', namespace });

/** Undefined where no Application keeps the object. One that is named by it and may not be read is an error: it can't be told what it would do. */
export async function findArgoOwner(
  client: KubernetesClient,
  object: KubeObject,
  options: ArgoOptions,
  call: CallOptions,
): Promise<ArgoOwner | undefined> {
  const tracked = object.metadata.annotations?.[trackingId]?.split(':')[0];
  const name = tracked ?? object.metadata.labels?.[instanceLabel];
  if (name === undefined || name === '') return undefined;
  let application: KubeObject | undefined;
  try {
    // `namespace_name` where Applications live in several namespaces.
    const [own, inNamespace] = name.includes('_') ? (name.split('_') as [string, string]) : [options.namespace, name];
    application = await client.find(applications(own), inNamespace, call);
  } catch (error) {
    // The label alone is Helm's too.
    if (tracked === undefined && error instanceof HoldfastError && error.details.status === 403) return undefined;
    throw error;
  }
  return application && { name, application, heals: healsItself(application) && !ignoresReplicas(application) };
}

function healsItself(application: KubeObject): boolean {
  const automated = valueAt(application.spec, 'syncPolicy', 'automated');
  return (
    typeof automated === 'object' &&
    automated !== null &&
    valueAt(automated, 'enabled') !== false &&
    valueAt(automated, 'selfHeal') === true
  );
}

function ignoresReplicas(application: KubeObject): boolean {
  return objectsAt(application.spec, 'ignoreDifferences').some(
    (each) => Array.isArray(each.jsonPointers) && each.jsonPointers.includes('/spec/replicas'),
  );
}

export interface ArgoChange {
  readonly client: KubernetesClient;
  readonly options: ArgoOptions;
  readonly call: CallOptions;
  /** For messages: `deployment shop/api`. */
  readonly subject: string;
}

/** Makes sure that the change which follows is not undone. With replicas, `kustomize` makes the change itself: then `made`. */
export async function clearTheWay(
  owner: ArgoOwner,
  change: ArgoChange,
  replicas?: { readonly workload: string; readonly count: number },
): Promise<'free' | 'made'> {
  const { through } = change.options;
  if (through === 'kustomize' && replicas !== undefined) {
    if (owner.application.metadata.annotations?.[trackingId] !== undefined) throw keptByAnother(owner, change);
    await setKustomizeReplicas(owner, change, replicas);
    // Without healing Argo CD brings it about only when it syncs next: the caller changes the object as well.
    return owner.heals ? 'made' : 'free';
  }
  if (!owner.heals) return 'free';
  if (through !== 'suspend')
    throw fail('SYSTEM_REFUSED', {
      message: `${change.subject} is kept as Git says by the Application ${owner.name}, which heals itself: a change would be undone within seconds`,
      hint: 'Set argocd.through to suspend (or, for replicas, to kustomize), or change what Git says.',
    });
  if (owner.application.metadata.annotations?.[trackingId] !== undefined) throw keptByAnother(owner, change);
  await suspendSync(owner, change);
  return 'free';
}

/** An Application that another one keeps would get its policy back as quickly. */
function keptByAnother({ name, application }: ArgoOwner, { subject }: ArgoChange): HoldfastError {
  const parent = application.metadata.annotations?.[trackingId]?.split(':')[0];
  return fail('SYSTEM_REFUSED', {
    message: `${subject} is kept by the Application ${name}, which is itself kept by ${parent}: what is changed there would be undone`,
    hint: `Let ${parent} ignore the differences in spec.syncPolicy and spec.source of ${name}, or change what Git says.`,
  });
}

async function suspendSync({ application }: ArgoOwner, { client, call }: ArgoChange): Promise<void> {
  const { name, namespace } = application.metadata;
  await client.change(
    applications(namespace as string),
    name,
    ({ spec }) => {
      const automated = valueAt(spec, 'syncPolicy', 'automated');
      if (typeof automated !== 'object' || automated === null) return undefined;
      return {
        metadata: { annotations: { [annotations.suspended]: JSON.stringify(automated) } },
        spec: { syncPolicy: { automated: null } },
      };
    },
    call,
  );
}

/** Nothing happens where nothing was suspended. */
export async function resumeSync({ application }: ArgoOwner, { client, call }: ArgoChange): Promise<void> {
  const { name, namespace } = application.metadata;
  await client.change(
    applications(namespace as string),
    name,
    ({ metadata }) => {
      const kept = metadata.annotations?.[annotations.suspended];
      if (kept === undefined) return undefined;
      const automated = JSON.parse(kept) as JsonObject;
      return { metadata: { annotations: { [annotations.suspended]: null } }, spec: { syncPolicy: { automated } } };
    },
    call,
  );
}

async function setKustomizeReplicas(
  { application }: ArgoOwner,
  { client, call }: ArgoChange,
  { workload, count }: { readonly workload: string; readonly count: number },
): Promise<void> {
  const { name, namespace } = application.metadata;
  if (textAt(application.spec, 'source', 'chart') !== undefined)
    throw fail('SYSTEM_REFUSED', {
      message: `the Application ${name} is a Helm chart, which has no kustomize part`,
      hint: 'Set argocd.through to suspend.',
    });
  await client.change(
    applications(namespace as string),
    name,
    ({ spec }) => {
      const all = objectsAt(spec, 'source', 'kustomize', 'replicas');
      if (all.some((each) => each.name === workload && each.count === count)) return undefined;
      const replicas = [...all.filter((each) => each.name !== workload), { name: workload, count }];
      return { spec: { source: { kustomize: { replicas } } } };
    },
    call,
  );
}
