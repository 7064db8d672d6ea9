/**
 * How long a client waits when a region dies, and what it loses: Holdfast with its vote and its fence proof in the way, beside an all-knowing `pg_ctl promote` at the same instant.
 *
 * Each run builds a fresh pair of PostgreSQL servers, lets a client write a numbered row every 10 ms (it knows both hosts and takes the one that takes writes, as libpq does with several
 * hosts and target_session_attrs=read-write), kills every process of the active region, and takes the time from the kill to the first acknowledged write.
 *   holdfast  synchronous replication, the demo's settings, `holdfast serve` as a separate process
 *   floor     the same without Holdfast: pg_ctl promote on the standby as soon as the kill has returned
 *   async     asynchronous replication behind a link that is 40 ms late; the database is killed and its host lives. Counts which acknowledged writes were lost, whether each lies inside
 *             the loss window that Holdfast reports, and whether salvage finds exactly those once the region is back
 *
 *   node bench/failover.ts [--runs N] [--only holdfast|floor|async] [--json]
 */
import { readFile, rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { runHoldfast, type ServeEvent, ServeProcess } from '../examples/demo/holdfast-process.ts';
import { startTwoRegions, type TwoRegions } from '../examples/demo/two-regions.ts';
import { runProgram } from '../test/systems/run-program.ts';
import { LateLink } from './servers/late-link.ts';
import { MultiHostWriter } from './servers/multi-host-writer.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '10' }, only: { type: 'string' }, json: { type: 'boolean', default: false } },
});
const runs = Number(values.runs);
const say = (text: string) => (values.json ? process.stderr : process.stdout).write(`${text}\n`);
const conditionTimeoutMs = 60_000;

async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + conditionTimeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${conditionTimeoutMs / 1_000} s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function writerOf(regions: TwoRegions): MultiHostWriter {
  return new MultiHostWriter(
    Object.values(regions.regions).map(({ database }) => ({
      host: database.address,
      port: database.port,
      password: database.passwords.holdfast,
    })),
    10,
  );
}

interface Served {
  readonly serve: ServeProcess;
  readonly events: ServeEvent[];
}

/** Starts serve and waits until it says that the loss of the region would be survived. */
async function startServing(regions: TwoRegions): Promise<Served> {
  const events: ServeEvent[] = [];
  const serve = new ServeProcess(regions, (event) => events.push(event));
  await until('readiness', async () => {
    const { readiness } = (await runHoldfast(regions, ['status'])).json as { readiness?: { ready: boolean; rpoNowMs?: number } };
    return readiness?.ready && readiness.rpoNowMs !== undefined ? true : undefined;
  });
  return { serve, events };
}

async function missingRows(
  regions: TwoRegions,
  writer: MultiHostWriter,
  killedAtMs: number,
): Promise<readonly { number: number; atMs: number }[]> {
  const rows = await regions.regions['us-west-2'].database.query('SELECT number FROM orders', { database: 'orders' });
  const there = new Set(rows.map((row) => Number(row.number)));
  return writer.acknowledged
    .filter((each) => each.sentAtMs <= killedAtMs && !there.has(each.number))
    .map(({ number, atMs }) => ({ number, atMs }));
}

interface Outage {
  readonly outageMs: number;
  readonly lost: number;
}

async function killAndMeasure(
  regions: TwoRegions,
  writer: MultiHostWriter,
  afterKill: () => Promise<void>,
): Promise<Outage & { killedAtMs: number }> {
  await until('a hundred writes', () => (writer.acknowledged.length >= 100 ? true : undefined));
  const killedAtMs = Date.now();
  const gone = regions.kill('us-east-1');
  await gone;
  await afterKill();
  const first = await until('a write after the kill', () =>
    writer.acknowledged.find((each) => each.sentAtMs >= killedAtMs && each.host === regions.regions['us-west-2'].database.address),
  );
  return { outageMs: first.atMs - killedAtMs, lost: (await missingRows(regions, writer, killedAtMs)).length, killedAtMs };
}

async function holdfastRun(): Promise<Outage> {
  const regions = await startTwoRegions({ databaseOnly: true });
  const writer = writerOf(regions);
  let served: Served | undefined;
  try {
    served = await startServing(regions);
    writer.start();
    return await killAndMeasure(regions, writer, async () => {});
  } finally {
    await writer.stop();
    await served?.serve.stop();
    await regions.stop();
  }
}

async function floorRun(): Promise<Outage> {
  const regions = await startTwoRegions({ databaseOnly: true });
  const writer = writerOf(regions);
  try {
    writer.start();
    const { database } = regions.regions['us-west-2'];
    return await killAndMeasure(regions, writer, async () => {
      await runProgram([...database.commandPrefix, `${database.binDirectory}/pg_ctl`, 'promote', '-W', '-D', database.dataDirectory]);
    });
  } finally {
    await writer.stop();
    await regions.stop();
  }
}

interface AsyncRun {
  readonly lost: readonly number[];
  readonly inside: number;
  readonly windowMs: number;
  readonly truthMs: number;
  readonly salvagedExactly: boolean;
}

async function asyncRun(): Promise<AsyncRun> {
  const regions = await startTwoRegions({ databaseOnly: true, replication: 'asynchronous', lossBudget: '10s' });
  const east = regions.regions['us-east-1'].database;
  const west = regions.regions['us-west-2'].database;
  const link = await LateLink.open({ host: east.address, port: east.port, lateMs: 40 });
  const writer = writerOf(regions);
  let served: Served | undefined;
  let salvage: string | undefined;
  try {
    await west.query(
      `ALTER SYSTEM SET primary_conninfo = 'host=${link.address} port=${link.port} user=replicator password=${east.passwords.replicator} application_name=orders_db_us_west_2'`,
    );
    await west.query('SELECT pg_reload_conf()');
    await until('replication by the late link', async () =>
      (await east.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length === 1 && link.connections > 0
        ? true
        : undefined,
    );
    served = await startServing(regions);
    writer.start();
    await until('two hundred writes', () => (writer.acknowledged.length >= 200 ? true : undefined));
    const killedAtMs = Date.now();
    link.cut();
    await east.kill();
    await until('a write after the kill', () =>
      writer.acknowledged.find((each) => each.sentAtMs >= killedAtMs && each.host === west.address),
    );
    const lost = await missingRows(regions, writer, killedAtMs);
    const id = await until('the failover', () => served?.events.find((event) => event.event === 'execution')?.id as string | undefined);
    const answer = await until('the end of the failover', async () => {
      const { json } = await runHoldfast(regions, ['executions', id]);
      return (json.state as { outcome?: string }).outcome === undefined ? undefined : json;
    });
    const { byComponent } = answer.measured as { byComponent: { lossWindow?: { fromMs: number; toMs: number } }[] };
    const window = byComponent[0]?.lossWindow;
    const inside = lost.filter((each) => window && each.atMs >= window.fromMs && each.atMs <= window.toMs).length;
    await writer.stop();
    await east.start();
    const { json, exitCode } = await runHoldfast(regions, ['reprotect', '--yes']);
    if (exitCode !== 0) throw new Error(`re-protection failed: ${JSON.stringify(json).slice(0, 1_500)}`);
    const step = (json.steps as { verb: string; output?: { files?: string[] } }[]).find((each) => each.verb === 'salvage');
    salvage = step?.output?.files?.find((file) => file.endsWith('.jsonl'));
    const kept = salvage
      ? (await readFile(salvage, 'utf8'))
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line) as { table: string; row: { number?: number } })
      : [];
    const numbers = kept.filter((each) => each.table.endsWith('orders')).map((each) => Number(each.row.number));
    const wanted = lost.map((each) => each.number);
    // Rows that the client never saw acknowledged may be there too: they were committed, and the answer died with the server.
    const acknowledged = new Set(writer.acknowledged.filter((each) => each.host === east.address).map((each) => each.number));
    const salvagedAcknowledged = numbers.filter((number) => acknowledged.has(number)).toSorted((left, right) => left - right);
    const times = lost.map((each) => each.atMs);
    return {
      lost: wanted,
      inside,
      windowMs: window ? window.toMs - window.fromMs : 0,
      truthMs: times.length > 0 ? Math.max(...times) - Math.min(...times) : 0,
      salvagedExactly: JSON.stringify(salvagedAcknowledged) === JSON.stringify(wanted.toSorted((left, right) => left - right)),
    };
  } finally {
    await writer.stop();
    await served?.serve.stop();
    await link.close();
    await regions.stop();
    if (salvage) await rm(salvage.replace(/\/[^/]+$/, ''), { recursive: true, force: true });
  }
}

function summary(outages: readonly Outage[]): {
  outageMsMedian: number;
  outageMsMin: number;
  outageMsMax: number;
  lost: number;
  runs: number;
} {
  const sorted = outages.map((each) => each.outageMs).toSorted((left, right) => left - right);
  const median =
    sorted.length % 2 === 1
      ? (sorted[(sorted.length - 1) / 2] as number)
      : ((sorted[sorted.length / 2 - 1] as number) + (sorted[sorted.length / 2] as number)) / 2;
  return {
    outageMsMedian: median,
    outageMsMin: sorted[0] ?? 0,
    outageMsMax: sorted.at(-1) ?? 0,
    lost: outages.reduce((sum, each) => sum + each.lost, 0),
    runs: outages.length,
  };
}

const result: Record<string, unknown> = {};
const wanted = (name: string) => values.only === undefined || values.only === name;
// In turns, so that whatever else the machine does touches both alike.
const holdfast: Outage[] = [];
const floor: Outage[] = [];
for (let run = 1; run <= runs; run += 1) {
  if (wanted('holdfast')) {
    holdfast.push(await holdfastRun());
    say(`run ${run}: Holdfast ${holdfast.at(-1)?.outageMs} ms, lost ${holdfast.at(-1)?.lost}`);
  }
  if (wanted('floor')) {
    floor.push(await floorRun());
    say(`run ${run}: pg_ctl promote ${floor.at(-1)?.outageMs} ms, lost ${floor.at(-1)?.lost}`);
  }
}
if (holdfast.length > 0) result.holdfast = summary(holdfast);
if (floor.length > 0) result.floor = summary(floor);
if (wanted('async')) {
  const each: AsyncRun[] = [];
  for (let run = 1; run <= Math.max(1, Math.min(3, runs)); run += 1) {
    each.push(await asyncRun());
    const last = each.at(-1);
    say(
      `asynchronous run ${run}: lost ${last?.lost.length}, inside the reported window ${last?.inside} (window ${last?.windowMs} ms, truth ${last?.truthMs} ms), salvaged exactly: ${last?.salvagedExactly}`,
    );
  }
  result.async = {
    lostCounted: each.reduce((sum, one) => sum + one.lost.length, 0),
    insideReportedWindow: each.reduce((sum, one) => sum + one.inside, 0),
    salvaged: each.every((one) => one.salvagedExactly),
    windowMinusTruthMsMax: Math.max(...each.map((one) => one.windowMs - one.truthMs)),
    runs: each.length,
  };
}
process.stdout.write(`${JSON.stringify(result)}\n`);
