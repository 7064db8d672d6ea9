/** Options of a StatefulSet: those of every workload in a cluster. */
export { workloadComponentOptions as componentOptions, workloadSiteOptions as siteOptions } from '../kubernetes-api/workload-options.ts';
