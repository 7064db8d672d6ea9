/** What the spec says of keeping, as retention reads it. Pure. */

import { type RetentionPolicy, retentionDefaults } from '../../backups/retention-policy.ts';
import type { ProofLevel } from '../../contracts/backup.ts';
import type { BackupSpec } from '../../spec/backup-section.ts';
import { longestPauseMs } from '../../spec/schedule-times.ts';
import type { Spec } from '../../spec/spec.ts';

/** Undefined: the spec does not say how long it is kept, so all of it is. */
export function policyOf(spec: Spec, repository: string, component: string, what: string, nowMs: number): RetentionPolicy | undefined {
  const entries = spec.components.get(component)?.backup ?? [];
  const own = entries.find((entry) => entry.what === what && entry.to === repository);
  if (own?.keep === undefined) return undefined;
  const windowMs = entries.find((entry) => entry.schedule === undefined && entry.to === repository)?.keep?.forMs;
  const { forMs, ...counts } = own.keep;
  return {
    ...retentionDefaults,
    ...counts,
    timezone: own.schedule?.timezone ?? retentionDefaults.timezone,
    provenFrom: provenFrom(own),
    unprovenForMs: unprovenForMs(own, nowMs),
    leapMaxMs: leapMaxMs(own, nowMs),
    ...(forMs === undefined ? {} : { keepForMs: forMs }),
    ...(windowMs === undefined ? {} : { windowMs }),
  };
}

/** A spec that asks for less than the usual proof gets what it asks for; one that asks for more does not lose what was proven a little. */
function provenFrom(backup: BackupSpec): ProofLevel {
  return backup.prove !== undefined && backup.prove.level < retentionDefaults.provenFrom
    ? backup.prove.level
    : retentionDefaults.provenFrom;
}

/** Two turns of the proofs, so that each backup has had its chance. */
function unprovenForMs(backup: BackupSpec, nowMs: number): number {
  if (backup.prove === undefined) return retentionDefaults.unprovenForMs;
  return Math.max(retentionDefaults.unprovenForMs, 2 * longestPauseMs(backup.prove.schedule, nowMs));
}

/** Between two monthly backups nothing is recorded for a month: that is no clock that leapt. */
function leapMaxMs(backup: BackupSpec, nowMs: number): number {
  if (backup.schedule === undefined) return retentionDefaults.leapMaxMs;
  return Math.max(retentionDefaults.leapMaxMs, 2 * longestPauseMs(backup.schedule, nowMs));
}
