/**
 * npm run sweep -- [--json] [--every K] [--offset N] | [--sample N] [--seed N]
 *
 * Kills the controller before and after every commit of its journal, on two regions of real servers, and says whether the end is always the same. The last line counts. With
 * --every only each K-th boundary is visited, with --sample about N, beginning where the seed says.
 */
import { parseArgs } from 'node:util';
import { chooseSample } from './crash-tasks.ts';
import { KillSweep } from './kill-sweep.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    every: { type: 'string', default: '1' },
    offset: { type: 'string', default: '0' },
    sample: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1_000)) },
  },
});
const say = (line: string): void => {
  (values.json ? process.stderr : process.stdout).write(`${line}\n`);
};
const numbers = {
  every: Number(values.every),
  offset: Number(values.offset),
  sample: Number(values.sample ?? 1),
  seed: Number(values.seed),
};
if (Object.values(numbers).some((each) => !Number.isInteger(each) || each < 0) || numbers.every < 1 || numbers.sample < 1) {
  process.stderr.write('--every, --offset, --sample and --seed are whole numbers\n');
  process.exit(2);
}

const sweep = new KillSweep(say);
const startedMs = performance.now();
let interrupted = false;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    interrupted = true;
    void sweep.close().finally(() => process.exit(130));
  });
}
try {
  await sweep.runUndisturbed();
  const { every, offset, sample, seed } = numbers;
  if (values.sample !== undefined) say(`--seed ${seed}`);
  const report = await sweep.runBoundaries(values.sample === undefined ? { every, offset } : chooseSample(sweep.commits, sample, seed));
  const sorted = [...sweep.resumedMs].sort((left, right) => left - right);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
  say(
    `${((performance.now() - startedMs) / 1_000).toFixed(0)} s in all; from the restart to the end of the execution ${(middle / 1_000).toFixed(1)} s in the middle`,
  );
  for (const finding of sweep.findings) say(`DIFFERENT ${finding.name}: ${[...finding.differences, ...finding.duplicates].join('; ')}`);
  const whole = report.boundaries > 0 && report.killed === report.boundaries && report.sameEndState === report.boundaries;
  process.exitCode = whole && report.duplicateEffects === 0 ? 0 : 1;
  process.stdout.write(`${JSON.stringify(report)}\n`);
} catch (error) {
  if (!interrupted) throw error;
} finally {
  await sweep.close();
}
