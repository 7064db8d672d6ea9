/** What is wrong before Holdfast comes: two primaries, roles that are not the spec's, a state on a full disk. It says so, and touches nothing. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { describeSystem, runsInCi } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { DatabaseWriter, missingFrom } from './database-writer.ts';
import { decisionsOf, executionOf, type RunningProgram, runHoldfast, serveUntilHealthy, startHoldfast, until } from './holdfast-program.ts';

const outside = { localAddress: '127.0.9.9' };
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  while (cleanups.length > 0) await cleanups.pop()?.();
});

async function build(): Promise<TwoRegions> {
  const platform = await startTwoRegions({ databaseOnly: true, coolDown: '1s' });
  cleanups.push(() => platform.stop());
  return platform;
}

async function watching(platform: TwoRegions): Promise<RunningProgram> {
  const serve = startHoldfast(platform, ['serve'], { timeoutMs: 600_000 });
  cleanups.push(() => serve.stop());
  await until('serve has looked', () => decisionsOf(serve).find((event) => event.verdict.state !== 'unknown'));
  return serve;
}

describeSystem(['postgresql', 'sshd'], 'roles that are wrong from the start', () => {
  it('[S5-33] two primaries: named by check, and never failed over to', async () => {
    const platform = await build();
    const { database: active } = platform.regions['us-east-1'];
    const { database: other } = platform.regions['us-west-2'];
    await other.query('SELECT pg_promote()');
    const check = await runHoldfast(platform, ['check']);
    expect(check).toMatchObject({ exitCode: 3, json: { ready: false } });
    expect(JSON.stringify(check.json.readiness)).toContain('orders-db is a primary in both us-east-1 and us-west-2');
    const serve = await watching(platform);
    await active.kill();
    const decision = await until('the region is lost', () => decisionsOf(serve).find((event) => event.verdict.state === 'lost'));
    expect(decision.decision.act).toBe(false);
    expect(decision.decision.summary).toContain('orders-db in us-west-2 is a primary itself, not a standby of us-east-1');
    const byHand = await runHoldfast(platform, ['failover', '--yes', '--accept-loss', 'any', '--approver', 'ada', '--approver', 'bob']);
    expect(byHand.exitCode).not.toBe(0);
    expect(JSON.stringify(byHand.json)).toContain('is a primary itself');
    await delay(3_000);
    expect(serve.events.filter((event) => event.event === 'execution')).toEqual([]);
  });

  it('[S5-33] the spec says us-east-1 is active and the primary is in us-west-2: said at once, and nothing is done about it', async () => {
    const platform = await build();
    const { database: east } = platform.regions['us-east-1'];
    const { database: west } = platform.regions['us-west-2'];
    // As somebody would by hand: the standby is promoted, and the former primary follows it.
    await east.stop({ keepDirectory: true });
    await west.query('SELECT pg_promote()');
    await west.query("ALTER SYSTEM SET synchronous_standby_names = ''");
    await west.query('SELECT pg_reload_conf()');
    await west.query("SELECT pg_create_physical_replication_slot('orders_db_us_east_1', true)");
    const follow = `primary_conninfo = 'host=${west.address} port=${west.port} user=replicator password=${west.passwords.replicator} application_name=orders_db_us_east_1'\nprimary_slot_name = 'orders_db_us_east_1'\n`;
    await writeFile(join(east.dataDirectory, 'postgresql.auto.conf'), follow);
    await writeFile(join(east.dataDirectory, 'standby.signal'), '');
    await east.start();
    await until('it follows', async () =>
      (await west.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length > 0 ? true : undefined,
    );

    const check = await runHoldfast(platform, ['check']);
    expect(check).toMatchObject({ exitCode: 3, json: { ready: false } });
    expect(JSON.stringify(check.json.readiness)).toContain(
      'orders-db in us-east-1, the active region, is a standby; the primary is in us-west-2',
    );
    const serve = await watching(platform);
    for (const args of [
      ['failover', '--yes'],
      ['switchover', '--yes'],
      ['reprotect', '--yes'],
    ]) {
      const { exitCode, json } = await runHoldfast(platform, args, { timeoutMs: 60_000 });
      expect(exitCode, args.join(' ')).not.toBe(0);
      expect(JSON.stringify(json), args.join(' ')).toMatch(/is a primary itself|is a standby|does not receive/);
    }
    expect(await east.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);
    expect(await west.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: false }]);
    const writer = new DatabaseWriter(west, outside, 1).start();
    await until('west goes on', () => writer.acknowledged[20]);
    await writer.stop();
    expect(serve.events.filter((event) => event.event === 'execution')).toEqual([]);
  });
});

const mayMount = process.getuid?.() === 0;
if (!mayMount && runsInCi()) throw new Error('mounting a small disk needs root, and CI may skip nothing');
if (!mayMount) process.stderr.write('\n*** SKIPPED: "a full disk" needs root, to mount a small one\n');

describe.skipIf(!mayMount)('a full disk', () => {
  describeSystem(['postgresql', 'sshd'], 'under the state', () => {
    it('begins nothing, says why, and serve goes on by itself once there is space', async () => {
      const platform = await build();
      const disk = join(platform.directory, 'small-disk');
      await mkdir(disk);
      await runProgram(['mount', '-t', 'tmpfs', '-o', 'size=4m,mode=0755', 'tmpfs', disk]);
      cleanups.push(() => runProgram(['umount', '-l', disk], { anyExit: true }));
      const where = { ...platform, stateDirectory: join(disk, 'state') };
      const serve = await serveUntilHealthy(where);
      cleanups.push(() => serve.stop());
      const { database: active } = platform.regions['us-east-1'];
      const { database: standby } = platform.regions['us-west-2'];
      const writer = new DatabaseWriter(active, outside, 1).start();
      cleanups.push(() => writer.stop());
      await until('acknowledged writes', () => writer.acknowledged[10]);

      const fill = join(disk, 'filler');
      await runProgram(['dd', 'if=/dev/zero', `of=${fill}`, 'bs=4k'], { anyExit: true });
      await until('serve notices', () => (/STATE_FULL|no space|full/i.test(serve.output()) ? true : undefined));
      const byHand = await runHoldfast(where, ['switchover', '--yes'], { timeoutMs: 60_000 });
      expect(byHand.exitCode).toBe(1);
      expect(JSON.stringify(byHand.json)).toMatch(/STATE_FULL/);
      await active.kill();
      await writer.stop();
      await delay(4_000);
      expect(await standby.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);

      await rm(fill);
      const done = await executionOf(where, serve);
      expect(done.state.outcome).toBe('done');
      expect(await standby.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: false }]);
      expect(await missingFrom(standby, outside, writer.acknowledged)).toEqual([]);
    });
  });
});
