/** The demo of a recovery, as a user starts it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { describeSystem } from '../systems/requirement.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const timeoutMs = 300_000;

describeSystem(['postgresql', 'redis', 'bind', 'sshd'], 'npm run demo -- recovery', () => {
  it('[S5-25] [S4-06] [S5-29] finds a dropped table in the archived log, restores beside to just before it, and proves the backup', {
    timeout: timeoutMs,
  }, async () => {
    const { stdout } = await run(process.execPath, [join(root, 'examples', 'demo', 'demo.ts'), 'recovery', '--json'], {
      cwd: root,
      timeout: timeoutMs,
      maxBuffer: 16 * 1024 * 1024,
    });
    const result = JSON.parse(stdout.trim().split('\n').at(-1) as string);
    expect(result).toMatchObject({ level: 'P4', target: expect.stringMatching(/^just before transaction \d+$/) });
    expect(result.rowsFound).toBe(result.rowsExpected);
    expect(result.rowsExpected).toBeGreaterThan(500);
    expect(result.canaryGapMs).toBeGreaterThanOrEqual(0);
    expect(result.restoreMs).toBeGreaterThan(0);
  });
});
