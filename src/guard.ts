/**
 * `guard SOCKET LOG`: the process beside a controller that fences its region when the lease of the primary is not renewed in time. Started by `holdfast serve`, never by hand.
 *
 * It asks nothing of its environment: what it needs comes through the socket. See src/control/primary/guard-program.ts.
 */
import { enableCompileCache } from 'node:module';
import { cacheDirectory } from './cache-directory.ts';

async function main([socketPath, logPath]: readonly string[]): Promise<void> {
  if (socketPath === undefined || logPath === undefined) throw new Error('usage: guard SOCKET LOG');
  enableCompileCache(cacheDirectory(process.env));
  const [{ GuardProgram }, { openHands }, { nodeHost }, { driverCatalog }] = await Promise.all([
    import('./control/primary/guard-program.ts'),
    import('./hands/open-hands.ts'),
    import('./host/node/node-host.ts'),
    import('./registry.generated.ts'),
  ]);
  const host = nodeHost({ logLevel: 'info', logTo: logPath });
  const program = new GuardProgram({
    host,
    catalog: driverCatalog,
    openHands: (spec) => openHands(spec, { host }),
    socketPath,
    pid: process.pid,
  });
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => program.askToEnd());
  await program.run();
}

await main(process.argv.slice(2));
process.exit(0);
