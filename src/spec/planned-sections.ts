/**
 * Sections that a spec may have already and that no code acts on yet: they are read strictly and kept as written, so that a spec is whole from the beginning, and loading says
 * in words that nothing happens for them. Secrets in them stay references: nothing needs their values.
 */
import { z } from 'zod';
import { duration } from '../contracts/options.ts';
import { secretReference } from '../contracts/secret-reference.ts';
import { boundedDuration, dayMs, hourMs } from './bounded-duration.ts';
import { schedule, timeWindow, timezone } from './schedules.ts';

const text = (description: string, example: string) =>
  z
    .string()
    .min(1)
    .meta({ description, examples: [example] });
const count = (description: string, example: number) =>
  z
    .int()
    .min(0)
    .max(100_000)
    .meta({ description, examples: [example] });
const proofLevel = z
  .enum(['P1', 'P2', 'P3', 'P4', 'P5'])
  .meta({ description: 'P1 intact · P2 starts · P3 sound · P4 content equals · P5 reached its point in time', examples: ['P4'] });

const keepSchema = z
  .union([
    duration('Keep for so long'),
    z.strictObject({
      proven: count('At least so many proven recovery points', 7).optional(),
      hourly: count('So many of the newest hours', 24).optional(),
      daily: count('So many of the newest days', 30).optional(),
      weekly: count('So many of the newest weeks', 12).optional(),
      monthly: count('So many of the newest months', 12).optional(),
      yearly: count('So many of the newest years', 7).optional(),
    }),
  ])
  .meta({ description: 'What is kept', examples: ['7d', { proven: 7, daily: 30 }] });

export const backupSchema = z
  .array(
    z
      .strictObject({
        what: text('What is backed up, in the words of the driver', 'base'),
        every: schedule('When it is backed up').optional(),
        continuous: z
          .boolean()
          .meta({ description: 'Whether it is backed up all the time', examples: [true] })
          .optional(),
        timezone: timezone('Time zone of the schedules (default UTC)').optional(),
        keep: keepSchema.optional(),
        prove: z
          .strictObject({ every: schedule('When the newest one is restored and checked'), level: proofLevel })
          .meta({ description: 'How it is proven' })
          .optional(),
        to: text('Name of the repository', 'main').optional(),
      })
      .superRefine((value, context) => {
        if (value.every !== undefined && value.continuous === true)
          context.addIssue({
            code: 'custom',
            path: ['continuous'],
            message: 'it is either continuous or has a schedule, not both',
            params: { hint: 'Take "every" or "continuous" away.' },
          });
        if (value.every === undefined && value.continuous !== true)
          context.addIssue({
            code: 'custom',
            path: ['every'],
            message: 'nothing says when this is backed up',
            params: { hint: 'Add every: daily, or continuous: true.' },
          });
      }),
  )
  .meta({ description: 'How the component is backed up' });

const repositoryCommon = {
  encryption: z
    .union([
      z.strictObject({ kms: text('Key of the key management service', 'alias/holdfast') }),
      z.strictObject({ key: secretReference.meta({ description: 'The key itself', examples: [{ file: '/etc/holdfast/backup.key' }] }) }),
    ])
    .meta({ description: 'How what is stored is encrypted', examples: [{ kms: 'alias/holdfast' }] })
    .optional(),
  lock: boundedDuration('Nothing stored can be removed for so long', hourMs, 3_650 * dayMs, ['30d']).optional(),
};

export const repositorySchema = z
  .discriminatedUnion('driver', [
    z.strictObject({
      driver: z.literal('filesystem').meta({ description: 'A directory', examples: ['filesystem'] }),
      path: text('Directory', '/var/lib/holdfast/repository'),
      ...repositoryCommon,
    }),
    z.strictObject({
      driver: z.literal('s3').meta({ description: 'A bucket of S3, or of a service like it', examples: ['s3'] }),
      bucket: text('Name of the bucket', 'dr-backups'),
      region: text('Region of the bucket', 'us-west-2').optional(),
      endpoint: z
        .url({ protocol: /^https?$/, error: 'this is not an http or https address' })
        .meta({ description: 'Address of an S3-compatible service', examples: ['https://s3.example.com'] })
        .optional(),
      prefix: text('What the names of all objects begin with', 'orders/').optional(),
      'access-key-id': secretReference
        .meta({ description: 'Where the access key id is', examples: [{ env: 'AWS_ACCESS_KEY_ID' }] })
        .optional(),
      'secret-access-key': secretReference
        .meta({ description: 'Where the secret access key is', examples: [{ env: 'AWS_SECRET_ACCESS_KEY' }] })
        .optional(),
      ...repositoryCommon,
    }),
  ])
  .meta({ description: 'A place where backups are kept' });

export const drillSchema = z
  .strictObject({
    kind: z
      .enum(['backup-proof', 'failover', 'switchover', 'failback', 'restore', 'recover'])
      .meta({ description: 'What is rehearsed', examples: ['failover', 'backup-proof'] }),
    every: schedule('When it is rehearsed'),
    timezone: timezone('Time zone of the schedule (default UTC)').optional(),
    window: timeWindow('Days and hours in which it may run').optional(),
    approve: count('How many people must approve before it begins', 1).optional(),
  })
  .meta({ description: 'A rehearsal, measured against the objectives' });

const secret = (description: string, variable: string) => secretReference.meta({ description, examples: [{ env: variable }] });

export const channelSchema = z
  .discriminatedUnion('channel', [
    z.strictObject({
      channel: z.literal('pagerduty').meta({ description: 'PagerDuty', examples: ['pagerduty'] }),
      key: secret('The integration key', 'PD_KEY'),
    }),
    z.strictObject({
      channel: z.literal('slack').meta({ description: 'Slack', examples: ['slack'] }),
      webhook: secret('The address of the incoming webhook', 'SLACK_URL'),
    }),
    z.strictObject({
      channel: z.literal('statuspage').meta({ description: 'Statuspage', examples: ['statuspage'] }),
      page: text('Id of the page', 'abc123'),
      key: secret('The API key', 'STATUSPAGE_KEY'),
    }),
    z.strictObject({
      channel: z.literal('email').meta({ description: 'Email', examples: ['email'] }),
      to: z
        .array(z.email({ error: 'this is not an email address' }))
        .min(1)
        .meta({ description: 'Who is told', examples: [['on-call@example.com']] }),
      from: z
        .email({ error: 'this is not an email address' })
        .meta({ description: 'Sender', examples: ['holdfast@example.com'] })
        .optional(),
      server: text('Mail server', 'smtp.example.com:587').optional(),
      user: text('Login at the mail server', 'holdfast').optional(),
      password: secret('Password at the mail server', 'SMTP_PASSWORD').optional(),
    }),
    z.strictObject({
      channel: z.literal('webhook').meta({ description: 'Any address that takes a POST', examples: ['webhook'] }),
      url: secret('The address that is called', 'WEBHOOK_URL'),
      secret: secret('Signs each call', 'WEBHOOK_SECRET').optional(),
    }),
  ])
  .meta({ description: 'Who is told, and by what' });

export type BackupSpec = z.output<typeof backupSchema>[number];
export type RepositorySpec = z.output<typeof repositorySchema>;
export type DrillSpec = z.output<typeof drillSchema>;
export type ChannelSpec = z.output<typeof channelSchema>;
