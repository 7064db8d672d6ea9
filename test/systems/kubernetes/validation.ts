/** What an object must be beside having the right fields: names, selectors, ranges, what can't be changed. And what is filled in where nothing was said. */
import { type Cause, invalid } from './api-error.ts';
import { equal, type Fields, type KubeObject, selects } from './fields.ts';
import type { Kind } from './kinds.ts';

const dnsName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const imagePolicies = ['Always', 'IfNotPresent', 'Never'];

export function validate(kind: Kind, object: KubeObject, before: KubeObject | undefined): void {
  const causes: Cause[] = [];
  const add = (field: string, message: string, reason = 'FieldValueInvalid'): void => void causes.push({ reason, field, message });
  if (!dnsName.test(object.metadata.name))
    add(
      'metadata.name',
      `Invalid value: "${object.metadata.name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
    );
  for (const [key, value] of Object.entries(object.metadata.annotations ?? {}))
    if (typeof value !== 'string') add(`metadata.annotations.${key}`, 'Invalid value: must be a string');
  for (const [key, value] of Object.entries(object.metadata.labels ?? {}))
    if (!/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(String(value)))
      add('metadata.labels', `Invalid value: "${value}": a valid label of ${key} must be at most 63 characters`);
  rules[kind.kind]?.(object, before, add);
  if (causes.length > 0) throw invalid(kind.group, kind.kind, object.metadata.name, causes);
}

type Add = (field: string, message: string, reason?: string) => void;
type Rule = (object: KubeObject, before: KubeObject | undefined, add: Add) => void;

function workloadRule(object: KubeObject, before: KubeObject | undefined, add: Add): void {
  const { spec } = object;
  if (spec.replicas < 0) add('spec.replicas', `Invalid value: ${spec.replicas}: must be greater than or equal to 0`);
  if (!selects(spec.selector, spec.template?.metadata?.labels))
    add(
      'spec.template.metadata.labels',
      `Invalid value: ${JSON.stringify(spec.template?.metadata?.labels ?? null)}: \`selector\` does not match template \`labels\``,
    );
  if (before && !equal(before.spec.selector, spec.selector))
    add('spec.selector', `Invalid value: ${JSON.stringify(spec.selector)}: field is immutable`);
  containersRule(spec.template?.spec, 'spec.template.spec', add);
}

function containersRule(spec: Fields | undefined, path: string, add: Add): void {
  if (!spec || (spec.containers ?? []).length === 0) add(`${path}.containers`, 'Required value', 'FieldValueRequired');
  for (const [index, container] of ((spec?.containers ?? []) as Fields[]).entries()) {
    if (!container.image) add(`${path}.containers[${index}].image`, 'Required value', 'FieldValueRequired');
    if (container.imagePullPolicy && !imagePolicies.includes(container.imagePullPolicy))
      add(
        `${path}.containers[${index}].imagePullPolicy`,
        `Unsupported value: "${container.imagePullPolicy}": supported values: "Always", "IfNotPresent", "Never"`,
        'FieldValueNotSupported',
      );
  }
}

function keepsImmutable(object: KubeObject, before: KubeObject | undefined, add: Add): void {
  for (const key of Object.keys({ ...object.data, ...object.binaryData }))
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key))
      add('data', `Invalid value: "${key}": a valid config key must consist of alphanumeric characters, '-', '_' or '.'`);
  if (before?.immutable === true && (!equal(before.data, object.data) || object.immutable !== true))
    add('data', 'Forbidden: field is immutable when `immutable` is set', 'FieldValueForbidden');
}

const rules: Readonly<Record<string, Rule>> = {
  Deployment: workloadRule,
  StatefulSet(object, before, add) {
    workloadRule(object, before, add);
    if (!before) return;
    const rest = ({
      replicas: _r,
      template: _t,
      updateStrategy: _u,
      ordinals: _o,
      minReadySeconds: _m,
      persistentVolumeClaimRetentionPolicy: _p,
      ...kept
    }: Fields) => kept;
    if (!equal(rest(before.spec), rest(object.spec)))
      add(
        'spec',
        "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        'FieldValueForbidden',
      );
  },
  ReplicaSet: (object, _before, add) => {
    if (object.spec.replicas < 0) add('spec.replicas', `Invalid value: ${object.spec.replicas}: must be greater than or equal to 0`);
  },
  Pod: (object, _before, add) => containersRule(object.spec, 'spec', add),
  Service(object, _before, add) {
    if (object.spec?.type !== 'ExternalName' && object.spec?.clusterIP !== 'None' && (object.spec?.ports ?? []).length === 0)
      add('spec.ports', 'Required value', 'FieldValueRequired');
  },
  ConfigMap: keepsImmutable,
  Secret: keepsImmutable,
  PodDisruptionBudget(object, _before, add) {
    if (object.spec?.minAvailable !== undefined && object.spec?.maxUnavailable !== undefined)
      add('spec', 'Invalid value: minAvailable and maxUnavailable cannot be both set');
  },
  NetworkPolicy(object, _before, add) {
    if (object.spec?.podSelector === undefined) add('spec.podSelector', 'Required value', 'FieldValueRequired');
    for (const type of object.spec?.policyTypes ?? [])
      if (type !== 'Ingress' && type !== 'Egress')
        add('spec.policyTypes', `Unsupported value: "${type}": supported values: "Ingress", "Egress"`, 'FieldValueNotSupported');
  },
  BackupStorageLocation(object, _before, add) {
    if (object.spec?.accessMode && !['ReadOnly', 'ReadWrite'].includes(object.spec.accessMode))
      add(
        'spec.accessMode',
        `Unsupported value: "${object.spec.accessMode}": supported values: "ReadOnly", "ReadWrite"`,
        'FieldValueNotSupported',
      );
  },
  Restore(object, _before, add) {
    if (object.spec?.existingResourcePolicy && !['none', 'update'].includes(object.spec.existingResourcePolicy))
      add('spec.existingResourcePolicy', `Unsupported value: "${object.spec.existingResourcePolicy}"`, 'FieldValueNotSupported');
  },
};

/** What the server fills in. */
export function setDefaults(kind: Kind, object: Fields): void {
  const spec = object.spec as Fields | undefined;
  if (kind.kind === 'Deployment' && spec) {
    spec.replicas ??= 1;
    spec.progressDeadlineSeconds ??= 600;
    spec.strategy ??= { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } };
  }
  if (kind.kind === 'StatefulSet' && spec) {
    spec.replicas ??= 1;
    spec.podManagementPolicy ??= 'OrderedReady';
    spec.updateStrategy ??= { type: 'RollingUpdate', rollingUpdate: { partition: 0 } };
  }
  if (kind.kind === 'ReplicaSet' && spec) spec.replicas ??= 1;
  if (kind.kind === 'Service' && spec) spec.type ??= 'ClusterIP';
  if (kind.kind === 'PersistentVolumeClaim') object.status ??= { phase: 'Pending' };
  if (kind.kind === 'Namespace') object.status ??= { phase: 'Active' };
  if (kind.kind === 'Secret') {
    object.type ??= 'Opaque';
    const plain = object.stringData as Fields | undefined;
    if (plain)
      object.data = {
        ...object.data,
        ...Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])),
      };
    delete object.stringData;
  }
}
