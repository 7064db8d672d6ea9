/** Options of Argo CD in a cluster. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { connectionFaults, connectionOptions, type OptionFault } from '../kubernetes-api/connection-options.ts';

const name = z.string().min(1);

const sync = z
  .strictObject({
    prune: z.boolean().default(false).describe('What is there and no longer in Git is deleted'),
    'most-prunes': z.int().min(0).default(0).describe('More deletions than these are refused, with their names'),
    revision: name.optional().describe('The revision to sync to; default: the target revision of each Application'),
  })
  .describe('The verb run syncs the Applications like this, one after the other');

export const componentOptions = z.strictObject({
  namespace: name.default('argocd').describe('The namespace of the Applications'),
  applications: z.array(name).min(1).describe('The Applications, by name, in the order in which they are synced'),
  repositories: z.array(name).optional().describe('Git repositories that the Applications may come from; another one is a problem'),
  sync: sync.optional(),
  'call-timeout': duration('How long one request to the API may take in a step').prefault('10s'),
});

export const siteOptions = z.strictObject({ ...connectionOptions });

export type ArgoCdOptions = z.output<typeof componentOptions>;
export type ArgoCdSiteOptions = z.output<typeof siteOptions>;

export function findFaults(options: ArgoCdOptions, sites: ReadonlyMap<string, ArgoCdSiteOptions>): readonly OptionFault[] {
  const faults = connectionFaults(sites);
  const again = options.applications.find((each, index) => options.applications.indexOf(each) !== index);
  if (again !== undefined) faults.push({ path: ['applications'], message: `${again} is named twice`, hint: 'Name each Application once.' });
  if (options.sync && !options.sync.prune && options.sync['most-prunes'] > 0)
    faults.push({
      path: ['sync', 'most-prunes'],
      message: 'most-prunes says nothing without prune',
      hint: 'Set prune: true, or take it away.',
    });
  return faults;
}
