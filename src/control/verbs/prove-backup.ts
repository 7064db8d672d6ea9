/**
 * prove-backup {component, repository, what, level, target, checks, backupId?, withinMs?, sabotage?}: a proof is recorded in the repository, and passed (a sabotaged one: failed, as it
 * must). Which backup is taken is drawn once and kept as a note, so that whoever goes on after a death proves the same one. The record carries the execution: it is never made twice.
 */

import { type ProofRequest, proveBackup as runProof } from '../../backups/proof.ts';
import { parseExpectation } from '../../backups/proof-expectation.ts';
import { firstFailure } from '../../backups/proof-ladder.ts';
import type { DrawnProof } from '../../backups/proof-targets.ts';
import type { Catalogue, ProofRecord } from '../../backups/records.ts';
import { computeRecoveryWindows } from '../../backups/recovery-points.ts';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ProofLevel } from '../../contracts/backup.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import { chooseProof } from '../backups/choose-proof.ts';
import { scratchOf } from '../backups/scratch.ts';
import { inspectControls, runNegativeControls } from './negative-controls.ts';
import type { PlatformParts } from './platform-verb.ts';

export function proveBackup({ backups: parts }: PlatformParts): Verb {
  return {
    inspect: async (want, context) => {
      if (want.sabotage !== undefined) return inspectControls(context, String(want.component));
      const record = await findRecord(parts, want, context.executionId);
      if (record === undefined) return { state: 'absent', why: 'no proof is recorded yet' };
      if (!record.ok) throw notPassed(record);
      return { state: 'done', output: outputOf(record) };
    },
    apply: async (want, context) => {
      const request = await requestOf(parts, want, context);
      if (want.sabotage !== undefined) {
        const { store } = await parts.opened(String(want.repository));
        return runNegativeControls(request, store, String(want.sabotage), () => parts.host.random.next(), context);
      }
      const record = await runProof(request);
      if (record.inconclusive !== undefined)
        throw fail('PROOF_FAILED', {
          subject: record.backupId,
          message: `the proof could not be made: ${record.inconclusive}`,
          hint: 'It says nothing of the backup, which keeps the level that it had. Mend the cause, then holdfast verify.',
        });
    },
  };
}

/** One that was stopped on the way says nothing: it is made anew. */
async function findRecord(parts: BackupParts, want: JsonObject, executionId: string): Promise<ProofRecord | undefined> {
  const repository = await parts.repository(String(want.repository));
  const { entries } = await repository.readCatalogue(String(want.component));
  return entries.flatMap((entry) => entry.proofs).find((record) => record.by === executionId && record.inconclusive === undefined);
}

const notPassed = (record: ProofRecord) => {
  const failure = firstFailure(record.checks);
  return fail('PROOF_FAILED', {
    subject: record.backupId,
    message: `${record.backupId} of ${record.component} reached ${record.reached === 'none' ? 'no level' : record.reached}, not ${record.wanted}${failure ? `: ${failure.name}: ${failure.detail}` : ''}`,
    hint: `It does not count as proven up to ${record.wanted}; holdfast backups show ${record.backupId} has each check.`,
  });
};

async function requestOf(parts: BackupParts, want: JsonObject, context: StepContext): Promise<ProofRequest> {
  const { host } = parts;
  const component = parts.component(String(want.component));
  const repositoryName = String(want.repository);
  const repository = await parts.repository(repositoryName);
  const { entry, target } = await draw(parts, want, context, await repository.readCatalogue(component.name));
  const checks = want.checks as readonly { readonly ask: string; readonly expect: string }[];
  return {
    repository,
    component: component.name,
    backups: parts.driverBackups(component),
    options: component.options,
    entry,
    level: want.level as ProofLevel,
    target,
    userChecks: checks.map(({ ask, expect }) => ({ ask, expect: parseExpectation(expect) })),
    host,
    scratchDirectory: scratchOf(parts.scratchDirectory, parts.spec.name),
    by: context.executionId,
    signal: context.signal,
    ...(typeof want.withinMs === 'number' ? { budgetMs: want.withinMs } : {}),
    ...(parts.spec.objectives.rtoMs === undefined ? {} : { rtoMs: parts.spec.objectives.rtoMs }),
    onProgress: (message) => context.progress(message),
  };
}

interface KeptDraw extends JsonObject {
  readonly backupId: string;
  readonly target: JsonObject;
}

async function draw(parts: BackupParts, want: JsonObject, context: StepContext, catalogue: Catalogue): Promise<DrawnProof> {
  const component = String(want.component);
  const kept = context.note as KeptDraw | undefined;
  const entries = catalogue.entries.filter(
    (entry) => entry.tombstone === undefined && (want.what === undefined || entry.backup.what === want.what),
  );
  const again = kept && entries.find(({ backup }) => backup.backupId === kept.backupId);
  if (kept && again) return { entry: again, target: kept.target as unknown as DrawnProof['target'] };
  const { windows } = computeRecoveryWindows(catalogue, await parts.archiveExtents(String(want.repository), component));
  const wish = { component, target: String(want.target), ...(want.backupId === undefined ? {} : { backupId: String(want.backupId) }) };
  const drawn = chooseProof(wish, entries, windows, () => parts.host.random.next());
  await context.keepNote({ backupId: drawn.entry.backup.backupId, target: drawn.target as unknown as JsonObject });
  return drawn;
}

function outputOf(record: ProofRecord): JsonObject {
  const { proofId, backupId, wanted, reached, ok, target, reachedDetail, phases, tookMs, budgetMs, canary, checks } = record;
  return {
    proofId,
    backupId,
    wanted,
    reached,
    ok,
    target,
    reachedDetail,
    phases,
    checks: checks.length,
    ...(tookMs === undefined ? {} : { tookMs }),
    ...(tookMs !== undefined && budgetMs !== undefined ? { overrun: tookMs > budgetMs } : {}),
    ...(canary === undefined ? {} : { canary }),
  };
}
