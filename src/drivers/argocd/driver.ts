/** Argo CD: Applications synced and healthy, and synced by their own operations. What was begun goes on in Argo CD when a controller dies. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { KubernetesClient } from '../kubernetes-api/client.ts';
import { type KubeObject, objectsAt, textAt } from '../kubernetes-api/objects.ts';
import { evidenceOfRefusal } from '../kubernetes-api/refusal.ts';
import { stateOf, troubleOf } from './application.ts';
import { type ArgoCdOptions, type ArgoCdSiteOptions, componentOptions, findFaults, siteOptions } from './options.ts';
import { type ArgoCdContext, applicationsOf, syncVerb } from './sync.ts';

async function observe({ options, probeTimeoutMs, site }: ArgoCdContext, client: KubernetesClient, signal: AbortSignal): Promise<Reading> {
  try {
    const call = { timeoutMs: probeTimeoutMs, signal };
    const [all, identity] = await Promise.all([client.list(applicationsOf(options), {}, call), client.readClusterId(call)]);
    if (site['cluster-id'] !== undefined && identity !== site['cluster-id'])
      return readingOf({ kind: 'error', detail: `${client.name} is another cluster than cluster-id says` });
    const found = new Map(all.map((application) => [application.metadata.name, application]));
    const faults = options.applications.flatMap((name) => faultsOf(name, found.get(name), options));
    const detail = faults[0] ?? `${options.applications.length} applications of ${client.name} are synced and healthy`;
    return {
      ...readingOf({ kind: faults.length === 0 ? 'answered' : 'wrong-answer', detail }),
      ...(identity === undefined ? {} : { identity }),
      faults: faults.map((message) => ({ severity: 'problem', message, hint: 'argocd app get tells more.' })),
      facts: {
        applications: Object.fromEntries(
          all
            .filter(({ metadata }) => options.applications.includes(metadata.name))
            .map((application) => {
              const { sync, health, revision, outOfSync, toPrune } = stateOf(application);
              return [
                application.metadata.name,
                { sync, health, revision: revision ?? '', outOfSync: outOfSync.length, toPrune: toPrune.length },
              ];
            }),
        ),
      },
    };
  } catch (error) {
    if (error instanceof HoldfastError && error.kind === 'bug') throw error;
    return readingOf(evidenceOfRefusal(error, client.name, 'the API'));
  }
}

function faultsOf(name: string, application: KubeObject | undefined, { repositories }: ArgoCdOptions): readonly string[] {
  if (application === undefined) return [`there is no application ${name}`];
  const trouble = troubleOf(stateOf(application));
  const single = textAt(application.spec, 'source', 'repoURL');
  const sources = [
    ...(single === undefined ? [] : [single]),
    ...objectsAt(application.spec, 'sources').map(({ repoURL }) => String(repoURL)),
  ];
  const foreign = repositories === undefined ? [] : sources.filter((each) => !repositories.includes(each));
  return [
    ...(trouble === undefined ? [] : [trouble]),
    ...foreign.map((each) => `${name} comes from ${each}, which the spec does not name`),
  ];
}

/** Waits until all of them are synced and healthy; a degraded one is waited for too, for it may be what is being mended. */
function checkVerb(context: ArgoCdContext, client: KubernetesClient): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { health, evidence, faults = [], facts } = await observe(context, client, signal);
      if (health !== 'up') return { state: 'pending', why: faults.map(({ message }) => message).join('; ') || evidence.detail };
      return { state: 'done', output: { detail: evidence.detail, ...facts } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: ArgoCdContext): Site {
  const client = new KubernetesClient(context.host, context.site);
  const verbs: Partial<Record<SiteVerb, Verb>> = { check: checkVerb(context, client) };
  if (context.options.sync) verbs.run = syncVerb(context, client);
  return {
    observe: (signal) => observe(context, client, signal),
    verbs,
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<ArgoCdOptions, ArgoCdSiteOptions>({
  name: 'argocd',
  title: 'Argo CD',
  summary:
    'Waits until Applications are synced and healthy, by name, and syncs them through their own operations; deletions are counted first.',
  kind: 'check',
  verbs: [
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
    { verb: 'run', needsHands: false, typicalMs: 120_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
