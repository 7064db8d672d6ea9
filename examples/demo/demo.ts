/**
 * npm run demo [-- --json] [-- --keep]
 * npm run demo -- recovery [--json]        another story: somebody drops a table, and it is brought back (recovery.ts)
 * npm run demo -- regions [--json]         the same story with a controller in each region and one in a witness region: the region dies with its controller and its part of the state
 *
 * Builds two regions from real servers on loopback, lets Holdfast watch them while a customer places orders, kills one region, shows the failover, brings the region back, re-protects it
 * and fails back. Ends with a report; cleans up after itself, unless --keep.
 */

import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { howToInstall, type SystemName, systemAvailable } from '../../test/systems/available.ts';
import { ServeProcess } from './holdfast-process.ts';
import type { OrdersClient } from './orders-client.ts';
import { writeReport } from './report.ts';
import { Story, type Teller } from './story.ts';
import { startTwoRegions, type TwoRegions } from './two-regions.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
    'report-directory': { type: 'string', default: join(process.cwd(), 'reports') },
  },
});

if (options.help) {
  process.stdout.write(
    'npm run demo [-- --json]   one line of JSON at the end\n             [-- --keep]   leave the two regions and holdfast serve running, to play with\n       npm run demo -- recovery   a table is dropped and rows are deleted; both are brought back from backups\n       npm run demo -- regions    three controllers with their state in etcd; one dies with its region\n',
  );
  process.exit(0);
}

if (positionals.length > 1 || (positionals[0] !== undefined && !['recovery', 'regions'].includes(positionals[0]))) {
  process.stderr.write(`There is no demo "${positionals.join(' ')}": leave the name away, or write recovery or regions.\n`);
  process.exit(2);
}

const fleet = positionals[0] === 'regions';
if (fleet && options.keep) {
  process.stderr.write('--keep is for the demo with one controller.\n');
  process.exit(2);
}

const needed: readonly SystemName[] = ['postgresql', 'redis', 'bind', 'sshd', ...(fleet ? (['etcd'] as const) : [])];
const missing = needed.filter((name) => !systemAvailable(name));
if (missing.length > 0) {
  process.stderr.write(
    `The demo needs real servers that this machine does not have: ${missing.join(', ')}.\n${missing.map((name) => `  ${howToInstall(name)}`).join('\n')}\n`,
  );
  process.exit(2);
}

const live = process.stdout.isTTY === true && !options.json;
const color = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const paint = (code: number, text: string) => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
const lines: { readonly stamp: string; readonly text: string }[] = [];
const startedAtMs = Date.now();
const out = options.json ? process.stderr : process.stdout;

const teller: Teller = {
  say: (text) => {
    const line = { stamp: `${((Date.now() - startedAtMs) / 1_000).toFixed(2).padStart(7)} s  `, text };
    lines.push(line);
    if (!live) out.write(`${paint(2, line.stamp)}${text}\n`);
  },
  show: ({ phase, client, downSinceMs }) => live && drawScreen(phase, client, downSinceMs),
};

/** Breaks each line between words, so that the screen knows how many rows it has and nothing pushes the head off its top. */
function screenRows(width: number): string[] {
  return lines.flatMap(({ stamp, text }) => {
    const rows: string[] = [];
    let row = '';
    for (const word of text.split(' ')) {
      const longer = row === '' ? word : `${row} ${word}`;
      if (row !== '' && stamp.length + longer.length > width) {
        rows.push(row);
        row = word;
      } else row = longer;
    }
    return [...rows, row].map((each, index) => `${index === 0 ? paint(2, stamp) : ' '.repeat(stamp.length)}${each}`);
  });
}

function drawScreen(phase: string, client: OrdersClient | undefined, downSinceMs: number | undefined): void {
  const width = process.stdout.columns ?? 100;
  const recent = client?.acknowledgements.filter((each) => each.atMs > Date.now() - 1_000).length ?? 0;
  const head = [
    `${paint(1, 'Holdfast demo')}   ${downSinceMs === undefined ? paint(32, phase) : paint(31, phase)}`,
    '',
    client
      ? `orders acknowledged ${paint(1, String(client.acknowledgements.length))}   ${recent}/s   by ${client.last?.region ?? 'nobody yet'}`
      : 'building two regions …',
    downSinceMs === undefined
      ? ''
      : paint(31, `no order acknowledged for ${((Date.now() - Math.max(downSinceMs, client?.last?.atMs ?? 0)) / 1_000).toFixed(1)} s`),
    '',
  ];
  const rows = Math.max(5, (process.stdout.rows ?? 40) - head.length - 2);
  const body = screenRows(width).slice(-rows);
  process.stdout.write(`\u001b[H\u001b[2J${[...head, ...body].join('\n')}\n`);
}

const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (ending.signal.aborted) process.exit(1);
    out.write('\nending: stopping everything that was started …\n');
    ending.abort(new Error(`ended by ${name}`));
  });
}

async function keepRunning(regions: TwoRegions): Promise<void> {
  const serve = new ServeProcess(regions, () => {}, { outliveParent: true });
  const environment = Object.entries({ ...regions.env, HOLDFAST_SPEC: regions.specFile, HOLDFAST_STATE: regions.stateDirectory });
  const file = join(regions.directory, 'environment.sh');
  await writeFile(file, `${environment.map(([name, value]) => `export ${name}='${value}'`).join('\n')}\n`, { mode: 0o600 });
  await writeFile(join(regions.directory, 'directories.json'), JSON.stringify(regions.directories));
  out.write(
    [
      '',
      `Left running for you, with holdfast serve as process ${serve.pid}:`,
      `  . ${file}`,
      '  npm run holdfast -- status --watch',
      '  npm run holdfast -- plan failover',
      '  npm run holdfast -- switchover',
      `To end all of it: node_modules/.bin/node examples/demo/stop.ts ${regions.directory}`,
      '',
    ].join('\n'),
  );
}

async function run(): Promise<number> {
  const state = fleet ? '; etcd in both and in a witness region' : '';
  teller.say(`building two regions: PostgreSQL, Redis, the orders service and sshd in each; BIND in a third place${state}`);
  const ticker = setInterval(() => story?.show(), 200);
  let regions: TwoRegions | undefined;
  let story: Story | undefined;
  let kept = false;
  try {
    teller.show({ phase: 'building', client: undefined, downSinceMs: undefined });
    regions = await startTwoRegions({ outliveParent: options.keep, fleet });
    teller.say(`built; its spec is ${regions.specFile}`);
    story = new Story(regions, teller, ending.signal, fleet);
    const result = await story.tell();
    await story.end();
    const page = await writeReport(options['report-directory'], result);
    clearInterval(ticker);
    summarize(result, page);
    if (options.keep) {
      await keepRunning(regions);
      kept = true;
    }
    return result.held ? 0 : 1;
  } finally {
    clearInterval(ticker);
    await story?.end();
    if (!kept) await regions?.stop();
  }
}

function summarize(result: Awaited<ReturnType<Story['tell']>>, page: string): void {
  if (live) process.stdout.write(`\u001b[H\u001b[2J${screenRows(process.stdout.columns ?? 100).join('\n')}\n`);
  const { timeline: _timeline, held, broken, ...figures } = result;
  const text = [
    '',
    held ? paint(32, 'Everything held.') : paint(31, `Not everything held: ${broken.join('; ')}`),
    `  outage that the customer saw   ${result.outageMs} ms   (by Holdfast's canaries: ${result.measuredOutageMs} ms)`,
    `  orders acknowledged, lost      ${result.acknowledged}, ${result.lost}   (canaries lost: ${result.lossMeasuredByCanary})`,
    `  failover; promote to route     ${result.failoverMs} ms; ${result.promoteToRouteMs} ms`,
    `  failback, outage, lost         ${result.failbackMs} ms, ${result.failbackOutageMs} ms, ${result.failbackLost}`,
    `  report                         ${relative(process.cwd(), page)}`,
    '',
  ].join('\n');
  out.write(text);
  if (options.json) process.stdout.write(`${JSON.stringify({ ...figures, report: page })}\n`);
}

const story = positionals[0] === 'recovery' ? async () => (await import('./recovery.ts')).tellRecovery(options.json) : run;
process.exitCode = await story().catch((error: unknown) => {
  process.stderr.write(`\nThe demo has failed: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});
