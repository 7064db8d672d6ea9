/**
 * The sections `state` and `controllers`: where the state of several controllers lives, which regions have one, and how long each may be silent.
 *
 * Pure but for the password, which is looked up through the host.
 */
import { z } from 'zod';
import { formatDuration } from '../base/durations.ts';
import { nearestWord } from '../base/nearest.ts';
import { Secret } from '../base/secret.ts';
import { secretReference } from '../contracts/secret-reference.ts';
import { boundedDuration, minuteMs } from './bounded-duration.ts';
import type { FaultCollector } from './fault-collector.ts';
import { childOf, entriesOf } from './located-node.ts';
import type { Schema } from './schema-shape.ts';
import type { SecretPlacement } from './secret-placement.ts';
import { nameSchema } from './section-schemas.ts';
import type { ComponentSpec, ControllersSpec, EtcdStateSpec, StateSpec } from './spec.ts';

const endpointHint = 'Write scheme, host and port: https://10.0.1.5:2379.';

const endpointSchema = z
  .string()
  .superRefine((text, context) => {
    if (/^https?:\/\/(\[[0-9a-f:]+\]|[^\s:/@?#[\]]+):\d{1,5}$/i.test(text) && URL.canParse(text)) return;
    // Whatever stands there may hold a password.
    const message = /@/.test(text) ? 'an address of etcd holds no user and no password' : 'this is not an address of etcd';
    context.addIssue({
      code: 'custom',
      message,
      params: { hint: /@/.test(text) ? 'Write them below "user" and "password".' : endpointHint },
    });
  })
  .meta({ description: 'Address of a member', examples: ['https://10.0.1.5:2379'] });

const pemPath = (description: string, example: string) =>
  z
    .string()
    .regex(/^\/.*[^/]$/, 'is not an absolute path of a file')
    .meta({ description, examples: [example] })
    .optional();

type Written = { readonly [key: string]: unknown };

/** Each of two keys is of no use without the other. */
function requireTogether(value: Written, one: string, other: string, context: z.RefinementCtx): void {
  if ((value[one] === undefined) === (value[other] === undefined)) return;
  const [given, missing] = value[one] === undefined ? [other, one] : [one, other];
  context.addIssue({
    code: 'custom',
    path: [given],
    message: `"${given}" without "${missing}" is of no use`,
    params: { hint: `Add ${missing}:, or take ${given} away.` },
  });
}

const etcdSchema = z
  .strictObject({
    endpoints: z
      .array(endpointSchema)
      .min(1)
      .max(32)
      .meta({
        description: 'The members of the cluster; each controller asks them in this order',
        examples: [['https://10.0.1.5:2379', 'https://10.1.1.5:2379', 'https://10.2.1.5:2379']],
      }),
    ca: pemPath(
      'Path of the certificates (PEM) that vouch for the servers; left out: those that the system trusts',
      '/etc/holdfast/etcd-ca.pem',
    ),
    certificate: pemPath('Path of the certificate (PEM) that is shown to the servers', '/etc/holdfast/etcd.pem'),
    key: pemPath('Path of the key (PEM) of that certificate', '/etc/holdfast/etcd-key.pem'),
    user: z
      .string()
      .min(1)
      .meta({ description: "The user's name in etcd", examples: ['holdfast'] })
      .optional(),
    password: secretReference
      .meta({ description: 'The password of that user', examples: [{ file: '/etc/holdfast/etcd.password' }] })
      .optional(),
    prefix: z
      .string()
      .regex(/^\/[!-~]*$/, 'must begin with a slash, and have no spaces')
      .max(200)
      .meta({ description: 'All keys of the platform begin with it (default /holdfast/NAME/)', examples: ['/holdfast/orders/'] })
      .optional(),
    timeout: boundedDuration('How long a request may take, over all members that are tried', 200, minuteMs, ['3s']).prefault('3s'),
  })
  .superRefine((value, context) => {
    requireTogether(value, 'certificate', 'key', context);
    requireTogether(value, 'user', 'password', context);
    const plain = value.endpoints.findIndex((endpoint) => !endpoint.startsWith('https:'));
    if (plain === -1) return;
    if (value.endpoints.some((endpoint) => endpoint.startsWith('https:')))
      context.addIssue({
        code: 'custom',
        path: ['endpoints', plain],
        message: 'some members would be asked by TLS and this one not',
        params: { hint: 'Write https: for all of them, or for none.' },
      });
    else if (value.ca !== undefined || value.certificate !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['endpoints', plain],
        message: 'certificates are given, and this address does without TLS',
        params: { hint: 'Write https: in place of http:.' },
      });
  })
  .superRefine((value, context) => {
    const twice = value.endpoints.findIndex((endpoint, index) => value.endpoints.indexOf(endpoint) < index);
    if (twice !== -1)
      context.addIssue({
        code: 'custom',
        path: ['endpoints', twice],
        message: 'this member is named twice',
        params: { hint: 'Take one of the two away.' },
      });
  })
  .meta({ description: 'An etcd cluster (v3.4 or newer), which several controllers share' });

export const stateSchema = z
  .strictObject({ etcd: etcdSchema })
  .meta({ description: 'Where the state lives (left out: embedded, for one controller)' });

export const controllersSchema = z
  .strictObject({
    ttl: boundedDuration('How long the lease of a controller outlives its last renewal', 1_000, 10 * minuteMs, ['5s']).prefault('5s'),
    'renew-every': boundedDuration('Time between two renewals', 100, 10 * minuteMs, ['1s']).prefault('1s'),
    regions: z
      .array(nameSchema)
      .min(1)
      .meta({
        description: 'The regions that have a controller (default: all regions)',
        examples: [['us-east-1', 'us-west-2', 'eu-west-1']],
      })
      .optional(),
    'without-state': z
      .enum(['fence', 'keep-serving'])
      .meta({
        description:
          "What the active region's controller does when it can't reach the state: fence its sites before its lease is over, or let them serve, which needs synchronous replication",
        examples: ['fence', 'keep-serving'],
      })
      .prefault('fence'),
    'after-fence': z
      .enum(['return', 'wait'])
      .meta({
        description:
          'What the controller of the active region does once it holds its lease again after it had fenced its sites, nobody having taken over: start them again, or wait for holdfast resume --region',
        examples: ['return', 'wait'],
      })
      .prefault('return'),
    'keep-executions': z
      .int()
      .min(10)
      .max(100_000)
      .meta({
        description: 'So many finished executions stay in the state; older ones go to the first repository as evidence, where there is one',
        examples: [500],
      })
      .prefault(500),
  })
  .superRefine((value, context) => {
    const least = 3 * value['renew-every'];
    if (value.ttl >= least) return;
    context.addIssue({
      code: 'custom',
      path: ['ttl'],
      message: `${formatDuration(value.ttl)} is too short for a renewal every ${formatDuration(value['renew-every'])}: one that fails must leave time for another`,
      params: { hint: `Write at least ${formatDuration(least)}, or renew more often.` },
    });
  })
  .meta({ description: 'The controllers, one in each region, that share the state' });

export async function readState(
  collector: FaultCollector,
  secrets: SecretPlacement,
  platform: string | undefined,
): Promise<StateSpec | undefined> {
  const node = childOf(collector.root, 'state');
  if (node === undefined) return undefined;
  const value = await secrets.place(node, [stateSchema as Schema], ['state']);
  const written = collector.parseValue(['state'], value, stateSchema, { subject: '"state"' });
  if (written === undefined) return undefined;
  const { endpoints, ca, certificate, key, user, password, timeout } = written.etcd;
  const prefix = written.etcd.prefix ?? `/holdfast/${platform ?? ''}/`;
  const etcd: EtcdStateSpec = {
    endpoints,
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(certificate === undefined ? {} : { certificateFile: certificate }),
    ...(key === undefined ? {} : { keyFile: key }),
    ...(user === undefined ? {} : { user }),
    ...(password instanceof Secret ? { password } : {}),
    prefix: prefix.endsWith('/') ? prefix : `${prefix}/`,
    timeoutMs: timeout,
  };
  return { etcd };
}

export function readControllers(collector: FaultCollector, components: ReadonlyMap<string, ComponentSpec>): ControllersSpec | undefined {
  const written = collector.parse(['controllers'], controllersSchema, '"controllers"');
  if (written === undefined) return undefined;
  const known = [...entriesOf(childOf(collector.root, 'regions')).keys()];
  for (const [index, region] of (written.regions ?? []).entries()) {
    const path = ['controllers', 'regions', index];
    if ((written.regions ?? []).indexOf(region) < index) {
      collector.add(path, 'value', `${region} has a controller twice`, 'Take one of the two away: a region has one controller.');
    } else if (known.length > 0 && !known.includes(region)) {
      const nearest = nearestWord(region, known);
      const hint = nearest === undefined ? `There are: ${known.join(', ')}.` : `Did you mean "${nearest}"?`;
      collector.add(path, 'value', `a controller is in "${region}", and there is no such region`, hint);
    }
  }
  requireSynchronousToKeepServing(collector, written['without-state'], components.values());
  return {
    ttlMs: written.ttl,
    renewEveryMs: written['renew-every'],
    regions: written.regions ?? known,
    withoutState: written['without-state'],
    afterFence: written['after-fence'],
    keepExecutions: written['keep-executions'],
  };
}

/** What is acknowledged by one side alone would be lost once the other takes over: a cut-off side may go on only where it can't acknowledge alone. */
function requireSynchronousToKeepServing(
  collector: FaultCollector,
  withoutState: ControllersSpec['withoutState'],
  components: Iterable<ComponentSpec>,
): void {
  if (withoutState !== 'keep-serving') return;
  const alone = [...components].find(({ kind, replication }) => kind === 'data' && replication === 'asynchronous');
  if (alone === undefined) return;
  collector.add(
    ['controllers', 'without-state'],
    'value',
    `${alone.name} replicates asynchronously: a side that is cut off and goes on serving would acknowledge writes that are lost`,
    'Write without-state: fence, or let all data stores replicate synchronously.',
  );
}
