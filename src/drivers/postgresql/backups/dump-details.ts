/** What `takeDump` wrote into a backup's facts for its restorer, read back. */
import { z } from 'zod';
import { fail } from '../../../base/errors.ts';
import type { BackupReader } from '../../../contracts/backup.ts';

const moreSchema = z.looseObject({
  format: z.literal('dump'),
  major: z.number().int().min(15),
  database: z.string().min(1),
  databases: z.array(z.looseObject({ name: z.string().min(1) })),
});

export const globalsPart = 'globals.sql';
export const dumpPart = (database: string) => `${encodeURIComponent(database)}.dump`;

export interface DumpDetails {
  readonly major: number;
  readonly database: string;
  readonly databases: readonly string[];
  readonly systemIdentifier: string;
  readonly logical: true;
}

export function isDump({ facts }: Pick<BackupReader, 'facts'>): boolean {
  return facts.more?.['format'] === 'dump';
}

export function dumpDetails({ facts, backupId }: Pick<BackupReader, 'facts' | 'backupId'>): DumpDetails {
  const more = moreSchema.safeParse(facts.more);
  if (facts.engine !== 'postgresql' || !more.success)
    throw fail('BACKUP_DAMAGED', { subject: backupId, message: `${backupId} does not say what a restore of a dump needs to know` });
  const { major, database, databases } = more.data;
  return { major, database, databases: databases.map(({ name }) => name), systemIdentifier: facts.identity, logical: true };
}
