/**
 * The shared state burns down together with the active region; one region is left, and a person. What the program then does is run for real: PostgreSQL, etcd, the command line.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { advanceEpoch, ensurePlatformState, readPlatformState } from '../../src/state/platform-state.ts';
import { openEtcdStore } from '../../src/stores/etcd/etcd-store.ts';
import { type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { cloneStandby, type RunningPostgres, startPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { runHoldfast, type Where } from './holdfast-program.ts';

describeSystem(['postgresql', 'etcd'], 'with the shared state gone for good and one region left', () => {
  let east: RunningPostgres;
  let west: RunningPostgres;
  let etcd: RunningEtcd;
  let directory: string;
  let where: Where;

  const openShared = () =>
    openEtcdStore({
      host: nodeHost({ logTo: 'silent' }),
      platform: 'orders',
      directory: join(directory, 'looker'),
      endpoints: [`http://${etcd.address}:${etcd.port}`],
      prefix: '/holdfast/orders/',
      timeoutMs: 2_000,
    });

  beforeAll(async () => {
    directory = await temporaryDirectory('break-glass');
    [east, etcd] = await Promise.all([startPrimary(), startEtcd()]);
    west = await startPostgres(await cloneStandby(east, { applicationName: 'orders_db_west' }));
    const site = (server: RunningPostgres, hands: string) =>
      `{ url: "postgresql://holdfast@127.0.0.1:${server.port}/postgres", password: { env: ORDERS_PASSWORD }, data-directory: ${server.dataDirectory}, bin-directory: ${server.binDirectory}${hands} }`;
    const local = east.owner === undefined ? ', hands: local' : `, hands: { local: { as: ${east.owner} } }`;
    const specFile = join(directory, 'spec.yaml');
    await writeFile(
      specFile,
      `holdfast: v1
name: orders
state: { etcd: { endpoints: ["http://${etcd.address}:${etcd.port}"], timeout: 1s } }
controllers: { regions: [east, west, third] }
regions: { east: { role: active }, west: { role: standby }, third: { role: witness } }
components:
  orders-db:
    driver: postgresql
    vital: true
    replication: asynchronous
    sites:
      east: ${site(east, local)}
      west: ${site(west, local)}
`,
    );
    where = {
      specFile,
      stateDirectory: join(directory, 'state'),
      env: { ORDERS_PASSWORD: east.passwords.holdfast, HOLDFAST_REGION: 'west' },
    };
    const shared = await openShared();
    await ensurePlatformState(shared, 'orders', 'east');
    await shared.close();
  });

  afterAll(async () => {
    await Promise.allSettled([west?.stop(), east?.stop(), etcd?.stop()]);
    await removeDirectory(directory);
  });

  it('[E5-04] fails over by the word of a person, keeps the old state from acting, and is brought into it later', async () => {
    const breakGlass = [
      'failover',
      '--break-glass',
      '--yes',
      '--reason',
      'etcd and east burnt down',
      '--approver',
      'ann',
      '--approver',
      'bob',
    ];
    const reachable = await runHoldfast(where, [...breakGlass, '--fenced-by', 'carl']);
    expect(reachable.json.error).toMatchObject({ code: 'EXECUTION_NOT_ALLOWED', message: expect.stringContaining('can be reached') });

    await Promise.all([etcd.kill(), east.kill()]);
    const nobody = await runHoldfast(where, breakGlass);
    expect(nobody.json.error).toMatchObject({ code: 'USAGE', message: expect.stringContaining('Who vouches') });
    expect((await west.query('SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(true);

    const done = await runHoldfast(where, [...breakGlass, '--fenced-by', 'carl', '--epoch', '7']);
    expect(done.json, done.err).toMatchObject({ outcome: 'done', epoch: 1_001, from: 'east', to: 'west' });
    const fence = done.json.steps.find((step: { verb: string }) => step.verb === 'fence');
    expect(fence).toMatchObject({ effect: 'person', output: { proof: 'person', evidence: expect.stringContaining('carl') } });
    expect((await west.query('SELECT pg_is_in_recovery() AS standby'))[0]?.standby).toBe(false);
    expect(await west.query('SELECT epoch::int, region FROM holdfast.epoch')).toEqual([{ epoch: 1_001, region: 'west' }]);
    // Run again, it finds its own work done.
    expect((await runHoldfast(where, breakGlass)).json).toMatchObject({ done: true });

    // The old state comes back, and does not know: whatever it is asked to do, it sees that it is behind.
    await etcd.start();
    for (const change of ['failover', 'switchover']) {
      const behind = await runHoldfast(where, [change, '--yes']);
      expect(behind.json.error).toMatchObject({ code: 'EPOCH_SUPERSEDED', message: expect.stringContaining('carries epoch 1001') });
    }
    const reconciled = await runHoldfast(where, ['state', 'reconcile', '--yes']);
    expect(reconciled.json, reconciled.err).toMatchObject({
      activeRegion: 'west',
      epoch: 1_001,
      before: { activeRegion: 'east', epoch: 1 },
    });
    const shared = await openShared();
    expect((await readPlatformState(shared))?.state).toMatchObject({ activeRegion: 'west', epoch: 1_001 });
    // From here on the shared state goes on as if it had done it itself.
    await advanceEpoch(shared, 1_002, 'the next one', 'west');
    await shared.close();
    const listed = await runHoldfast(where, ['executions', reconciled.json.executions[0]]);
    expect(listed.json.state.outcome).toBe('done');
    expect((await runHoldfast(where, ['state', 'reconcile', '--yes'])).json.error.code).toBe('EXECUTION_NOT_ALLOWED');
  });
});
