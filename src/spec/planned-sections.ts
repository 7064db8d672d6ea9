/**
 * Sections that a spec may have already and that no code acts on yet: they are read strictly and kept as written, so that a spec is whole from the beginning, and loading says
 * in words that nothing happens for them. Secrets in them stay references: nothing needs their values.
 */
import { z } from 'zod';
import { secretReference } from '../contracts/secret-reference.ts';
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

export type DrillSpec = z.output<typeof drillSchema>;
export type ChannelSpec = z.output<typeof channelSchema>;
