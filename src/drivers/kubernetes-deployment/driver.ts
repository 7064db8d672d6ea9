/** A Deployment: pods without a state of their own, scaled and restarted through the API of its cluster. What a dying controller leaves is told by the counts. */
import { defineDriver } from '../../contracts/driver.ts';
import { findWorkloadFaults, type WorkloadComponentOptions, type WorkloadSiteOptions } from '../kubernetes-api/workload-options.ts';
import { openWorkloadSite } from '../kubernetes-api/workload-site.ts';
import { componentOptions, siteOptions } from './options.ts';

export const driver = defineDriver<WorkloadComponentOptions, WorkloadSiteOptions>({
  name: 'kubernetes-deployment',
  title: 'Kubernetes Deployment',
  summary: 'Watches a Deployment and its zones, scales it, waits for its pods, fences it, restarts it; respects Argo CD and autoscalers.',
  kind: 'workload',
  verbs: [
    { verb: 'scale', needsHands: false, typicalMs: 2_000 },
    { verb: 'await-ready', needsHands: false, typicalMs: 30_000 },
    { verb: 'fence', needsHands: false, typicalMs: 30_000 },
    { verb: 'check', needsHands: false, typicalMs: 1_000 },
    { verb: 'run', needsHands: false, typicalMs: 60_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findWorkloadFaults(options, sites),
  open: (context) => openWorkloadSite('Deployment', context),
});
