/** Makes the plan of what goes from a repository: its catalogue as it is now, the spec's rules, and when it was pruned last. */

import type { Catalogue } from '../../backups/records.ts';
import { computeRetention, type RetentionPlan } from '../../backups/retention.ts';
import type { JsonObject } from '../../base/json.ts';
import { putRecord } from '../../watch/watch-records.ts';
import type { BackupParts } from './backup-parts.ts';
import { policyOf } from './retention-policies.ts';

const prunedKey = (repository: string) => `backup-pruned/${repository}`;

/** @param known a catalogue that was read a moment ago */
export async function planRetention(parts: BackupParts, repositoryName: string, known?: Catalogue): Promise<RetentionPlan> {
  const catalogue = known ?? (await (await parts.repository(repositoryName)).readCatalogue());
  const before = (await parts.store.get(prunedKey(repositoryName)))?.value as JsonObject | undefined;
  const nowMs = parts.host.clock.nowMs();
  return computeRetention({
    catalogue,
    policyOf: (component, what) => policyOf(parts.spec, repositoryName, component, what, nowMs),
    nowMs,
    ...(typeof before?.atMs === 'number' ? { previousNowMs: before.atMs } : {}),
    archives: await parts.archiveExtents(repositoryName),
  });
}

/** The same plan without cuts of the log that were made already: which logs are still there, only the store knows. */
export async function withoutMadeCuts(parts: BackupParts, repositoryName: string, plan: RetentionPlan): Promise<RetentionPlan> {
  const repository = await parts.repository(repositoryName);
  const archives: RetentionPlan['archives'][number][] = [];
  for (const cut of plan.archives) if (await repository.hasLogs(cut.component, cut.identity, cut)) archives.push(cut);
  return { ...plan, archives };
}

export async function recordPruned(parts: BackupParts, repository: string, atMs: number): Promise<void> {
  await parts.store.commit([putRecord(prunedKey(repository), { atMs })]);
}
