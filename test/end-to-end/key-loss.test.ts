/**
 * The day on which everything is lost but the bucket and the recovery key on a sheet of paper: no control plane, no spec, no state, no passphrase. `holdfast-restore` alone, in a
 * process that is given nothing else, brings a real PostgreSQL back from a real bucket, with every row that was archived.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createRepository } from '../../src/backups/create-repository.ts';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/postgresql/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import { s3Settings } from '../conformance/repository-backend-s3.ts';
import { askRestored } from '../systems/ask-restored.ts';
import { type RunningPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { startVersitygw } from '../systems/versitygw.ts';

const host = nodeHost({ logTo: 'silent' });
const component = 'orders';
const context = (signal: AbortSignal) => ({ signal, log: host.log, progress: () => {} });

function openSource(server: RunningPostgres) {
  const site = driver.siteOptions.parse({
    url: `postgresql://holdfast@${server.address}:${server.port}/postgres`,
    password: new Secret(server.passwords.holdfast, 'test'),
    replication: { user: 'replicator', password: new Secret(server.passwords.replicator, 'test') },
  });
  if (driver.backups === undefined) throw new Error('the driver has no backups');
  return driver.backups.openSource({
    host,
    platform: 'orders',
    component,
    region: 'east',
    options: driver.componentOptions.parse({}),
    site,
    sites: new Map([['east', site]]),
    replication: 'asynchronous',
    hands: undefined,
    probeTimeoutMs: 1_000,
  });
}

describeSystem(['postgresql-15', 'versitygw'], 'nothing left but the bucket and the recovery key', () => {
  it('[S5-09] [X-06] holdfast-restore brings PostgreSQL back with every archived row', async () => {
    const bucket = await startVersitygw();
    onTestFinished(() => bucket.stop());
    await bucket.makeBucket('dr-backups');
    const server = await startPrimary({ version: 15, freshIdentity: true });
    onTestFinished(() => server.stop());
    let recoveryKey = '';
    const repository = await createRepository({
      backend: new S3Store(s3Settings(bucket, 'dr-backups', { prefix: 'orders/' }), host),
      platform: 'orders',
      host,
      encryption: {},
      confirmRecoveryKey: async (key) => {
        recoveryKey = key;
        return key;
      },
    });
    onTestFinished(() => repository.close());
    await server.query('CREATE TABLE orders (id int PRIMARY KEY, note text)');
    await server.query("INSERT INTO orders SELECT n, 'before ' || n FROM generate_series(1, 5000) n");

    const stop = new AbortController();
    const source = openSource(server);
    const openArchive = (identity: string) => repository.openArchive(component, identity);
    let archivedMs = 0;
    const onArchived = ({ atMs }: { readonly atMs: number }) => {
      archivedMs = atMs;
    };
    const archiving = source.archive?.(openArchive, { onArchived }, context(stop.signal));
    const writing = await repository.beginBackup({ component, backupId: 'base-1', what: 'base', signal: stop.signal });
    const taking = openSource(server);
    const facts = await taking.take('base', writing.sink, { fingerprintKey: writing.fingerprintKey, openArchive }, context(stop.signal));
    await writing.commit(facts);
    await taking.close();
    await server.query("INSERT INTO orders SELECT n, 'after ' || n FROM generate_series(5001, 6000) n");
    const lastMs = Date.now();
    await expect.poll(() => archivedMs > lastMs, { timeout: 30_000 }).toBe(true);
    stop.abort();
    await archiving;
    await source.close();
    await server.kill();

    const directory = await temporaryDirectory('key-loss');
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const into = join(directory, 'copy');
    const program = resolve(import.meta.dirname, '../../restore/holdfast-restore.mjs');
    const env = {
      PATH: process.env.PATH ?? '',
      HOLDFAST_KEY: recoveryKey,
      AWS_ACCESS_KEY_ID: bucket.accessKeyId,
      AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
      AWS_REGION: bucket.region,
      AWS_ENDPOINT_URL: bucket.endpoint,
    };
    const said = await new Promise<string>((done, failed) =>
      execFile(
        process.execPath,
        [program, 'restore', 's3://dr-backups/orders', component, '--into', into],
        { env, cwd: directory },
        (error, stdout, stderr) => (error === null ? done(stdout) : failed(new Error(stderr))),
      ),
    );
    expect(said).toContain('restored orders base-1');
    const question =
      'SELECT count(*)::int AS rows, max(id) AS newest, md5(string_agg(id || note, $$,$$ ORDER BY id)) AS content FROM orders';
    const rows = Array.from({ length: 6_000 }, (_, index) => `${index + 1}${index < 5_000 ? 'before' : 'after'} ${index + 1}`);
    const content = createHash('md5').update(rows.join(',')).digest('hex');
    expect(await askRestored(into, server, question)).toEqual({ rows: 6_000, newest: 6_000, content });
  });
});
