/** The schema of `objectives`: for the platform as a whole, and for each kind of failure that has a time of its own. */

import { z } from 'zod';
import { formatDuration } from '../base/durations.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { type BackupPurpose, backupPurposes, type PurposeObjective } from './backup-purpose.ts';
import { boundedDuration, dayMs } from './bounded-duration.ts';
import { positiveShare } from './section-schemas.ts';
import { type FailureKind, failureKinds, type Objectives, type ScenarioObjective } from './spec.ts';

const rto = (description: string, example: string) => boundedDuration(description, 1, 30 * dayMs, [example]);
const rpo = (description: string) => boundedDuration(description, 0, 30 * dayMs, ['0s', '15m']);

const scenarioSchema = z
  .strictObject({
    rto: rto('How long the recovery should take: longer is a warning', '10m').optional(),
    most: rto('How long the recovery may take at most: longer is a breach (default: as rto)', '15m').optional(),
    rpo: rpo("How much of the newest data may be lost by this failure, instead of the platform's").optional(),
  })
  .superRefine((value, context) => {
    if (value.rto === undefined && value.most === undefined && value.rpo === undefined)
      context.addIssue({ code: 'custom', message: 'this failure has no objective', params: { hint: 'Give it an rto, a most or an rpo.' } });
    if (value.rto !== undefined && value.most !== undefined && value.most < value.rto)
      context.addIssue({
        code: 'custom',
        path: ['most'],
        message: `at most ${formatDuration(value.most)}, and ${formatDuration(value.rto)} is what it should take`,
        params: { hint: 'Write the longer one as most: rto is the target, most the limit.' },
      });
  })
  .transform(
    (value): ScenarioObjective => withoutUndefined({ rtoMs: value.rto, mostMs: value.most, rpoMs: value.rpo }) as ScenarioObjective,
  )
  .meta({ description: 'What one kind of failure may cost' });

const reach = () => boundedDuration('How far back a copy must be found', 1, 36_500 * dayMs, ['30d']);

const purposeSchema = z
  .union([
    reach().transform((reachMs): PurposeObjective => ({ reachMs })),
    z
      .strictObject({
        reach: reach(),
        of: z
          .array(z.string())
          .min(1)
          .meta({ description: 'The components that it is about (default: everything that holds data)', examples: [['orders-db']] })
          .optional(),
      })
      .transform((value): PurposeObjective => withoutUndefined({ reachMs: value.reach, of: value.of }) as PurposeObjective),
  ])
  .meta({ description: 'How far back backups for one purpose must reach', examples: ['30d', { reach: '2555d', of: ['orders-db'] }] });

export const objectivesSchema = z
  .strictObject({
    rto: rto('Recovery time objective: how long the platform may be gone', '5m').optional(),
    rpo: rpo('Recovery point objective: how much of the newest data may be lost, as the time in which it was written').optional(),
    availability: positiveShare('The share of time in which the platform works', '99.9%').optional(),
    scenarios: z
      .strictObject(
        Object.fromEntries(failureKinds.map((kind) => [kind, scenarioSchema.optional()])) as Record<
          FailureKind,
          z.ZodOptional<typeof scenarioSchema>
        >,
      )
      .meta({
        description: `What each kind of failure may cost: ${failureKinds.join(', ')}`,
        examples: [{ region: { rto: '5m', most: '30m' }, 'total-loss': { rto: '1h' } }],
      })
      .optional(),
    backups: z
      .strictObject(
        Object.fromEntries(backupPurposes.map((purpose) => [purpose, purposeSchema.optional()])) as Record<
          BackupPurpose,
          z.ZodOptional<typeof purposeSchema>
        >,
      )
      .meta({
        description: `What backups are for, each with a policy of its own: ${backupPurposes.join(', ')}`,
        examples: [{ 'point-in-time': '7d', corruption: '30d' }],
      })
      .optional(),
  })
  .transform(
    (value): Objectives =>
      withoutUndefined({
        rtoMs: value.rto,
        rpoMs: value.rpo,
        availability: value.availability,
        scenarios: value.scenarios && new Map(Object.entries(withoutUndefined(value.scenarios)) as [FailureKind, ScenarioObjective][]),
        backups: value.backups && new Map(Object.entries(withoutUndefined(value.backups)) as [BackupPurpose, PurposeObjective][]),
      }) as Objectives,
  )
  .meta({ description: 'What the platform may cost its users when a region is lost' });
