/** What an Application says of itself, read from its status. Pure. */
import { type KubeObject, objectsAt, textAt, valueAt } from '../kubernetes-api/objects.ts';

export interface ApplicationState {
  readonly name: string;
  readonly sync: string;
  readonly health: string;
  readonly revision: string | undefined;
  /** What Argo CD can't do, in its own words: it can't read Git, a manifest does not fit. */
  readonly errors: readonly string[];
  /** `Deployment shop/api`. */
  readonly outOfSync: readonly string[];
  /** There, and no longer in Git. */
  readonly toPrune: readonly string[];
  /** An operation that was asked for and not begun, or that is under way. */
  readonly busy: boolean;
}

export function stateOf(application: KubeObject): ApplicationState {
  const { status } = application;
  const resources = objectsAt(status, 'resources');
  const named = (each: (typeof resources)[number]): string =>
    `${String(each.kind)} ${each.namespace ? `${String(each.namespace)}/` : ''}${String(each.name)}`;
  return {
    name: application.metadata.name,
    sync: textAt(status, 'sync', 'status') ?? 'Unknown',
    health: textAt(status, 'health', 'status') ?? 'Unknown',
    revision: textAt(status, 'sync', 'revision'),
    errors: objectsAt(status, 'conditions')
      .filter(({ type }) => /Error$/.test(String(type)))
      .map(({ message }) => String(message)),
    outOfSync: resources.filter((each) => each.status === 'OutOfSync' && each.requiresPruning !== true).map(named),
    toPrune: resources.filter((each) => each.requiresPruning === true).map(named),
    busy: valueAt(application, 'operation') !== undefined || textAt(status, 'operationState', 'phase') === 'Running',
  };
}

/** What keeps it from being synced and healthy, in words; undefined where nothing does. */
export function troubleOf(state: ApplicationState): string | undefined {
  const { name, sync, health, errors, outOfSync, toPrune } = state;
  if (sync === 'Synced' && health === 'Healthy' && errors.length === 0) return undefined;
  const more = [
    ...errors,
    ...outOfSync.slice(0, 3).map((each) => `${each} differs`),
    ...toPrune.slice(0, 3).map((each) => `${each} is no longer in Git`),
  ];
  return `${name} is ${sync} and ${health}${more.length > 0 ? `: ${more.join(', ')}` : ''}`;
}

/** The state of the last operation, only where it is the one with this mark: the state of an older one stands until the next is taken up. */
export function operationOf(application: KubeObject, mark: string): { readonly phase: string; readonly message: string } | undefined {
  const { status } = application;
  const info = objectsAt(status, 'operationState', 'operation', 'info');
  if (!info.some(({ name, value }) => name === markName && value === mark)) return undefined;
  return { phase: textAt(status, 'operationState', 'phase') ?? 'Running', message: textAt(status, 'operationState', 'message') ?? '' };
}

export const markName = 'holdfast';
