/**
 * What probing 2,000 HTTP services once a second costs one process: its processor time as a share of one core, and its memory. The services are listeners (ten unless told) in another
 * process. Run as: node bench/http-probes.ts [SITES] [SECONDS] [LISTENERS]
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { driver } from '../src/drivers/http-service/driver.ts';
import { nodeHost } from '../src/host/node/node-host.ts';
import { openDriverSite } from '../test/conformance/open-site.ts';

const sites = Number(process.argv[2] ?? 2_000);
const seconds = Number(process.argv[3] ?? 10);

const server = fork(fileURLToPath(new URL('./servers/http-listeners.ts', import.meta.url)), [process.argv[4] ?? '10'], {
  stdio: 'inherit',
});
const ports = await new Promise<readonly number[]>((resolve) => server.once('message', (message) => resolve(message as number[])));
const host = nodeHost({ logTo: 'silent' });
const options = { health: { path: '/health/detailed', json: { 'components.*.status': 'healthy' } } };
const opened = Array.from({ length: sites }, (_, index) =>
  openDriverSite(driver, { host, options, site: { url: `http://127.0.0.1:${ports[index % ports.length]}` }, probeTimeoutMs: 900 }),
);

let probes = 0;
let notUp = 0;
async function probeAll(): Promise<void> {
  const begin = host.clock.monotonicMs();
  // Spread over the second, as a watcher spreads them.
  await Promise.all(
    opened.map(async (site, index) => {
      await host.clock.sleep((index / sites) * 900);
      const reading = await site.observe(new AbortController().signal);
      probes += 1;
      if (reading.health !== 'up') notUp += 1;
    }),
  );
  await host.clock.sleep(Math.max(0, 1_000 - (host.clock.monotonicMs() - begin)));
}

try {
  await probeAll(); // the first round opens the connections
  probes = 0;
  const cpu = process.cpuUsage();
  const begin = host.clock.monotonicMs();
  for (let round = 0; round < seconds; round += 1) await probeAll();
  const tookMs = host.clock.monotonicMs() - begin;
  const { user, system } = process.cpuUsage(cpu);
  const share = (user + system) / 1_000 / tookMs;
  const residentMiB = Math.round(process.memoryUsage().rss / 1_048_576);
  console.log(
    JSON.stringify({
      sites,
      probesPerSecond: Math.round(probes / (tookMs / 1_000)),
      coreShare: Number(share.toFixed(3)),
      residentMiB,
      notUp,
    }),
  );
} finally {
  server.kill();
}
process.exit(0);
