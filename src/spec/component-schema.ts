/** The keys that every component has, whatever its driver, save for `sites`, whose content is the driver's. */
import { z } from 'zod';
import { replications } from '../contracts/replication.ts';
import { backupSchema } from './backup-section.ts';
import { boundedDuration, dayMs, hourMs } from './bounded-duration.ts';
import { nameSchema } from './section-schemas.ts';

export const componentCommonSchema = z.strictObject({
  driver: z
    .string()
    .min(1)
    .meta({ description: 'The kind of system; each driver has keys of its own beside these', examples: ['postgresql'] }),
  vital: z
    .boolean()
    .meta({ description: "Whether its loss is the region's loss (default: true for what holds data)", examples: [true, false] })
    .optional(),
  needs: z
    .array(nameSchema)
    .meta({ description: 'Components that must work before this one can', examples: [['orders-db']] })
    .prefault([]),
  replication: z
    .enum(replications)
    .meta({
      description:
        'Whether a write is acknowledged only once a standby has it; none: there is no standby, and another region is brought back from backups',
      examples: [...replications],
    })
    .prefault('asynchronous'),
  rpo: boundedDuration("Recovery point objective of this component, instead of the platform's", 0, 30 * dayMs, ['0s', '1m']).optional(),
  'canary-every': boundedDuration('Time between two canary rows, by which loss is measured', 10, hourMs, ['1s']).prefault('1s'),
  backup: backupSchema.optional(),
});

export const componentCommonKeys: readonly string[] = [...Object.keys(componentCommonSchema.shape), 'sites'];
