/**
 * npm run crash:backups -- [--json] [--moments N] [--seed N]
 *
 * Kills a process with SIGKILL at N moments while it backs up, archives, restores and prunes, and says what was broken or left over. The last line counts.
 */
import { parseArgs } from 'node:util';
import { BackupCrashes } from './backup-crashes.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    moments: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1_000)) },
  },
});
const [moments, seed] = [Number(values.moments), Number(values.seed)];
if (!Number.isInteger(moments) || moments < 1 || !Number.isInteger(seed) || seed < 0) {
  process.stderr.write('--moments and --seed are whole numbers\n');
  process.exit(2);
}
const say = (line: string): void => {
  (values.json ? process.stderr : process.stdout).write(`${line}\n`);
};

const crashes = new BackupCrashes(seed, say);
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void crashes.close().finally(() => process.exit(130)));
const startedMs = performance.now();
try {
  say(`--seed ${seed}`);
  const report = await crashes.run(moments);
  const places = [...crashes.killedIn].map(([what, count]) => `${what} ${count}`).join(', ');
  say(`${((performance.now() - startedMs) / 1_000).toFixed(0)} s; killed in: ${places}`);
  process.exitCode = report.brokenCommits === 0 && report.orphans === 0 ? 0 : 1;
  process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  await crashes.close();
}
