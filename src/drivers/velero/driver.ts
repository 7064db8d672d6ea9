/** Velero: its storage location, its schedule, its backups and restores, by its resources in the cluster. What is under way in Velero goes on when a controller dies. */
import { fail } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import type { SiteVerb, Verb } from '../../contracts/verbs.ts';
import { KubernetesClient } from '../kubernetes-api/client.ts';
import { observeVelero, type VeleroContext } from './observe.ts';
import { componentOptions, findFaults, siteOptions, type VeleroOptions, type VeleroSiteOptions } from './options.ts';
import { runVerb } from './run.ts';

/** All of it must hold: a schedule that is not as wanted is as bad as storage that is not there. */
function checkVerb(context: VeleroContext, client: KubernetesClient): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { health, evidence, faults = [], facts } = await observeVelero(context, client, signal);
      if (health !== 'up') return { state: 'pending', why: evidence.detail };
      if (faults.length > 0) return { state: 'pending', why: faults.map(({ message }) => message).join('; ') };
      return { state: 'done', output: { detail: evidence.detail, ...facts } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: VeleroContext): Site {
  const client = new KubernetesClient(context.host, context.site);
  const verbs: Partial<Record<SiteVerb, Verb>> = { check: checkVerb(context, client) };
  if (context.options.run) verbs.run = runVerb(context, client);
  return {
    observe: (signal) => observeVelero(context, client, signal),
    verbs,
    close: async () => {
      // Connections are the host's; nothing else is held open.
    },
  };
}

export const driver = defineDriver<VeleroOptions, VeleroSiteOptions>({
  name: 'velero',
  title: 'Velero',
  summary:
    'Watches the storage location, schedule and backups of Velero, takes backups and makes restores, and counts what went in and came out.',
  kind: 'check',
  verbs: [
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
    { verb: 'run', needsHands: false, typicalMs: 300_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
