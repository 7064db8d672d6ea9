/** A part of `npm run crash:backups` that fits into the suite; other moments each day. */
import { afterEach, describe, expect, it } from 'vitest';
import { BackupCrashes } from './backup-crashes.ts';

const seed = Number(process.env.HOLDFAST_CRASH_SEED ?? Math.floor(Date.now() / 86_400_000));

describe(`kill -9 while backing up (HOLDFAST_CRASH_SEED=${seed})`, () => {
  let crashes: BackupCrashes;
  const lines: string[] = [];
  const begin = (mood?: 'forgetful') => {
    crashes = new BackupCrashes(seed, (line) => lines.push(line), mood);
    return crashes;
  };
  afterEach(() => crashes.close());

  // Once only: what a kill breaks is broken, however rarely.
  it('[S4-39] breaks no committed backup and leaves nothing for ever; the next run goes on', { retry: 0, timeout: 120_000 }, async () => {
    const report = await begin().run(10);
    expect(crashes.findings, lines.join('\n')).toEqual([]);
    expect(report).toEqual({ moments: 10, brokenCommits: 0, orphans: 0 });
  });

  it('is able to fail: a store that says it has pieces, and has not, is found out', { retry: 0, timeout: 120_000 }, async () => {
    begin('forgetful');
    // A moment may fall before anything is committed: then there is nothing to be found out.
    let report = await crashes.run(3);
    for (let more = 0; more < 4 && report.brokenCommits === 0; more += 1) report = await crashes.run(3);
    expect(report.brokenCommits, lines.join('\n')).toBeGreaterThan(0);
    expect(crashes.findings.join('\n')).toMatch(/does not restore|ended by itself/);
  });
});
