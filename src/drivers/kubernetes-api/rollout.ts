/**
 * Whether a rollout has come to its end, as `kubectl rollout status` judges it. Pure.
 *
 * A status that is older than what was asked for (`observedGeneration`) says nothing yet. With no replicas every rollout is complete at once: whoever wants pods asks for their number as well.
 */
import { conditionOf, countAt, type KubeObject, textAt, valueAt } from './objects.ts';

export type WorkloadKind = 'Deployment' | 'StatefulSet';

export interface RolloutJudgement {
  readonly state: 'complete' | 'progressing' | 'failed';
  readonly why: string;
}

export interface WorkloadCountsRead {
  /** Set to run. */
  readonly wanted: number;
  readonly ready: number;
  readonly updated: number;
  readonly existing: number;
}

export function countsOf(object: KubeObject): WorkloadCountsRead {
  const replicas = valueAt(object.spec, 'replicas');
  return {
    wanted: typeof replicas === 'number' ? replicas : 1,
    ready: countAt(object.status, 'readyReplicas'),
    updated: countAt(object.status, 'updatedReplicas'),
    existing: countAt(object.status, 'replicas'),
  };
}

export function isObserved(object: KubeObject): boolean {
  return countAt(object.status, 'observedGeneration') >= (object.metadata.generation ?? 0);
}

export function judgeRollout(kind: WorkloadKind, object: KubeObject): RolloutJudgement {
  const progressing = (why: string): RolloutJudgement => ({ state: 'progressing', why });
  if (!isObserved(object)) return progressing('the controller has not seen the change yet');
  return kind === 'Deployment' ? judgeDeployment(object, progressing) : judgeStatefulSet(object, progressing);
}

function judgeDeployment(object: KubeObject, progressing: (why: string) => RolloutJudgement): RolloutJudgement {
  const { wanted, updated, existing } = countsOf(object);
  const condition = conditionOf(object, 'Progressing');
  if (condition?.reason === 'ProgressDeadlineExceeded')
    return { state: 'failed', why: condition.message || 'the rollout makes no progress any more' };
  if (valueAt(object.spec, 'paused') === true) return { state: 'failed', why: 'the deployment is paused: nothing is rolled out' };
  if (updated < wanted) return progressing(`${updated} of ${wanted} replicas are new`);
  if (existing > updated) return progressing(`${existing - updated} old replicas are still ending`);
  const available = countAt(object.status, 'availableReplicas');
  if (available < updated) return progressing(`${available} of ${updated} new replicas are available`);
  return { state: 'complete', why: `${updated} replicas are new and available` };
}

function judgeStatefulSet(object: KubeObject, progressing: (why: string) => RolloutJudgement): RolloutJudgement {
  const { wanted, ready, existing } = countsOf(object);
  if (textAt(object.spec, 'updateStrategy', 'type') === 'OnDelete')
    return { state: 'failed', why: 'its update strategy is OnDelete: pods are only replaced by hand' };
  if (existing !== wanted || ready < wanted) return progressing(`${ready} of ${wanted} replicas are ready`);
  const [now, next] = [textAt(object.status, 'currentRevision'), textAt(object.status, 'updateRevision')];
  if (now !== next) return progressing(`${countAt(object.status, 'updatedReplicas')} of ${wanted} replicas are new`);
  return { state: 'complete', why: `${ready} replicas are new and ready` };
}
