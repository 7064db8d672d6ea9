/** The alarms on the ledger, by Prometheus' own tool: they fire when they should, and the rule that counts targets instead of living ones is found out. */
import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { repositoryDirectory, requireProgram } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';

const run = promisify(execFile);

describeSystem('promtool', 'alert rules of the ledger', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await temporaryDirectory('ledger-rules');
    await cp(join(repositoryDirectory, 'deploy', 'prometheus'), directory, { recursive: true });
  });
  afterAll(() => removeDirectory(directory));
  const test = () => run(requireProgram('promtool'), ['test', 'rules', 'ledger.rules.test.yml'], { cwd: directory, timeout: 120_000 });

  it('[S2-25] [S2-32] [E2-13] fire with two of three down, with all down and with none scraped, and outlast a counter that starts anew', async () => {
    expect((await test()).stdout).toMatch(/SUCCESS/);
  });

  it.each([
    ['counting targets', 'sum by (region) (up{job="ledger"})', 'count by (region) (up{job="ledger"})'],
    ['comparing the counter itself', 'increase(ledger_determinism_bug_total[1h])', 'ledger_determinism_bug_total'],
  ])('[E2-13] %s is found out', async (_name, right, wrong) => {
    const file = join(directory, 'ledger.rules.yml');
    const text = await readFile(file, 'utf8');
    expect(text).toContain(right);
    try {
      await writeFile(file, text.replace(right, wrong));
      await expect(test()).rejects.toMatchObject({ code: 1 });
    } finally {
      await writeFile(file, text);
    }
  });
});
