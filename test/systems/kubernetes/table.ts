/** Objects as the table that kubectl prints: the columns that people (and their scripts) read. */
import type { Fields, KubeObject } from './fields.ts';

interface Column {
  readonly name: string;
  readonly of: (object: KubeObject) => string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
}

const age = (object: KubeObject): string =>
  `${Math.max(0, Math.round((Date.now() - Date.parse(object.metadata.creationTimestamp)) / 1_000))}s`;
const ready = (object: KubeObject): Fields | undefined =>
  ((object.status?.conditions ?? []) as Fields[]).find(({ type }) => type === 'Ready');

const columns: Readonly<Record<string, readonly Column[]>> = {
  Pod: [
    { name: 'Ready', of: (pod) => `${ready(pod)?.status === 'True' ? 1 : 0}/1` },
    {
      name: 'Status',
      of: (pod) =>
        pod.metadata.deletionTimestamp
          ? 'Terminating'
          : (pod.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? pod.status?.phase ?? 'Pending'),
    },
    { name: 'Restarts', of: (pod) => String(pod.status?.containerStatuses?.[0]?.restartCount ?? 0) },
    { name: 'IP', of: (pod) => pod.status?.podIP ?? '<none>', wide: true },
    { name: 'Node', of: (pod) => pod.spec.nodeName ?? '<none>', wide: true },
  ],
  Node: [
    {
      name: 'Status',
      of: (node) => `${ready(node)?.status === 'True' ? 'Ready' : 'NotReady'}${node.spec?.unschedulable ? ',SchedulingDisabled' : ''}`,
    },
    { name: 'Version', of: (node) => node.status?.nodeInfo?.kubeletVersion ?? '' },
  ],
  Deployment: [
    { name: 'Ready', of: ({ status, spec }) => `${status?.readyReplicas ?? 0}/${spec.replicas}` },
    { name: 'Up-to-date', of: ({ status }) => String(status?.updatedReplicas ?? 0) },
    { name: 'Available', of: ({ status }) => String(status?.availableReplicas ?? 0) },
  ],
  StatefulSet: [{ name: 'Ready', of: ({ status, spec }) => `${status?.readyReplicas ?? 0}/${spec.replicas}` }],
};

export function tableOf(objects: readonly KubeObject[], resourceVersion: string): Fields {
  const own = columns[objects[0]?.kind ?? ''] ?? [];
  const all: readonly Column[] = [
    { name: 'Name', of: ({ metadata }) => metadata.name },
    ...own.filter(({ wide }) => !wide),
    { name: 'Age', of: age },
    ...own.filter(({ wide }) => wide),
  ];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    columnDefinitions: all.map(({ name, wide }) => ({
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: wide ? 1 : 0,
    })),
    rows: objects.map((object) => ({
      cells: all.map(({ of }) => of(object)),
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  };
}
