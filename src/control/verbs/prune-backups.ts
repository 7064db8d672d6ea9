/**
 * prune-backups {repository}: what nothing keeps any more has its tombstone, and what has lain under one for long enough goes. The plan is made from the catalogue as it is when the
 * step runs, never from an older look. Dying on the way is harmless: whoever goes on makes the plan anew, and what is done already is no part of it.
 */

import { applyRetention } from '../../backups/prune.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { planRetention, recordPruned } from '../backups/plan-retention.ts';
import type { PlatformParts } from './platform-verb.ts';

/** Longer than any backup takes. */
const orphanAgeMs = 3 * 86_400_000;

export function pruneBackups({ backups: parts }: PlatformParts): Verb {
  return {
    inspect: async (_want, context) => {
      const note = context.note as JsonObject | undefined;
      return note === undefined ? { state: 'absent', why: 'not pruned yet' } : { state: 'done', output: note };
    },
    apply: async (want, context) => {
      const name = String(want.repository);
      const repository = await parts.repository(name);
      const plan = await planRetention(parts, name);
      const { tombstoned, removed, held, objects, bytes } = await applyRetention({
        repository,
        plan,
        by: context.executionId,
        clock: parts.host.clock,
        signal: context.signal,
        orphanAgeMs,
        onProgress: (message) => context.progress(message),
      });
      await recordPruned(parts, name, plan.nowMs);
      await context.keepNote({ tombstoned, removed, held, objects, bytes, refusals: plan.refusals.map(({ message }) => message) });
    },
  };
}
