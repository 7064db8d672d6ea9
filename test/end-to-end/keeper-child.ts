/**
 * A controller of one region that does nothing but hold the primary lease: the real keeper and the real guard, on a state in SQLite that the test opens as well. SIGUSR2 cuts the state off,
 * SIGTERM is the orderly end. Says one line of JSON for each change.
 *
 * Arguments: the spec, the directory, the region.
 */
import { join } from 'node:path';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { openSites } from '../../src/control/open-sites.ts';
import { openKeeper } from '../../src/control/primary/open-keeper.ts';
import { openHands } from '../../src/hands/open-hands.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog, repositoryCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { nodeProgram } from './holdfast-program.ts';

const [specFile = '', directory = '', region = ''] = process.argv.slice(2);
const host = nodeHost({ logLevel: 'info', logTo: join(directory, 'keeper.log') });
const spec = await loadSpec([specFile], { catalog: driverCatalog, repositories: repositoryCatalog, host, resolveSecrets: true });
const real = await openSqliteStore({ path: join(directory, 'state.sqlite'), host, platform: spec.name });

let isCut = false;
process.on('SIGUSR2', () => {
  isCut = true;
});
/** As a network that drops everything: no request comes back. */
const store = new Proxy(real, {
  get(target, name) {
    const value = Reflect.get(target, name) as unknown;
    if (typeof value !== 'function') return value;
    return (...given: unknown[]) => (isCut && name !== 'close' ? new Promise(() => {}) : Reflect.apply(value, target, given));
  },
}) as StateStore;

const sites = openSites(spec, driverCatalog, host, (wanted) => openHands(wanted, { host }));
const guard = { command: [nodeProgram, join(import.meta.dirname, '..', '..', 'src', 'guard.ts')], directory };
const keeper = openKeeper({ spec, region, store, host, sites: sites.sites, watch: { observations: new Map() }, guard });
if (keeper === undefined) throw new Error('this spec has nothing to be kept');
keeper.start();

let last = '';
const ending = Promise.withResolvers<void>();
process.on('SIGTERM', () => ending.resolve());
const timer = setInterval(() => {
  const now = { state: keeper.state, token: keeper.lease?.token ?? null, fencedAtMs: keeper.lastReport?.doneAtMs ?? null };
  const line = JSON.stringify(now);
  if (line !== last) process.stdout.write(`${line}\n`);
  last = line;
}, 10);
await ending.promise;
clearInterval(timer);
await keeper.stop();
await sites.close();
await real.close();
process.exit(0);
