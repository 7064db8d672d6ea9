/**
 * npm run torture -- [--runs N] [--parallel N] [--seed N] [--first N] [--only NAME,NAME] [--controllers fleet|alone] [--json]
 *
 * Breaks three regions of real servers in every way that scenarios.ts knows, and says what it cost: how long nobody was served, whether two sites ever acknowledged at once, what was lost,
 * whether everything came right. Needs root, for the regions are network namespaces. Exit 0 only when every run held.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { howToInstall, type SystemName, systemAvailable } from '../../systems/available.ts';
import { directoryVariable, findMemoryDirectory } from '../../systems/memory-directory.ts';
import { repositoryDirectory } from '../../systems/programs.ts';
import { Campaign, type CampaignReport, isWell } from './campaign.ts';
import { computeMedian } from './judge.ts';
import type { RunResult } from './run-scenario.ts';
import { scenarios } from './scenarios.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '30' },
    parallel: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1_000)) },
    first: { type: 'string', default: '1' },
    only: { type: 'string' },
    controllers: { type: 'string', default: 'fleet' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function refuse(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

if (values.help) {
  const names = scenarios.map((each) => `  ${each.name} (${each.controllers.join(', ')})`);
  process.stdout.write(
    `npm run torture -- [--runs 30] [--parallel 1] [--seed N] [--first N] [--only NAME,NAME] [--controllers fleet|alone] [--json]\n${names.join('\n')}\n`,
  );
  process.exit(0);
}
const [runs, parallel, seed, first] = [values.runs, values.parallel, values.seed, values.first].map(Number) as [
  number,
  number,
  number,
  number,
];
if (![runs, parallel, seed, first].every(Number.isInteger) || runs < 1 || parallel < 1 || first < 1)
  refuse('--runs, --parallel, --seed and --first are whole numbers, above 0');
const { controllers } = values;
if (controllers !== 'alone' && controllers !== 'fleet')
  refuse('--controllers is fleet (three, with etcd; the default) or alone (one, in the witness region)');
const only = values.only?.split(',');
const unknown = only?.filter((name) => !scenarios.some((each) => each.name === name)) ?? [];
if (unknown.length > 0) refuse(`There is no scenario ${unknown.join(', ')}; there are: ${scenarios.map((each) => each.name).join(', ')}`);
const needed: readonly SystemName[] = ['namespaces', 'postgresql', 'sshd', 'etcd', 'faketime'];
const missing = needed.filter((name) => !systemAvailable(name));
if (missing.length > 0)
  refuse(
    `This needs root and real servers; missing: ${missing.join(', ')}.\n${missing.map((name) => `  ${howToInstall(name)}`).join('\n')}`,
  );

// What is judged here waits for no disk; several worlds on one disk would.
const memoryDirectory = parallel > 1 ? findMemoryDirectory() : undefined;
if (memoryDirectory !== undefined) process.env[directoryVariable] ??= memoryDirectory;

const say = (line: string): void => {
  (values.json ? process.stderr : process.stdout).write(`${line}\n`);
};
const startedMs = performance.now();
let ended = 0;

function sayRun(run: number, result: RunResult): void {
  ended += 1;
  const leftMs = ((performance.now() - startedMs) / ended) * (runs - ended);
  const how = result.failedOver ? 'failed over' : 'stayed';
  const words = [
    `${String(run).padStart(4)}/${first + runs - 1}  ${result.scenario.padEnd(22)} ${isWell(result) ? 'held  ' : 'BROKEN'}`,
    `outage ${(result.outageMs / 1_000).toFixed(2).padStart(6)} s  ${how.padEnd(11)}  ${String(result.acknowledged).padStart(6)} acknowledged`,
    `${(result.tookMs / 1_000).toFixed(0).padStart(3)} s; about ${Math.ceil(leftMs / 60_000)} min to go`,
  ];
  say(words.join('  '));
  const lost = result.lost.length > 0 ? [`${result.lost.length} acknowledged writes are lost: ${result.lost.slice(0, 5).join(', ')}`] : [];
  for (const finding of [...result.splitBrain.slice(0, 3).map((each) => `SPLIT BRAIN: ${each}`), ...lost, ...result.broken])
    say(`  ${finding}`);
}

function table(results: readonly RunResult[], report: CampaignReport): string[] {
  const rows = Object.keys(report.byScenario).map((name) => {
    const own = results.filter((each) => each.scenario === name);
    const outages = own.map((each) => each.outageMs / 1_000);
    const seconds = [Math.min(...outages), computeMedian(outages), Math.max(...outages)]
      .map((each) => each.toFixed(2).padStart(7))
      .join(' ');
    const lost = own.reduce((sum, each) => sum + each.lost.length, 0);
    const split = own.filter((each) => each.splitBrain.length > 0).length;
    const over = own.filter((each) => each.failedOver).length;
    return `${name.padEnd(22)} ${String(own.length).padStart(4)} ${String(over).padStart(11)}   ${seconds} ${String(lost).padStart(6)} ${String(split).padStart(6)}`;
  });
  return ['', `${'scenario'.padEnd(22)} runs failed over   outage s: min median max   lost  split`, ...rows, ''];
}

const campaign = new Campaign({
  runs,
  seed,
  first,
  ...(only ? { only } : {}),
  world: { controllers, movableClocks: true },
  parallel,
  logsDirectory: join(repositoryDirectory, 'reports', 'torture'),
  onRun: sayRun,
  say,
});
const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    ending.abort(new Error(`ended by ${name}`));
    void campaign.stop().finally(() => process.exit(130));
  });
}
try {
  say(
    `--seed ${seed}, ${controllers === 'fleet' ? 'three controllers and etcd' : 'one controller in the witness region'}; building three regions${parallel > 1 ? `, ${parallel} times` : ''} …`,
  );
  const report = await campaign.run(ending.signal);
  for (const line of table(campaign.results, report)) say(line);
  process.exitCode = campaign.results.every(isWell) ? 0 : 1;
  process.stdout.write(`${JSON.stringify(report)}\n`);
} catch (error) {
  if (!ending.signal.aborted) throw error;
} finally {
  if (!ending.signal.aborted) await campaign.stop();
}
