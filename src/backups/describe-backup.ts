import type { Manifest } from './manifest.ts';
import type { BackupRecord } from './records.ts';

/** A backup in the words of the rest of the core. */
export function describeBackup({ head, facts, chapters, parts, digest }: Manifest): BackupRecord {
  const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
  return {
    component: head.component,
    backupId: head.backup,
    what: head.what,
    startedAtMs: head.startedAtMs,
    endedAtMs: head.endedAtMs,
    facts,
    storedBytes: sum(parts.map(({ storedBytes }) => storedBytes)),
    plainBytes: sum(parts.map(({ plainBytes }) => plainBytes)),
    pieces: sum(chapters.map(({ pieces }) => pieces)),
    digest,
    suite: head.suite,
  };
}
