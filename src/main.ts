/**
 * The program: joins the core with drivers, stores and hands, and gives it the real terminal, process and host. Nothing is decided here.
 *
 * Everything of ours is imported only once the compile cache is on: without types stripped and code compiled beforehand, starting takes three times as long.
 */
import { readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { extname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline/promises';
import { cacheDirectory } from './cache-directory.ts';
import type { Terminal } from './cli/terminal.ts';
import type { Wiring } from './cli/wiring.ts';

function processTerminal(): Terminal {
  let asking: Interface | undefined;
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  return {
    out: (text) => process.stdout.write(`${text}\n`),
    err: (text) => process.stderr.write(`${text}\n`),
    interactive,
    color: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
    columns: process.stdout.columns ?? 100,
    rows: process.stdout.rows ?? 40,
    redraw: (text) => process.stdout.write(`\u001b[H\u001b[2J${text}\n`),
    ask: async (question) => {
      asking = createInterface({ input: process.stdin, output: process.stdout });
      const closed = new Promise<undefined>((resolve) => asking?.once('close', () => resolve(undefined)));
      try {
        return await Promise.race([asking.question(question), closed]);
      } finally {
        asking.close();
      }
    },
  };
}

/** Ctrl-C ends the work in an orderly way; a second one ends the process at once. */
function endOnSignals(): AbortSignal {
  const ending = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (ending.signal.aborted) process.exit(1);
      ending.abort(new Error(`ended by ${name}`));
    });
  }
  return ending.signal;
}

/** It stays for as long as the controller does, and has little to do. */
const guardFlags = ['--max-semi-space-size=1', '--max-old-space-size=128'];

function versionOfPackage(): string {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}

export async function processWiring(overrides: Partial<Wiring> = {}): Promise<Wiring> {
  const [{ openHands }, { nodeHost }, { driverCatalog, repositoryCatalog }, { openSqliteStore }] = await Promise.all([
    import('./hands/open-hands.ts'),
    import('./host/node/node-host.ts'),
    import('./registry.generated.ts'),
    import('./stores/sqlite/sqlite-store.ts'),
  ]);
  return {
    version: versionOfPackage(),
    catalog: driverCatalog,
    repositories: repositoryCatalog,
    terminal: processTerminal(),
    pid: process.pid,
    person: userInfo().username,
    environment: process.env,
    workingDirectory: process.cwd(),
    cacheDirectory: cacheDirectory(process.env),
    signal: endOnSignals(),
    openHost: ({ logLevel, logTo }) => nodeHost({ logLevel, logTo } as Parameters<typeof nodeHost>[0]),
    openStore: async ({ directory, host, platform, state }) => {
      const path = join(directory, 'state.sqlite');
      if (state === undefined) return await openSqliteStore({ path, host, platform });
      // Its client is large, and only who has such a state needs it.
      const { openEtcdStore } = await import('./stores/etcd/etcd-store.ts');
      return await openEtcdStore({ ...state.etcd, host, platform, directory, mayBegin: !(await host.files.exists(path)) });
    },
    sharedState: {
      openImport: async ({ directory, host, platform, state }) =>
        (await import('./stores/etcd/etcd-import.ts')).openEtcdImport({ ...state.etcd, host, platform, directory }),
      accept: async ({ directory, host, platform, state }, by, reason) =>
        (await import('./stores/etcd/etcd-store.ts')).acceptEtcdState({ ...state.etcd, host, platform, directory }, by, reason),
    },
    openHands: (host) => (spec) => openHands(spec, { host }),
    guardCommand: [process.execPath, ...guardFlags, join(import.meta.dirname, `guard${extname(import.meta.filename)}`)],
    serveMetrics: async (face) => (await import('./api/serve-metrics.ts')).serveMetrics(face),
    ...overrides,
  };
}

/** Runs one command line in this process, with everything that is real. */
export async function runHere(argv: readonly string[]): Promise<number> {
  enableCompileCache(cacheDirectory(process.env));
  const { runCommandLine } = await import('./cli/program.ts');
  return await runCommandLine(argv, await processWiring());
}

if (import.meta.main) process.exitCode = await runHere(process.argv.slice(2));
