/**
 * npm run sabotage -- [--json] [--seed N] [--only NAME,NAME] [--rounds N]
 *
 * Takes a backup of each system, proves it, then damages copies of it on purpose: in the store, behind its digests, at rest, while they run. Each proof has to fail. The last line counts
 * what was tried and what was caught; the exit code is 1 where anything was missed.
 */
import { parseArgs } from 'node:util';
import { type ControlOutcome, computeCatchRate } from '../../src/backups/sabotage.ts';
import { systemAvailable } from '../systems/available.ts';
import { sabotage } from './sabotage-run.ts';
import { subjectKinds } from './sabotage-subjects.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1_000)) },
    only: { type: 'string' },
    rounds: { type: 'string', default: '1' },
  },
});
const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const [seed, rounds] = [Number(values.seed), Number(values.rounds)];
const names = values.only?.split(',') ?? subjectKinds.map(({ name }) => name);
const unknown = names.filter((name) => !subjectKinds.some((kind) => kind.name === name));
if (!Number.isInteger(seed) || !Number.isInteger(rounds) || seed < 0 || rounds < 1 || unknown.length > 0) {
  process.stderr.write(`--seed and --rounds are whole numbers; --only names of ${subjectKinds.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}

const outcomes: (ControlOutcome & { readonly system: string })[] = [];
say(`--seed ${seed}`);
for (const kind of subjectKinds.filter(({ name }) => names.includes(name))) {
  const missing = kind.needs.filter((need) => !systemAvailable(need));
  if (missing.length > 0) {
    process.stderr.write(`*** LEFT OUT: ${kind.name}, for ${missing.join(', ')} is not installed\n`);
    continue;
  }
  for (let round = 0; round < rounds; round += 1)
    for (const outcome of await sabotage(kind, { seed: seed + round, say: () => undefined })) {
      outcomes.push({ ...outcome, system: kind.name });
      const where = outcome.result === 'caught' ? `at ${outcome.caughtAt} by ${outcome.caughtBy}` : outcome.detail;
      say(`${outcome.result.padEnd(8)} ${kind.name}: ${outcome.damage}: ${where.slice(0, 200)}`);
    }
}
const rate = computeCatchRate(outcomes);
const notDone = outcomes.filter(({ result }) => result === 'not-done').length;
say(`${rate.caught} of ${rate.tried} damaged copies were caught${notDone === 0 ? '' : `; ${notDone} could not be damaged`}`);
const bySystem = [...Map.groupBy(outcomes, ({ system }) => system)].map(([system, some]) => {
  const { tried, caught } = computeCatchRate(some);
  return [system, { tried, caught }] as const;
});
process.stdout.write(`${JSON.stringify({ ...rate, notDone, bySystem: Object.fromEntries(bySystem) })}\n`);
process.exitCode = rate.tried > 0 && rate.caught === rate.tried && notDone === 0 ? 0 : 1;
