/**
 * Commands that a person ends with Ctrl-C, and executions that several processes touch: whatever was begun can be resumed, rolled back or aborted, nothing is done twice, and what an
 * abort leaves behind is said.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { RegionName } from '../../examples/demo/region.ts';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { describeSystem } from '../systems/requirement.ts';
import { DatabaseWriter, missingFrom } from './database-writer.ts';
import { type ProgramEnd, type RunningProgram, runHoldfast, serveUntilHealthy, startHoldfast, until } from './holdfast-program.ts';

const outside = { localAddress: '127.0.9.9' };

describeSystem(['postgresql', 'sshd'], 'commands that are interrupted', () => {
  let platform: TwoRegions;
  let serve: RunningProgram | undefined;
  let written = 0;

  beforeAll(async () => {
    platform = await startTwoRegions({ databaseOnly: true, automatic: false });
  });
  afterEach(async () => {
    await serve?.stop();
    serve = undefined;
  });
  afterAll(() => platform?.stop());

  const activeRegion = async (): Promise<RegionName> => (await runHoldfast(platform, ['status'])).json.activeRegion;
  const roles = async () => {
    const ask = async (region: RegionName) =>
      (await platform.regions[region].database.query('SELECT pg_is_in_recovery() AS standby'))[0]?.standby === true ? 'standby' : 'primary';
    return { 'us-east-1': await ask('us-east-1'), 'us-west-2': await ask('us-west-2') };
  };
  /** Ends the command with Ctrl-C once it has said that a step is done. */
  const interruptAfter = async (args: readonly string[], step: string): Promise<ProgramEnd> => {
    const running = startHoldfast(platform, args, { plain: true });
    await until(`${step} is done`, () => (new RegExp(`done +${step}`).test(running.output()) ? true : undefined));
    running.signal('SIGINT');
    return running.ended;
  };
  const openId = async (): Promise<string> => {
    const { json } = await runHoldfast(platform, ['executions', '--limit', '1']);
    return json.executions[0].id;
  };
  /** Some rows that were acknowledged, to be found again whatever happens after. */
  const writeSome = async () => {
    written += 1;
    const writer = new DatabaseWriter(platform.regions[await activeRegion()].database, outside, written * 1_000_000).start();
    await until('acknowledged writes', () => writer.acknowledged[5]);
    await writer.stop();
    return writer.acknowledged;
  };

  it('[X-02] a switchover, after its freeze: says what can be done, and resume ends it with nothing lost and nothing done twice', async () => {
    const rows = await writeSome();
    const end = await interruptAfter(['switchover', '--yes'], 'freeze orders-db us-east-1');
    expect(end.exitCode).toBe(1);
    expect(end.err).toMatch(/INTERRUPTED/);
    expect(end.err).toMatch(/holdfast resume.*holdfast rollback.*holdfast abort/);
    const id = await openId();
    const resumed = await runHoldfast(platform, ['resume']);
    expect(resumed).toMatchObject({ exitCode: 0, json: { execution: id, outcome: 'done' } });
    expect(await roles()).toEqual({ 'us-east-1': 'standby', 'us-west-2': 'primary' });
    expect(await missingFrom(platform.regions['us-west-2'].database, outside, rows)).toEqual([]);
    const { json } = await runHoldfast(platform, ['executions', id]);
    const applied = json.events
      .filter((event: { type: string }) => event.type === 'step-applied')
      .map((event: { stepId: string }) => event.stepId);
    expect(applied).toEqual([...new Set(applied)]);
  });

  it('[X-02] a switchover, after its freeze: rollback lets the old region take writes again', async () => {
    const before = await activeRegion();
    await interruptAfter(['switchover', '--yes'], `freeze orders-db ${before}`);
    const rolledBack = await runHoldfast(platform, ['rollback']);
    expect(rolledBack.json).toMatchObject({ outcome: 'rolled-back' });
    expect(await activeRegion()).toBe(before);
    await writeSome();
    await until('ready again', async () => ((await runHoldfast(platform, ['status'])).exitCode === 0 ? true : undefined));
  });

  it('[X-02] a switchover, after its freeze: abort says what stays, status says that nothing takes writes, and another switchover goes through', async () => {
    const before = await activeRegion();
    await interruptAfter(['switchover', '--yes'], `freeze orders-db ${before}`);
    const aborted = await runHoldfast(platform, ['abort', '--reason', 'changed my mind'], { plain: true });
    expect(aborted.out).toMatch(/stays: .*"freeze orders-db/);
    const status = await runHoldfast(platform, ['status']);
    expect(status.exitCode).toBe(3);
    expect(JSON.stringify(status.json.readiness.faults)).toContain(`orders-db in ${before}, the active region, takes no writes now`);
    expect(await runHoldfast(platform, ['switchover', '--yes'])).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    expect(await activeRegion()).not.toBe(before);
    await writeSome();
  });

  it('[X-02] a failover by hand, after its fence: resume promotes', async () => {
    const before = await activeRegion();
    const rows = await writeSome();
    await interruptAfter(['failover', '--yes'], `fence orders-db ${before}`);
    const resumed = await runHoldfast(platform, ['resume']);
    expect(resumed).toMatchObject({ exitCode: 0, json: { outcome: 'done', from: before } });
    const now = await activeRegion();
    expect(now).not.toBe(before);
    expect(await missingFrom(platform.regions[now].database, outside, rows)).toEqual([]);
  });

  it('[X-02] a re-protection, after its fence: resume makes the region follow', async () => {
    const active = await activeRegion();
    const back = active === 'us-east-1' ? 'us-west-2' : 'us-east-1';
    const end = await interruptAfter(['reprotect', '--yes'], `fence orders-db ${back}`);
    expect(end.exitCode).toBe(1);
    expect(await runHoldfast(platform, ['resume'])).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    expect(await roles()).toEqual({ [active]: 'primary', [back]: 'standby' });
    await until('ready', async () => ((await runHoldfast(platform, ['status'])).exitCode === 0 ? true : undefined));
  });

  it('a spec that has changed since: resume says which part is missing and changes nothing; with the old spec it goes on', async () => {
    const before = await activeRegion();
    await interruptAfter(['switchover', '--yes'], `freeze orders-db ${before}`);
    const text = await readFile(platform.specFile, 'utf8');
    const other = { ...platform, specFile: join(platform.directory, 'changed.yaml') };
    await writeFile(other.specFile, text.replace('  orders-db:\n', '  another-db:\n'));
    const refused = await runHoldfast(other, ['resume']);
    expect(refused.exitCode).toBe(1);
    expect(refused.json.error).toMatchObject({ code: 'EXECUTION_NOT_ALLOWED', message: expect.stringContaining(`orders-db in ${before}`) });
    // Nor does a serve with the wrong spec touch it.
    const stranger = startHoldfast(other, ['serve']);
    await until('it says so', () => (stranger.output().includes('execution-of-another-spec') ? true : undefined)).finally(() =>
      stranger.stop(),
    );
    expect(await roles()).toEqual({ [before]: 'primary', [before === 'us-east-1' ? 'us-west-2' : 'us-east-1']: 'standby' });
    expect(await runHoldfast(platform, ['resume'])).toMatchObject({ exitCode: 0, json: { outcome: 'done' } });
    expect(await activeRegion()).not.toBe(before);
  });

  it('status --watch ends with 0 and has changed nothing', async () => {
    const watching = startHoldfast(platform, ['status', '--watch']);
    await until('two screens', () => (watching.output().split('"platform"').length > 2 ? true : undefined));
    watching.signal('SIGINT');
    expect((await watching.ended).exitCode).toBe(0);
  });

  it('a second serve is refused by name; the first goes on, and ends with 0 on Ctrl-C', async () => {
    serve = await serveUntilHealthy(platform);
    const second = await runHoldfast(platform, ['serve']);
    expect(second).toMatchObject({ exitCode: 1, signal: null });
    expect(second.json.error).toMatchObject({ code: 'STATE_LEASE_HELD', message: expect.stringContaining(String(serve.pid)) });
    const count = serve.events.length;
    expect((await runHoldfast(platform, ['status'])).json.controllers).toHaveLength(1);
    serve.signal('SIGINT');
    const end = await serve.ended;
    expect(end.exitCode).toBe(0);
    expect(end.out.trimEnd().split('\n').at(-1)).toContain('"stopped"');
    expect(count).toBeGreaterThan(0);
  });

  it('[X-02] a command beside serve: one of them runs the execution, the other follows, the answer is the same', async () => {
    serve = await serveUntilHealthy(platform);
    const before = await activeRegion();
    const first = startHoldfast(platform, ['switchover', '--yes'], { plain: true });
    await until('it has begun', () => (/execution switchover-/.test(first.output()) ? true : undefined));
    const following = startHoldfast(platform, ['resume'], { plain: true });
    const [begun, followed] = await Promise.all([first.ended, following.ended]);
    expect(begun.exitCode, begun.err).toBe(0);
    // It may have been over before the second one looked.
    expect(followed.exitCode === 0 || /is over|no execution is under way/.test(followed.err), followed.err).toBe(true);
    expect(await activeRegion()).not.toBe(before);
    const { json } = await runHoldfast(platform, ['executions', await openId()]);
    const applied = json.events
      .filter((event: { type: string }) => event.type === 'step-applied')
      .map((event: { stepId: string }) => event.stepId);
    expect(applied).toEqual([...new Set(applied)]);
  });

  it('[X-02] a command that dies by kill -9 beside serve: serve ends its execution', async () => {
    serve = await serveUntilHealthy(platform);
    const before = await activeRegion();
    const running = startHoldfast(platform, ['switchover', '--yes'], { plain: true });
    await until('it has begun', () => (/execution switchover-/.test(running.output()) ? true : undefined));
    running.signal('SIGKILL');
    await running.ended;
    const id = await openId();
    await until(`${id} is done`, async () =>
      (await runHoldfast(platform, ['executions', id])).json.state.outcome === 'done' ? true : undefined,
    );
    expect(await activeRegion()).not.toBe(before);
    await writeSome();
  });
});
