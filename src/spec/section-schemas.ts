/**
 * The schemas of the spec's own sections, one for each top-level key that the core acts on. Their input is what people write (kebab-case, `10s`, `80%`), their
 * output what the core works from (camelCase, milliseconds, shares). Each key has a description and examples, from which the JSON Schema is made.
 */

import { z } from 'zod';
import { parseDurationMs } from '../base/durations.ts';
import { HoldfastError } from '../base/errors.ts';
import { parseShare } from '../base/sizes.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { share } from '../contracts/options.ts';
import { boundedDuration, dayMs, hourMs } from './bounded-duration.ts';
import type { FailbackPolicy, FailoverPolicy, HandsSpec, RegionRole, WatchPolicy } from './spec.ts';

export const specVersion = 'v1';

const nameHint = 'Use lower-case letters, digits and hyphens, beginning with a letter: orders-db.';
/** Names become keys of the state, arguments of commands and labels of metrics: one narrow form serves all of them. */
export const nameSchema = z
  .string()
  .superRefine((name, context) => {
    if (!/^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
      context.addIssue({
        code: 'custom',
        message: `"${name}" is not a name`,
        params: { hint: name.length > 63 ? 'Use at most 63 characters.' : nameHint },
      });
  })
  .meta({
    description: 'Lower-case letters, digits and hyphens, beginning with a letter',
    examples: ['orders'],
    pattern: '^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$',
  });

export const positiveShare = (description: string, example: string) =>
  share(description)
    .refine((value) => value > 0, { error: 'this share must be above 0%', params: { hint: `Write a percentage above 0%: ${example}.` } })
    .meta({ description, examples: [example] });

export const regionSchema = z
  .strictObject({
    role: z.enum(['active', 'standby', 'witness']).meta({
      description: 'active: serves now · standby: can take over · witness: only watches and votes',
      examples: ['active', 'standby', 'witness'],
    }),
  })
  .transform((value): { role: RegionRole } => value)
  .meta({ description: 'A failure domain' });

export const watchSchema = z
  .strictObject({
    every: boundedDuration('Time between two probes of a site', 10, hourMs, ['1s', '250ms']).prefault('1s'),
    timeout: boundedDuration('How long a probe waits for an answer', 10, hourMs, ['1s', '250ms']).prefault('1s'),
    failures: z
      .int()
      .min(1)
      .max(1_000)
      .meta({ description: 'So many probes in a row must fail before silence counts as down', examples: [3] })
      .prefault(3),
  })
  .transform((value): WatchPolicy => ({ everyMs: value.every, timeoutMs: value.timeout, failures: value.failures }))
  .meta({ description: 'How each site is watched' });

export const failoverSchema = z
  .strictObject({
    automatic: z
      .boolean()
      .meta({ description: 'Whether a failover may start without a person', examples: [true, false] })
      .prefault(false),
    grace: boundedDuration('How long a vital component may be gone before its region counts as lost', 0, dayMs, ['3s', '10s']).prefault(
      '3s',
    ),
    'lost-when': z
      .enum(['any', 'all'])
      .meta({
        description: "Whether the loss of any vital component is the region's loss, or only the loss of all of them",
        examples: ['any', 'all'],
      })
      .prefault('any'),
    'ready-share': positiveShare('The share of a workload that must be ready before traffic is sent to it', '80%').prefault('80%'),
    'loss-budget': boundedDuration('How much of the newest data an automatic failover may lose, by the newest estimate', 0, 30 * dayMs, [
      '0s',
      '5s',
    ]).prefault('0s'),
    'cool-down': boundedDuration('No second automatic failover for so long after a change of the active region', 0, 30 * dayMs, [
      '1h',
    ]).prefault('1h'),
    'commit-window': boundedDuration('How long after a failover it can be rolled back as a whole', 0, 30 * dayMs, ['30m']).prefault('30m'),
    approvals: z
      .int()
      .min(1)
      .max(10)
      .meta({ description: 'How many people must approve what may lose data beyond the budget', examples: [2] })
      .prefault(2),
    'salvage-directory': z
      .string()
      .regex(/^\/.*[^/]$/, 'is not an absolute path')
      .meta({
        description:
          'Where, on the hosts of a region that comes back, is kept what it alone had: each time in a new directory there, which only its owner may read',
        examples: ['/var/tmp', '/srv/salvage'],
      })
      .prefault('/var/tmp'),
  })
  .transform(
    (value): FailoverPolicy => ({
      automatic: value.automatic,
      graceMs: value.grace,
      lostWhen: value['lost-when'],
      readyShare: value['ready-share'],
      lossBudgetMs: value['loss-budget'],
      coolDownMs: value['cool-down'],
      commitWindowMs: value['commit-window'],
      approvals: value.approvals,
      salvageDirectory: value['salvage-directory'],
    }),
  )
  .meta({ description: 'When and how the platform moves to another region' });

/** `> 1%`, `> 2s`: a limit that is broken by going above it. */
function limit(description: string, examples: string[], parse: (text: string) => number) {
  return z
    .string()
    .transform((text, context) => {
      const match = /^>\s*(\S.*)$/.exec(text.trim());
      const hint = `Write "> " and the limit: ${examples.map((example) => `"${example}"`).join(', ')}.`;
      try {
        if (match) return parse(match[1] as string);
        context.addIssue({ code: 'custom', message: `"${text}" is not a limit`, params: { hint } });
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        context.addIssue({ code: 'custom', message: error.message, params: { hint } });
      }
      return z.NEVER;
    })
    .meta({ description, examples });
}

const canarySchema = z
  .array(positiveShare('A share of the traffic', '10%'))
  .min(1)
  .superRefine((shares, context) => {
    // An empty list has its own fault already.
    if (shares.length === 0) return;
    const falling = shares.findIndex((value, index) => index > 0 && value <= (shares[index - 1] as number));
    if (falling > 0)
      context.addIssue({
        code: 'custom',
        path: [falling],
        message: 'each stage must send more traffic than the one before',
        params: { hint: 'Put the shares in ascending order: [10%, 50%, 100%].' },
      });
    else if (shares.at(-1) !== 1)
      context.addIssue({
        code: 'custom',
        path: [shares.length - 1],
        message: 'the last stage must be 100%',
        params: { hint: 'A failback ends with all of the traffic: [10%, 50%, 100%].' },
      });
  })
  .meta({ description: 'Shares of the traffic that go back, stage by stage', examples: [['10%', '50%', '100%']] });

export const failbackSchema = z
  .strictObject({
    canary: canarySchema.prefault(['10%', '50%', '100%']),
    bake: boundedDuration('How long each stage is watched before the next', 0, 30 * dayMs, ['5m']).prefault('5m'),
    'abort-when': z
      .strictObject({
        'error-rate': limit('Step back when this share of the requests fails', ['> 1%'], parseShare).optional(),
        p95: limit('Step back when the slowest twentieth of the requests takes longer', ['> 2s'], parseDurationMs).optional(),
      })
      .meta({ description: 'Limits that make a stage step back by itself' })
      .optional(),
  })
  .transform((value): FailbackPolicy => {
    const limits = value['abort-when'];
    const abortWhen = limits && withoutUndefined({ errorRateAbove: limits['error-rate'], p95AboveMs: limits.p95 });
    return {
      canaryShares: value.canary,
      bakeMs: value.bake,
      ...(abortWhen ? { abortWhen: abortWhen as NonNullable<FailbackPolicy['abortWhen']> } : {}),
    };
  })
  .meta({ description: 'The staged return to the original region' });

const user = z
  .string()
  .min(1)
  .regex(/^[a-z_][a-z0-9_.-]*\$?$/i, { error: 'is not the name of a user' });

export const handsSchema = z
  .union([
    z.literal('local').meta({ description: 'Commands run on the machine of the controller' }),
    z.strictObject({
      local: z
        .strictObject({ as: user.meta({ description: 'Become this user there', examples: ['postgres'] }).optional() })
        .meta({ description: 'Commands run on the machine of the controller' }),
    }),
    z.strictObject({
      ssh: z
        .strictObject({
          host: z
            .string()
            .regex(/^[^\s-][^\s]*$/, { error: 'is not the name or address of a host' })
            .meta({ description: 'Name or address of the host', examples: ['10.0.1.5'] }),
          port: z
            .int()
            .min(1)
            .max(65_535)
            .meta({ description: 'Port of its ssh server', examples: [22] })
            .prefault(22),
          user: user.meta({ description: 'Login on the host', examples: ['root'] }).prefault('root'),
          identity: z
            .string()
            .min(1)
            .meta({ description: 'Path of the private key', examples: ['/etc/holdfast/id_ed25519'] })
            .optional(),
          'known-hosts': z
            .string()
            .min(1)
            .meta({ description: 'Path of the known hosts file', examples: ['/etc/holdfast/known_hosts'] })
            .optional(),
          as: user.meta({ description: 'Become this user there', examples: ['postgres'] }).optional(),
        })
        .meta({ description: 'Commands run over ssh' }),
    }),
  ])
  .transform((value): HandsSpec => {
    if (value === 'local') return { kind: 'local' };
    if ('local' in value) return withoutUndefined({ kind: 'local', as: value.local.as }) as HandsSpec;
    const { host, port, user: login, identity, as } = value.ssh;
    return withoutUndefined({
      kind: 'ssh',
      host,
      port,
      user: login,
      identityFile: identity,
      knownHostsFile: value.ssh['known-hosts'],
      as,
    }) as HandsSpec;
  })
  .meta({ description: 'How commands run where the site lives', examples: ['local', { ssh: { host: '10.0.1.5', as: 'postgres' } }] });
