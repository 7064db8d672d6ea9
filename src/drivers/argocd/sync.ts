/**
 * The verb `run` of Argo CD: each Application is compared anew, what would be deleted is counted, and then it is synced by its own `operation`, one after the other, until it is synced and healthy.
 *
 * The operation carries a mark of this step: the state of an older operation, which stands until the new one is taken up, is never taken for it. An operation of somebody else is waited for, not replaced. Dying in
 * between leaves operations that go on by themselves; the marks tell which of them were ours.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { CallOptions, KubernetesClient, Resource } from '../kubernetes-api/client.ts';
import { type KubeObject, valueAt } from '../kubernetes-api/objects.ts';
import { type ApplicationState, markName, operationOf, stateOf, troubleOf } from './application.ts';
import type { ArgoCdOptions, ArgoCdSiteOptions } from './options.ts';

export type ArgoCdContext = SiteContext<ArgoCdOptions, ArgoCdSiteOptions>;

const refresh = 'argocd.argoproj.io/refresh';
const roundMs = 100;

export const applicationsOf = ({ namespace }: ArgoCdOptions): Resource => ({
  apiVersion: 'argoproj.io/v1alpha1',
  plural: 'applications',
  namespace,
});
const callOf = ({ options }: ArgoCdContext, { signal }: StepContext): CallOptions => ({ timeoutMs: options['call-timeout'], signal });
const markOf = ({ executionId, stepId }: StepContext): string => `${executionId} ${stepId}`;

export function syncVerb(context: ArgoCdContext, client: KubernetesClient): Verb {
  return {
    inspect: (_want, step) => inspectSync(context, client, step),
    apply: (_want, step) => applySync(context, client, step),
  };
}

async function inspectSync(context: ArgoCdContext, client: KubernetesClient, step: StepContext): Promise<Inspection> {
  const synced: JsonObject[] = [];
  for (const name of context.options.applications) {
    const application = await client.get(applicationsOf(context.options), name, callOf(context, step));
    const operation = operationOf(application, markOf(step));
    const asked = JSON.stringify(valueAt(application, 'operation', 'info') ?? []).includes(JSON.stringify(markOf(step)));
    if (operation === undefined && asked) return { state: 'pending', why: `${name}: Argo CD has not taken up the sync yet` };
    if (operation === undefined) return { state: 'absent', why: `${name} was not synced by this step yet` };
    if (operation.phase === 'Failed' || operation.phase === 'Error')
      throw fail('SYSTEM_REFUSED', {
        message: `the sync of ${name} ended ${operation.phase}: ${operation.message}`,
        hint: 'argocd app get tells what was refused.',
      });
    if (operation.phase !== 'Succeeded')
      return { state: 'pending', why: `the sync of ${name} is ${operation.phase}: ${operation.message}` };
    const state = stateOf(application);
    const trouble = troubleOf(withoutPrunes(state, context.options));
    if (state.health === 'Degraded')
      throw fail('SYSTEM_REFUSED', { message: `synced, and ${trouble ?? `${name} is Degraded`}`, hint: 'Look at its pods.' });
    if (trouble !== undefined) return { state: 'pending', why: `synced, and ${trouble}` };
    synced.push({ name, revision: state.revision ?? '', leftToPrune: state.toPrune.length });
  }
  return { state: 'done', output: { detail: `${synced.length} applications are synced and healthy`, applications: synced } };
}

/** Where nothing is to be pruned, what is no longer in Git stays, and that alone does not fail the sync. */
function withoutPrunes(state: ApplicationState, { sync }: ArgoCdOptions): ApplicationState {
  const onlyPrunes = sync?.prune !== true && state.sync === 'OutOfSync' && state.outOfSync.length === 0 && state.toPrune.length > 0;
  return onlyPrunes ? { ...state, sync: 'Synced', toPrune: [] } : state;
}

async function applySync(context: ArgoCdContext, client: KubernetesClient, step: StepContext): Promise<void> {
  const states: ApplicationState[] = [];
  for (const name of context.options.applications) states.push(await compareAnew(context, client, step, name));
  refusePrunes(context.options, states);
  for (const name of context.options.applications) await startSync(context, client, step, name);
}

/** What stands in the status may be of before: Argo CD is asked to compare, and takes the request away in the same write in which it keeps the answer. */
async function compareAnew(context: ArgoCdContext, client: KubernetesClient, step: StepContext, name: string): Promise<ApplicationState> {
  const { clock } = context.host;
  const resource = applicationsOf(context.options);
  await client.merge(resource, name, { metadata: { annotations: { [refresh]: 'hard' } } }, callOf(context, step));
  for (;;) {
    const application = await client.get(resource, name, callOf(context, step));
    const state = stateOf(application);
    if (application.metadata.annotations?.[refresh] === undefined) {
      if (state.errors.length > 0)
        throw fail('SYSTEM_REFUSED', {
          message: `${name} can not be compared with Git: ${state.errors.join('; ')}`,
          hint: 'Is the repository in a region that is lost?',
        });
      return state;
    }
    step.progress(`${name} is being compared with Git`);
    await clock.sleep(roundMs, step.signal);
  }
}

/** In a disaster Git may render less than it should, and what it does not render would be deleted. */
function refusePrunes({ sync }: ArgoCdOptions, states: readonly ApplicationState[]): void {
  if (sync?.prune !== true) return;
  const prunes = states.flatMap(({ name, toPrune }) => toPrune.map((each) => `${each} (${name})`));
  if (prunes.length <= sync['most-prunes']) return;
  throw fail('SYSTEM_REFUSED', {
    message: `the sync would delete ${prunes.length} objects, and ${sync['most-prunes']} are allowed: ${prunes.slice(0, 10).join(', ')}${prunes.length > 10 ? ', ...' : ''}`,
    hint: 'If they shall all go, raise most-prunes; otherwise see why Git no longer renders them.',
    details: { prunes: prunes.length },
  });
}

async function startSync(context: ArgoCdContext, client: KubernetesClient, step: StepContext, name: string): Promise<void> {
  const { clock } = context.host;
  const { sync } = context.options;
  const mark = markOf(step);
  const operation = {
    initiatedBy: { username: 'holdfast' },
    info: [{ name: markName, value: mark }],
    sync: { prune: sync?.prune === true, ...(sync?.revision ? { revision: sync.revision } : {}), syncStrategy: { hook: {} } },
  };
  for (;;) {
    let busy = false;
    const decide = (application: KubeObject): JsonObject | undefined => {
      if (operationOf(application, mark) !== undefined) return undefined;
      busy = stateOf(application).busy;
      return busy ? undefined : { operation };
    };
    try {
      await client.change(applicationsOf(context.options), name, decide, callOf(context, step));
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'STATE_CONFLICT') throw error;
      busy = true;
    }
    if (!busy) return;
    step.progress(`${name} has another operation under way`);
    await clock.sleep(roundMs, step.signal);
  }
}
