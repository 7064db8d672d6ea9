/** Options of a value in a ConfigMap or Secret that follows the active region. Strict: an unknown key is a fault with a line number. */
import { z } from 'zod';
import { Secret } from '../../base/secret.ts';
import type { ResolvedSecret } from '../../contracts/driver.ts';
import { duration } from '../../contracts/options.ts';
import { textOrSecret } from '../../contracts/workload/endpoint.ts';
import { argoOptions } from '../kubernetes-api/argo-owner.ts';
import { connectionFaults, connectionOptions, type OptionFault } from '../kubernetes-api/connection-options.ts';

const objectName = z.string().min(1);

export const componentOptions = z.strictObject({
  namespace: objectName.describe('The namespace; there is no default, for a command without one changes something else'),
  'config-map': objectName.optional().describe('The name of the ConfigMap that holds the value'),
  secret: objectName.optional().describe('The name of the Secret that holds the value'),
  key: z
    .string()
    .regex(/^[-._a-zA-Z0-9]{1,200}$/, 'is no key of a ConfigMap or Secret')
    .describe('The key of the value: LEDGER_ENDPOINT'),
  restart: z
    .array(
      z.strictObject({
        deployment: objectName.optional().describe('The name of a deployment'),
        statefulset: objectName.optional().describe('The name of a stateful set'),
      }),
    )
    .default([])
    .describe('What reads the value only when it starts: its pods are restarted once the value has changed, and waited for'),
  argocd: argoOptions.prefault({}),
  'call-timeout': duration('How long one request to the API may take in a step').prefault('10s'),
});

export const siteOptions = z.strictObject({
  ...connectionOptions,
  namespace: objectName.optional().describe('The namespace in this region, where it is another one'),
  value: textOrSecret.describe('The value that leads to this region; for a Secret { env: NAME } or { file: PATH }'),
});

export type ConfigOptions = z.output<typeof componentOptions>;
export type ConfigSiteOptions = z.output<typeof siteOptions>;

/** What no schema of a single key can see. */
export function findFaults(options: ConfigOptions, sites: ReadonlyMap<string, ConfigSiteOptions>): readonly OptionFault[] {
  const faults = connectionFaults(sites);
  if ((options['config-map'] === undefined) === (options.secret === undefined))
    faults.push({
      path: options.secret === undefined ? [] : ['secret'],
      message: options.secret === undefined ? 'neither config-map nor secret is named' : 'config-map and secret exclude each other',
      hint: 'Name the one that holds the value.',
    });
  if (options.argocd.through === 'kustomize')
    faults.push({ path: ['argocd', 'through'], message: 'kustomize sets replicas only', hint: 'Use suspend, or let Git say the value.' });
  for (const [index, each] of options.restart.entries())
    if ((each.deployment === undefined) === (each.statefulset === undefined))
      faults.push({
        path: ['restart', index],
        message: 'it names not exactly one workload',
        hint: 'Write { deployment: NAME } or { statefulset: NAME }.',
      });
  for (const [region, { value }] of sites) {
    const isSecret = typeof value !== 'string';
    if (isSecret !== (options.secret !== undefined) && (options.secret === undefined) !== (options['config-map'] === undefined))
      faults.push({
        path: ['sites', region, 'value'],
        message: isSecret
          ? 'a secret does not belong in a ConfigMap, which everybody may read'
          : 'a value of a Secret does not belong in the spec',
        hint: isSecret ? 'Use secret instead of config-map.' : 'Write { env: NAME } or { file: PATH }.',
      });
  }
  const plain = [...sites].filter(([, { value }]) => typeof value === 'string');
  const [again] = plain.filter(([, { value }], index) => plain.findIndex(([, other]) => other.value === value) !== index);
  if (again)
    faults.push({
      path: ['sites', again[0], 'value'],
      message: 'two regions have the same value: nothing would tell them apart',
      hint: 'Give each region its own.',
    });
  return faults;
}

export function revealed(value: string | ResolvedSecret): string {
  return value instanceof Secret ? value.reveal() : value;
}
