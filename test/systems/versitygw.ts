/**
 * A real server that speaks S3: versitygw over a directory, with versions and Object Lock where a bucket asks for them. Every bucket is made by `makeBucket`.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBucketWith, type ObjectStoreServer } from './object-store.ts';
import { freePort } from './ports.ts';
import { findVersitygw } from './programs.ts';
import { startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface VersitygwOptions {
  readonly address?: string;
  readonly region?: string;
  readonly dir?: string;
  readonly outliveParent?: boolean;
}

export async function startVersitygw(options: VersitygwOptions = {}): Promise<ObjectStoreServer> {
  const program = findVersitygw();
  if (program === undefined) throw new Error('versitygw is missing: run "sh tools/bootstrap/bootstrap.sh --object-stores"');
  const address = options.address ?? '127.0.0.1';
  const port = await freePort(address);
  const dir = await serverDirectory(options.dir, 'versitygw', options);
  const [objects, versions] = [join(dir, 'objects'), join(dir, 'versions')];
  await mkdir(objects);
  await mkdir(versions);
  const region = options.region ?? 'us-east-1';
  const credentials = { accessKeyId: 'holdfast-test', secretAccessKey: 'not-a-real-secret-7f3a' };
  const running = await startServer({
    name: `versitygw ${address}:${port}`,
    address,
    port,
    dir,
    command: [
      program,
      '--port',
      `${address}:${port}`,
      '--region',
      region,
      '--keep-alive',
      '--quiet',
      'posix',
      '--versioning-dir',
      versions,
      objects,
    ],
    env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    isReady: async () => (await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(2_000) })).status === 403,
    outliveParent: options.outliveParent ?? false,
  });
  const server = { endpoint: `http://${address}:${port}`, region, ...credentials };
  return Object.assign(running, server, { makeBucket: makeBucketWith(server) });
}
