/** What Holdfast writes on the objects that it changes, so that any later controller finds it there, and the rule that an older execution changes nothing. */
import { fail } from '../../base/errors.ts';
import type { KubeObject } from './objects.ts';

export const annotations = {
  /** The epoch of the execution that changed it last. */
  epoch: 'holdfast.dev/epoch',
  /** How many replicas made up the full size, before Holdfast set fewer. */
  fullReplicas: 'holdfast.dev/full-replicas',
  /** Fenced under this epoch: nothing older may start it. */
  fenced: 'holdfast.dev/fenced-under-epoch',
  /** On a template: which change its pods were started for. */
  restart: 'holdfast.dev/restarted-for',
  /** On a ConfigMap or Secret: which change gave it its value. */
  changed: 'holdfast.dev/changed-by',
  /** The value before that. */
  previous: 'holdfast.dev/previous-value',
  /** On an Application: the policy of automated sync that was taken away for the time being, as JSON. */
  suspended: 'holdfast.dev/suspended-sync',
} as const;

export function epochOf(object: KubeObject): number | undefined {
  const text = object.metadata.annotations?.[annotations.epoch];
  const epoch = text === undefined ? Number.NaN : Number(text);
  return Number.isSafeInteger(epoch) ? epoch : undefined;
}

export function refuseOlderEpoch(object: KubeObject, what: string, epoch: number): void {
  const kept = epochOf(object);
  if (kept === undefined || kept <= epoch) return;
  throw fail('EPOCH_SUPERSEDED', {
    message: `${what} was changed under epoch ${kept}; this execution works under ${epoch}`,
    details: { epoch: kept },
  });
}
