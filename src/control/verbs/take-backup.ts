/**
 * take-backup {component, what, repository, backupId}: the backup of that id is committed. Its manifest is the only mark of success: whoever goes on after a death looks for it, and
 * begins anew under the same id where it is not there; what the dead one had written goes then.
 */

import { holdLease } from '../../backups/proof-lease.ts';
import type { BackupRecord } from '../../backups/records.ts';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { BackupContext } from '../../contracts/backup.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import { archivesInto, type BackupParts } from '../backups/backup-parts.ts';
import { type HeldBasis, holdBasis } from '../backups/hold-basis.ts';
import { rememberRecoveryPoint } from '../backups/recovery-instants.ts';
import { scratchPath, withScratch } from '../backups/scratch.ts';
import type { PlatformParts } from './platform-verb.ts';

/** A source that can't be reached is tried again by the engine at once; a backup is too much work for that to go on for long. */
const attemptsMax = 5;

export function takeBackup({ backups: parts }: PlatformParts): Verb {
  return {
    inspect: async (want) => {
      const { component, repository, backupId } = read(want);
      const record = await (await parts.repository(repository)).findBackup(component, backupId);
      return record ? { state: 'done', output: outputOf(record) } : { state: 'absent', why: `${backupId} is not committed` };
    },
    apply: async (want, context) => {
      await countAttempt(context);
      await take(parts, read(want), context);
    },
  };
}

/** Deaths count too: a backup that kills its process must not be begun for ever. */
async function countAttempt(context: StepContext): Promise<void> {
  const before = Number((context.note as JsonObject | undefined)?.begun ?? 0);
  if (before >= attemptsMax)
    throw fail('BACKUP_INCOMPLETE', {
      subject: context.stepId,
      message: `it was begun ${before} times and never came to its end`,
      hint: 'holdfast executions shows what went wrong each time.',
    });
  await context.keepNote({ begun: before + 1 });
}

async function take(parts: BackupParts, want: ReturnType<typeof read>, context: StepContext): Promise<void> {
  const { component: name, what, repository: repositoryName, backupId } = want;
  const { host } = parts;
  const component = parts.component(name);
  const repository = await parts.repository(repositoryName);
  const { region } = await parts.activeRegion();
  const lease = await holdLease({
    repository,
    component: name,
    backupId,
    holder: context.executionId,
    what: 'backup',
    host,
    signal: context.signal,
  });
  const { signal } = lease;
  let basis: HeldBasis | undefined;
  try {
    basis = await holdBasis(parts, component, want, context.executionId, signal);
    await withScratch(host, scratchPath(parts.scratchDirectory, parts.spec.name, context.executionId), async (workDirectory) => {
      const writing = await repository.beginBackup({ component: name, backupId, what, signal });
      const source = parts.openSource(component, region);
      const sourceContext: BackupContext = { signal, log: context.log, progress: (message) => context.progress(message) };
      try {
        const facts = await source.take(
          what,
          writing.sink,
          {
            ...(archivesInto(component, repositoryName) ? { openArchive: (identity) => repository.openArchive(name, identity) } : {}),
            fingerprintKey: writing.fingerprintKey,
            workDirectory,
            ...(basis === undefined ? {} : { basis: basis.reader }),
          },
          sourceContext,
        );
        signal.throwIfAborted();
        // Not held any more, it may be gone: what builds on it would be worth nothing.
        basis?.signal.throwIfAborted();
        await writing.commit(facts);
        await rememberRecoveryPoint(parts.store, name, { atMs: facts.consistentAtMs, backupId, repository: repositoryName });
      } catch (error) {
        await writing.abandon();
        throw error;
      } finally {
        await source.close();
      }
    });
  } finally {
    await basis?.release();
    await lease.release();
  }
}

function read(want: JsonObject) {
  return {
    component: String(want.component),
    what: String(want.what),
    repository: String(want.repository),
    backupId: String(want.backupId),
  };
}

function outputOf(record: BackupRecord): JsonObject {
  const { backupId, what, startedAtMs, endedAtMs, storedBytes, plainBytes, facts } = record;
  return {
    backupId,
    what,
    startedAtMs,
    endedAtMs,
    storedBytes,
    plainBytes,
    consistentAtMs: facts.consistentAtMs,
    engineVersion: facts.engineVersion,
  };
}
