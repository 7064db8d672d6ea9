/** What `takeBase` wrote into a backup's facts for its restorer, read back. A manifest is outside data: what is not as it should be is BACKUP_DAMAGED. */
import { z } from 'zod';
import { fail } from '../../../base/errors.ts';
import type { BackupReader } from '../../../contracts/backup.ts';
import { type Lsn, parseLsn } from '../lsn.ts';

const moreSchema = z.looseObject({
  major: z.number().int().min(15),
  segmentBytes: z.number().int().min(1_048_576),
  startLsn: z.string(),
  consistentByMs: z.number(),
  superuser: z.string().min(1),
  database: z.string().min(1),
  tablespaces: z.array(z.object({ oid: z.string().regex(/^\d+$/), path: z.string() })),
  settings: z.record(z.string(), z.string()),
  extensions: z.record(z.string(), z.string()),
});

export interface BackupDetails {
  readonly major: number;
  readonly segmentBytes: number;
  readonly startLsn: Lsn;
  /** The backup is consistent from here on. */
  readonly stopLsn: Lsn;
  readonly timeline: number;
  /** By then it was consistent. */
  readonly consistentByMs: number;
  readonly superuser: string;
  readonly database: string;
  readonly logical: false;
  readonly tablespaces: readonly { readonly oid: string; readonly path: string }[];
  readonly settings: Readonly<Record<string, string>>;
  readonly firstSegment: string;
  readonly systemIdentifier: string;
}

export function backupDetails({ facts, backupId }: Pick<BackupReader, 'facts' | 'backupId'>): BackupDetails {
  const more = moreSchema.safeParse(facts.more);
  if (facts.engine !== 'postgresql' || !more.success || !facts.position || !facts.archive) {
    throw fail('BACKUP_DAMAGED', { subject: backupId, message: `${backupId} does not say what a restore of PostgreSQL needs to know` });
  }
  return {
    ...more.data,
    logical: false,
    startLsn: parseLsn(more.data.startLsn),
    stopLsn: BigInt(facts.position.offset),
    timeline: facts.archive.timeline,
    firstSegment: facts.archive.first,
    systemIdentifier: facts.identity,
  };
}
