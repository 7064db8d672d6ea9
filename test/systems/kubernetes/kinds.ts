/** The kinds that are served: where, how they are called, which fields they have and which sub-resources. Those of a definition (CRD) are served only once it is there. */
import { any, base64, flag, integer, intOrString, labels, list, map, object, type Schema, text, texts } from './schema.ts';

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Changes of the object leave the status alone, and the other way round. */
  readonly hasStatus: boolean;
  readonly hasScale: boolean;
  /** Comes with a definition: no strategic merge, and a wrong type is 422 instead of 400. */
  readonly isCustom: boolean;
  readonly fields: Schema;
}

const metadata = object({
  name: text,
  generateName: text,
  namespace: text,
  uid: text,
  resourceVersion: text,
  generation: integer,
  creationTimestamp: text,
  deletionTimestamp: text,
  deletionGracePeriodSeconds: integer,
  labels,
  annotations: labels,
  selfLink: text,
  ownerReferences: list(
    object({ 'apiVersion!': text, 'kind!': text, 'name!': text, 'uid!': text, controller: flag, blockOwnerDeletion: flag }),
    'uid',
  ),
  finalizers: texts,
  managedFields: any,
});

const selector = object({
  matchLabels: labels,
  matchExpressions: list(object({ 'key!': text, 'operator!': text, values: texts })),
});

const source = object({ name: text, key: text, optional: flag });
const variable = object({
  'name!': text,
  value: text,
  valueFrom: object({ configMapKeyRef: source, secretKeyRef: source, fieldRef: any, resourceFieldRef: any }),
});
const container = object({
  'name!': text,
  image: text,
  imagePullPolicy: text,
  command: texts,
  args: texts,
  workingDir: text,
  env: list(variable, 'name'),
  envFrom: list(
    object({ prefix: text, configMapRef: object({ name: text, optional: flag }), secretRef: object({ name: text, optional: flag }) }),
  ),
  ports: list(object({ name: text, containerPort: integer, hostPort: integer, hostIP: text, protocol: text }), 'containerPort'),
  resources: object({ limits: map(intOrString), requests: map(intOrString), claims: any }),
  volumeMounts: list(object({ 'name!': text, 'mountPath!': text, subPath: text, readOnly: flag }), 'mountPath'),
  livenessProbe: any,
  readinessProbe: any,
  startupProbe: any,
  lifecycle: any,
  securityContext: any,
  terminationMessagePath: text,
  terminationMessagePolicy: text,
});
const podSpec = object({
  'containers!': list(container, 'name'),
  initContainers: list(container, 'name'),
  volumes: list(any, 'name'),
  restartPolicy: text,
  terminationGracePeriodSeconds: integer,
  dnsPolicy: text,
  nodeName: text,
  nodeSelector: labels,
  serviceAccountName: text,
  serviceAccount: text,
  automountServiceAccountToken: flag,
  securityContext: any,
  schedulerName: text,
  affinity: any,
  tolerations: any,
  topologySpreadConstraints: any,
  priorityClassName: text,
  hostNetwork: flag,
  imagePullSecrets: any,
  subdomain: text,
  hostname: text,
});
const template = object({ metadata, spec: podSpec });
const claimSpec = object({
  accessModes: texts,
  resources: object({ requests: map(intOrString), limits: map(intOrString) }),
  storageClassName: text,
  volumeName: text,
  volumeMode: text,
  selector,
});
const claim = object({ apiVersion: text, kind: text, metadata, spec: claimSpec, status: any });

const top = (fields: Readonly<Record<string, Schema>>) => object({ apiVersion: text, kind: text, metadata, ...fields });
const withSpec = (spec: Schema) => top({ spec, status: any });

interface More {
  readonly short?: readonly string[];
  readonly cluster?: boolean;
  readonly status?: boolean;
  readonly scale?: boolean;
  readonly custom?: boolean;
}

function kindOf(group: string, version: string, resource: string, kind: string, fields: Schema, more: More = {}): Kind {
  return {
    group,
    version,
    resource,
    kind,
    fields,
    shortNames: more.short ?? [],
    namespaced: more.cluster !== true,
    hasStatus: more.status === true,
    hasScale: more.scale === true,
    isCustom: more.custom === true,
  };
}

const deploymentSpec = object({
  replicas: integer,
  'selector!': selector,
  'template!': template,
  strategy: object({ type: text, rollingUpdate: object({ maxSurge: intOrString, maxUnavailable: intOrString }) }),
  minReadySeconds: integer,
  revisionHistoryLimit: integer,
  paused: flag,
  progressDeadlineSeconds: integer,
});
const statefulSetSpec = object({
  replicas: integer,
  'selector!': selector,
  'template!': template,
  volumeClaimTemplates: list(claim),
  serviceName: text,
  podManagementPolicy: text,
  updateStrategy: any,
  revisionHistoryLimit: integer,
  minReadySeconds: integer,
  persistentVolumeClaimRetentionPolicy: any,
});
const servicePort = object({ name: text, 'port!': integer, targetPort: intOrString, nodePort: integer, protocol: text, appProtocol: text });

const builtIn: readonly Kind[] = [
  kindOf('', 'v1', 'namespaces', 'Namespace', withSpec(object({ finalizers: texts })), { short: ['ns'], cluster: true, status: true }),
  kindOf(
    '',
    'v1',
    'nodes',
    'Node',
    withSpec(
      object({
        podCIDR: text,
        podCIDRs: texts,
        providerID: text,
        unschedulable: flag,
        taints: list(object({ 'key!': text, value: text, 'effect!': text, timeAdded: text })),
      }),
    ),
    { short: ['no'], cluster: true, status: true },
  ),
  kindOf('', 'v1', 'pods', 'Pod', withSpec(podSpec), { short: ['po'], status: true }),
  kindOf(
    '',
    'v1',
    'services',
    'Service',
    withSpec(
      object({
        selector: labels,
        ports: list(servicePort, 'port'),
        type: text,
        clusterIP: text,
        clusterIPs: texts,
        externalName: text,
        externalIPs: texts,
        externalTrafficPolicy: text,
        internalTrafficPolicy: text,
        trafficDistribution: text,
        sessionAffinity: text,
        ipFamilies: texts,
        ipFamilyPolicy: text,
        publishNotReadyAddresses: flag,
      }),
    ),
    { short: ['svc'], status: true },
  ),
  kindOf('', 'v1', 'configmaps', 'ConfigMap', top({ data: labels, binaryData: map(base64), immutable: flag }), { short: ['cm'] }),
  kindOf('', 'v1', 'secrets', 'Secret', top({ data: map(base64), stringData: labels, type: text, immutable: flag })),
  kindOf('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim', withSpec(claimSpec), { short: ['pvc'], status: true }),
  kindOf('', 'v1', 'serviceaccounts', 'ServiceAccount', top({ secrets: any, imagePullSecrets: any, automountServiceAccountToken: flag }), {
    short: ['sa'],
  }),
  kindOf('', 'v1', 'resourcequotas', 'ResourceQuota', withSpec(object({ hard: map(intOrString), scopes: texts })), {
    short: ['quota'],
    status: true,
  }),
  kindOf('apps', 'v1', 'deployments', 'Deployment', withSpec(deploymentSpec), { short: ['deploy'], status: true, scale: true }),
  kindOf('apps', 'v1', 'statefulsets', 'StatefulSet', withSpec(statefulSetSpec), { short: ['sts'], status: true, scale: true }),
  kindOf(
    'apps',
    'v1',
    'replicasets',
    'ReplicaSet',
    withSpec(object({ replicas: integer, 'selector!': selector, template, minReadySeconds: integer })),
    {
      short: ['rs'],
      status: true,
      scale: true,
    },
  ),
  kindOf('apps', 'v1', 'daemonsets', 'DaemonSet', withSpec(object({ 'selector!': selector, 'template!': template, updateStrategy: any })), {
    short: ['ds'],
    status: true,
  }),
  kindOf(
    'policy',
    'v1',
    'poddisruptionbudgets',
    'PodDisruptionBudget',
    withSpec(object({ minAvailable: intOrString, maxUnavailable: intOrString, selector, unhealthyPodEvictionPolicy: text })),
    {
      short: ['pdb'],
      status: true,
    },
  ),
  kindOf(
    'networking.k8s.io',
    'v1',
    'networkpolicies',
    'NetworkPolicy',
    top({ spec: object({ podSelector: selector, policyTypes: texts, ingress: list(any), egress: list(any) }) }),
    { short: ['netpol'] },
  ),
  kindOf(
    'autoscaling',
    'v2',
    'horizontalpodautoscalers',
    'HorizontalPodAutoscaler',
    withSpec(
      object({
        'scaleTargetRef!': object({ apiVersion: text, 'kind!': text, 'name!': text }),
        minReplicas: integer,
        'maxReplicas!': integer,
        metrics: any,
        behavior: any,
      }),
    ),
    { short: ['hpa'], status: true },
  ),
  kindOf(
    'apiextensions.k8s.io',
    'v1',
    'customresourcedefinitions',
    'CustomResourceDefinition',
    withSpec(object({ 'group!': text, 'names!': any, 'scope!': text, 'versions!': any, conversion: any, preserveUnknownFields: flag })),
    { short: ['crd'], cluster: true, status: true },
  ),
];

const veleroTemplate = {
  includedNamespaces: texts,
  excludedNamespaces: texts,
  includedResources: texts,
  excludedResources: texts,
  labelSelector: selector,
  snapshotVolumes: flag,
  snapshotMoveData: flag,
  defaultVolumesToFsBackup: flag,
  storageLocation: text,
  volumeSnapshotLocations: texts,
  ttl: text,
  hooks: any,
  includeClusterResources: flag,
  csiSnapshotTimeout: text,
  itemOperationTimeout: text,
  metadata: object({ labels }),
};
const velero = (resource: string, kind: string, spec: Schema, short: readonly string[] = []) =>
  kindOf('velero.io', 'v1', resource, kind, withSpec(spec), { custom: true, short });

const argoSource = object({
  'repoURL!': text,
  path: text,
  targetRevision: text,
  chart: text,
  helm: object({
    parameters: list(object({ name: text, value: text, forceString: flag })),
    valueFiles: texts,
    values: text,
    releaseName: text,
  }),
  kustomize: object({
    replicas: list(object({ 'name!': text, 'count!': intOrString })),
    images: texts,
    commonLabels: labels,
    namePrefix: text,
    nameSuffix: text,
  }),
  directory: any,
});
const argoOperation = object({
  initiatedBy: object({ username: text, automated: flag }),
  info: list(object({ 'name!': text, 'value!': text })),
  retry: any,
  sync: object({
    revision: text,
    prune: flag,
    dryRun: flag,
    syncStrategy: any,
    syncOptions: texts,
    resources: list(object({ group: text, 'kind!': text, 'name!': text, namespace: text })),
  }),
});
const application = top({
  'spec!': object({
    'project!': text,
    source: argoSource,
    sources: list(argoSource),
    'destination!': object({ server: text, namespace: text, name: text }),
    syncPolicy: object({
      automated: object({ prune: flag, selfHeal: flag, allowEmpty: flag, enabled: flag }),
      syncOptions: texts,
      retry: any,
      managedNamespaceMetadata: any,
    }),
    ignoreDifferences: any,
    info: any,
    revisionHistoryLimit: integer,
  }),
  operation: argoOperation,
  status: any,
});

/** By the name of their definition. */
const custom: readonly Kind[] = [
  velero(
    'backupstoragelocations',
    'BackupStorageLocation',
    object({
      'provider!': text,
      'objectStorage!': object({ 'bucket!': text, prefix: text, caCert: text }),
      config: labels,
      credential: object({ name: text, key: text }),
      default: flag,
      accessMode: text,
      backupSyncPeriod: text,
      validationFrequency: text,
    }),
    ['bsl'],
  ),
  velero('backups', 'Backup', object(veleroTemplate)),
  velero(
    'schedules',
    'Schedule',
    object({
      'schedule!': text,
      'template!': object(veleroTemplate),
      paused: flag,
      skipImmediately: flag,
      useOwnerReferencesInBackup: flag,
    }),
  ),
  velero(
    'restores',
    'Restore',
    object({
      backupName: text,
      scheduleName: text,
      includedNamespaces: texts,
      excludedNamespaces: texts,
      includedResources: texts,
      excludedResources: texts,
      namespaceMapping: labels,
      labelSelector: selector,
      restorePVs: flag,
      preserveNodePorts: flag,
      existingResourcePolicy: text,
      includeClusterResources: flag,
      hooks: any,
      itemOperationTimeout: text,
    }),
  ),
  velero('deletebackuprequests', 'DeleteBackupRequest', object({ 'backupName!': text })),
  kindOf('argoproj.io', 'v1alpha1', 'applications', 'Application', application, { custom: true, short: ['app'] }),
];

export const definitionOf = (kind: Kind): string => `${kind.resource}.${kind.group}`;
export const customKinds: ReadonlyMap<string, Kind> = new Map(custom.map((kind) => [definitionOf(kind), kind]));
export const builtInKinds = builtIn;

export function kindNamed(resource: string): Kind {
  const found = [...builtIn, ...custom].find((each) => each.resource === resource);
  if (found === undefined) throw new Error(`no kind ${resource}`);
  return found;
}

export const apiVersionOf = ({ group, version }: Pick<Kind, 'group' | 'version'>): string =>
  group === '' ? version : `${group}/${version}`;
