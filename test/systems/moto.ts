/**
 * moto, a stand-in for AWS that keeps everything in memory: knows encryption with KMS keys, Object Lock and versions, and checks no signatures. What it can't do, the other store of
 * objects here can, and the other way round.
 */
import { makeBucketWith, type ObjectStoreServer } from './object-store.ts';
import { freePort } from './ports.ts';
import { findMoto } from './programs.ts';
import { startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export async function startMoto(options: { readonly address?: string; readonly dir?: string } = {}): Promise<ObjectStoreServer> {
  const found = findMoto();
  if (found === undefined) throw new Error('moto is missing: run "sh tools/bootstrap/bootstrap.sh --object-stores"');
  const address = options.address ?? '127.0.0.1';
  const port = await freePort(address);
  const dir = await serverDirectory(options.dir, 'moto', {});
  const running = await startServer({
    name: `moto ${address}:${port}`,
    address,
    port,
    dir,
    command: [found.python, '-m', 'moto.server', '-H', address, '-p', String(port)],
    env: { PYTHONPATH: found.packages, PYTHONDONTWRITEBYTECODE: '1', HOME: dir },
    isReady: async () => (await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(2_000) })).ok,
    readyTimeoutMs: 60_000,
  });
  const server = {
    endpoint: `http://${address}:${port}`,
    region: 'us-east-1',
    accessKeyId: 'holdfast-test',
    secretAccessKey: 'not-checked',
  };
  return Object.assign(running, server, { makeBucket: makeBucketWith(server) });
}
