/**
 * How long nobody is served when a region falls silent, beside Patroni with etcd under the same cut: a black hole around the active region, clients in each region that try all the while.
 *
 * Three network namespaces, each packet between them 40 ms late each way; synchronous PostgreSQL in two of them, etcd in all three where there is one. The time goes from the cut to the
 * first write that the other region acknowledged. Each run has a world of its own; the subjects take turns, so that whatever else the machine does touches all alike. Needs root.
 *   holdfast            the spec says nothing of times: the defaults
 *   holdfast-tuned      what a person who wants speed writes (test/end-to-end/partitions/spec-text.ts)
 *   patroni             its defaults: ttl 30, loop_wait 10, retry_timeout 10
 *   patroni-tuned       the least that its validator allows: ttl 20, loop_wait 1, retry_timeout 3
 *
 * Several controllers are cut once the one beside the standby leads, as it does by itself after half a minute: a region is seldom lost in the first minute of its controllers. The other runs
 * of a lost lead are those of `--unsettled`. `--timeline` prints what the controllers did meanwhile.
 *
 *   node bench/region-loss.ts [--runs N] [--delay MS] [--only holdfast,patroni] [--controllers alone|fleet] [--unsettled] [--timeline] [--json]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Acknowledgement, steadyMs } from '../test/end-to-end/partitions/checker.ts';
import { computeMedian, findSplitBrain } from '../test/end-to-end/partitions/judge.ts';
import { converge, findActive } from '../test/end-to-end/partitions/run-scenario.ts';
import { dataRegions, type Pace } from '../test/end-to-end/partitions/spec-text.ts';
import { startWorld, type World } from '../test/end-to-end/partitions/world.ts';
import { ensurePatroni, type PatroniSettings, startPatroniRegions } from './regions/patroni-regions.ts';
import { describeTimeline } from './regions/timeline.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    delay: { type: 'string', default: '40' },
    only: { type: 'string' },
    controllers: { type: 'string', default: 'alone' },
    unsettled: { type: 'boolean', default: false },
    timeline: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const runs = Number(values.runs);
const delayMs = Number(values.delay);
const controllers = values.controllers === 'fleet' ? 'fleet' : 'alone';
const say = (text: string) => (values.json ? process.stderr : process.stdout).write(`${text}\n`);
const promotionTimeoutMs = 120_000;
const settleTimeoutMs = 120_000;

interface Loss {
  readonly outageMs: number;
  readonly splitBrain: number;
}

async function waitForOther(
  active: string,
  cutAtMs: number,
  acknowledgedSince: (atMs: number) => readonly Acknowledgement[],
): Promise<Loss> {
  for (;;) {
    const first = acknowledgedSince(cutAtMs).find((each) => each.site !== active);
    if (first !== undefined) {
      // A moment in which a second site could speak up.
      await delay(500);
      return { outageMs: first.atMs - cutAtMs, splitBrain: findSplitBrain(acknowledgedSince(cutAtMs)).length };
    }
    if (steadyMs() - cutAtMs > promotionTimeoutMs) throw new Error(`nobody took over in ${promotionTimeoutMs / 1_000} s`);
    await delay(20);
  }
}

async function waitForLeadBeside(world: World, active: string): Promise<void> {
  const deadlineMs = steadyMs() + settleTimeoutMs;
  const target = dataRegions.find((region) => region !== active);
  for (;;) {
    const { json } = await world.holdfast(['status']);
    const controllers: readonly { readonly region: string; readonly leads: boolean }[] = json.fleet?.controllers ?? [];
    if (controllers.some((each) => each.leads && each.region === target)) return;
    if (steadyMs() > deadlineMs) throw new Error(`the controller of ${target} does not lead after ${settleTimeoutMs / 1_000} s`);
    await delay(1_000);
  }
}

async function loseWithHoldfast(pace: Pace): Promise<Loss> {
  const world = await startWorld({ pace, delayMs, controllers });
  try {
    const troubles = await converge(world, 60_000);
    if (troubles.length > 0) throw new Error(troubles.join('; '));
    const active = await findActive(world);
    if (controllers === 'fleet' && !values.unsettled) await waitForLeadBeside(world, active);
    await delay(Math.random() * 1_000);
    const [cutAtMs, cutAtWallMs] = [steadyMs(), Date.now()];
    const network = world.namespaces[active].address.replace(/\.\d+$/, '.0/24');
    await world.network.cut([{ at: 'router', matches: [`ip saddr ${network}`, `ip daddr ${network}`] }]);
    const loss = await waitForOther(active, cutAtMs, (atMs) => world.acknowledgedSince(atMs));
    if (values.timeline) for (const line of describeTimeline(world, cutAtWallMs, loss.outageMs)) say(line);
    return loss;
  } finally {
    await world.stop();
  }
}

async function loseWithPatroni(settings: PatroniSettings): Promise<Loss> {
  const regions = await startPatroniRegions(await ensurePatroni(say), settings, delayMs);
  try {
    // Its loop and the cut must not keep step.
    await delay(3_000 + Math.random() * settings.loop_wait * 1_000);
    const cutAtMs = steadyMs();
    await regions.silence(regions.active);
    return await waitForOther(regions.active, cutAtMs, (atMs) => regions.acknowledgedSince(atMs));
  } finally {
    await regions.stop();
  }
}

const subjects: Readonly<Record<string, () => Promise<Loss>>> = {
  holdfast: () => loseWithHoldfast('defaults'),
  'holdfast-tuned': () => loseWithHoldfast('tuned'),
  patroni: () => loseWithPatroni({ ttl: 30, loop_wait: 10, retry_timeout: 10 }),
  'patroni-tuned': () => loseWithPatroni({ ttl: 20, loop_wait: 1, retry_timeout: 3 }),
};
const wanted = values.only?.split(',') ?? Object.keys(subjects);
const unknown = wanted.filter((name) => !(name in subjects));
if (unknown.length > 0 || !(runs >= 1) || !(delayMs >= 0)) {
  process.stderr.write(`--only takes ${Object.keys(subjects).join(', ')}; --runs and --delay are numbers\n`);
  process.exit(2);
}

const losses = new Map<string, Loss[]>(wanted.map((name) => [name, []]));
for (let run = 1; run <= runs; run += 1) {
  for (const name of wanted) {
    const loss = await (subjects[name] as () => Promise<Loss>)();
    losses.get(name)?.push(loss);
    say(`run ${run}: ${name.padEnd(16)} ${(loss.outageMs / 1_000).toFixed(2)} s${loss.splitBrain > 0 ? '  SPLIT BRAIN' : ''}`);
  }
}
say(`\n${'who'.padEnd(18)}runs   seconds: min median max   split brain`);
const result = Object.fromEntries(
  [...losses].map(([name, own]) => {
    const outages = own.map((each) => each.outageMs);
    const figures = {
      runs: own.length,
      outageMsMin: Math.round(Math.min(...outages)),
      outageMsMedian: Math.round(computeMedian(outages)),
      outageMsMax: Math.round(Math.max(...outages)),
      splitBrain: own.filter((each) => each.splitBrain > 0).length,
    };
    const seconds = [figures.outageMsMin, figures.outageMsMedian, figures.outageMsMax].map((ms) => (ms / 1_000).toFixed(2).padStart(6));
    say(`${name.padEnd(18)}${String(own.length).padStart(4)}     ${seconds.join(' ')}            ${figures.splitBrain}`);
    return [name, figures];
  }),
);
process.stdout.write(`${JSON.stringify({ delayMs, controllers, settled: !values.unsettled, ...result })}\n`);
