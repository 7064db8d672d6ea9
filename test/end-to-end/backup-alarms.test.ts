/** The alert rules, judged by Prometheus' own tool: they are understood, and fire when they should and only then. */
import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { repositoryDirectory, requireProgram } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';

const run = promisify(execFile);

describeSystem('promtool', 'alert rules', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await temporaryDirectory('rules');
    await cp(join(repositoryDirectory, 'deploy', 'prometheus'), directory, { recursive: true });
  });
  afterAll(() => removeDirectory(directory));

  const check = (...args: string[]) => run(requireProgram('promtool'), args, { cwd: directory, timeout: 120_000 });

  it('[S4-51] [S4-52] [S4-02] are understood, fire when they should, and are silent beside that', async () => {
    expect((await check('check', 'rules', 'backups.rules.yml')).stdout).toMatch(/SUCCESS: 16 rules found/);
    for (const cases of ['backups', 'backups-size'])
      expect((await check('test', 'rules', `${cases}.rules.test.yml`)).stdout).toMatch(/SUCCESS/);
  });

  it('[S1-06] [E1-09] those of the platform too', async () => {
    expect((await check('check', 'rules', 'platform.rules.yml')).stdout).toMatch(/SUCCESS: 13 rules found/);
    expect((await check('test', 'rules', 'platform.rules.test.yml')).stdout).toMatch(/SUCCESS/);
  });

  it('[S1-34] [S1-35] [S1-36] [S1-37] [S1-38] [E1-09] [E1-10] those of FoundationDB too: absence, and the real majority of coordinators', async () => {
    expect((await check('check', 'rules', 'foundationdb.rules.yml')).stdout).toMatch(/SUCCESS: 11 rules found/);
    expect((await check('test', 'rules', 'foundationdb.rules.test.yml')).stdout).toMatch(/SUCCESS/);
  });

  it('[S3-32] those of OpenSearch too: a lag that lasts, and a lag that nobody can tell', async () => {
    expect((await check('check', 'rules', 'opensearch.rules.yml')).stdout).toMatch(/SUCCESS: 2 rules found/);
    expect((await check('test', 'rules', 'opensearch.rules.test.yml')).stdout).toMatch(/SUCCESS/);
  });

  it.each([
    ['an age that is never compared', 'HoldfastBackupFailed', /(holdfast_backup_last_success_timestamp_seconds) > /, '$1 > 1e12 * '],
    ['a share that is too large', 'HoldfastBackupSizeAnomaly', /> 0\.3 \*/, '> 0.9 *', 'backups-size'],
    ['a limit that no run comes to', 'HoldfastBackupOverrun', /> (holdfast_backup_run_limit_seconds)/, '> 60 * $1'],
    ['no alarm on absence', 'HoldfastBackupMissing', /holdfast_backup_interval_seconds unless/, 'holdfast_backup_interval_seconds and'],
  ])('a rule with %s is found out', async (_, alert, from, to, cases = 'backups') => {
    const rules = join(directory, 'backups.rules.yml');
    const text = await readFile(rules, 'utf8');
    const worse = text.replace(from, to);
    expect(worse).not.toBe(text);
    await writeFile(rules, worse);
    try {
      const outcome = await check('test', 'rules', `${cases}.rules.test.yml`).then(
        () => 'passed',
        (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
      );
      expect(outcome).toMatch(new RegExp(`FAILED|${alert}|parse error`));
      expect(outcome).not.toBe('passed');
    } finally {
      await writeFile(rules, text);
    }
  });
});
