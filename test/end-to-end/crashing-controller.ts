/**
 * Holdfast itself, with the real drivers, hands and state, but killed at a chosen commit of its journal:
 *
 *   node crashing-controller.ts '{"crash":{"moment":"after","commit":7},"acknowledgedFile":"/tmp/x","forget":false}' switchover --yes
 */
import { runCommandLine } from '../../src/cli/program.ts';
import { processWiring } from '../../src/main.ts';
import { type CrashingStoreOptions, crashingStore } from './crashing-store.ts';

const [options, ...words] = process.argv.slice(2);
const parsed = JSON.parse(options ?? '') as CrashingStoreOptions;
const wiring = await processWiring();
process.exitCode = await runCommandLine(words, {
  ...wiring,
  openStore: async (parts) => crashingStore(await wiring.openStore(parts), parsed),
});
