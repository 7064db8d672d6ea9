/** Options of the nodes of a cluster. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import { duration, share } from '../../contracts/options.ts';
import { connectionFaults, connectionOptions, type OptionFault } from '../kubernetes-api/connection-options.ts';

const name = z.string().min(1);

export const componentOptions = z.strictObject({
  nodes: z.string().min(1).optional().describe('Label selector of the nodes that count; default: all'),
  'ready-share': share('How much of the nodes must be ready; one below it is a failure').prefault('100%'),
  'least-nodes': z.int().min(1).default(1).describe('How many nodes there must be at least'),
  zones: z.int().min(1).default(1).describe('In how many zones at least there must be ready nodes'),
  pods: z
    .strictObject({
      namespace: name.describe('The namespace of the pods'),
      selector: name.optional().describe('Label selector of the pods; default: all of the namespace'),
      'least-per-zone': z.int().min(0).default(0).describe('How many ready pods each zone with ready nodes must have'),
    })
    .optional()
    .describe('Pods that are counted by the zones of their nodes, and must be ready'),
  claims: z
    .strictObject({ namespace: name.describe('The namespace of the claims') })
    .optional()
    .describe('PersistentVolumeClaims that must all be bound'),
  drain: z
    .strictObject({
      nodes: z.array(name).min(1).optional().describe('The names of the nodes'),
      zone: name.optional().describe('All nodes of this zone'),
    })
    .optional()
    .describe('What the verb run takes out of use: it cordons the nodes and evicts their pods as budgets allow'),
  'call-timeout': duration('How long one request to the API may take in a step').prefault('10s'),
});

export const siteOptions = z.strictObject({ ...connectionOptions });

export type NodesOptions = z.output<typeof componentOptions>;
export type NodesSiteOptions = z.output<typeof siteOptions>;

export function findFaults(options: NodesOptions, sites: ReadonlyMap<string, NodesSiteOptions>): readonly OptionFault[] {
  const faults = connectionFaults(sites);
  if (options.drain && (options.drain.nodes === undefined) === (options.drain.zone === undefined))
    faults.push({
      path: ['drain'],
      message: 'it names not exactly one of nodes and zone',
      hint: 'Write { nodes: [NAME] } or { zone: NAME }.',
    });
  return faults;
}
