import { beforeEach, describe, expect, it } from 'vitest';
import { holdfast, type RunParts } from '../../test/fakes/toy-command-line.ts';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import { listExecutions } from '../state/journal.ts';
import { readPlatformState } from '../state/platform-state.ts';

let platform: ToyPlatform;
beforeEach(() => {
  platform = new ToyPlatform(toySpecText('{ automatic: false, grace: 1s }'));
});
const run = (line: string, parts: RunParts = {}) => holdfast(platform, line.split(' '), parts);
const executions = () => listExecutions(platform.state.open());
const onlyId = async () => (await executions())[0]?.id ?? '';

describe('a change', () => {
  it('with --dry-run shows the plan and changes nothing', async () => {
    const { code, out } = await run('switchover --dry-run');
    expect(code).toBe(0);
    expect(out).toContain('Switchover from east to west');
    const json = await run('switchover --dry-run --json');
    expect(json.json()).toMatchObject({ dryRun: true, plan: { kind: 'switchover' } });
    expect(json.err).toBe('');
    expect(await executions()).toEqual([]);
    expect(platform.world.effects).toEqual([]);
  });
  it('with nobody to say yes is refused without --yes', async () => {
    expect(await run('switchover')).toMatchObject({ code: 2, err: expect.stringContaining('nobody is there to say yes') });
    expect(await executions()).toEqual([]);
  });
  it('asks, and takes anything but yes for no', async () => {
    for (const answer of ['', 'n', 'yikes', undefined])
      expect(await run('switchover', { answers: [answer] })).toMatchObject({
        code: 1,
        err: expect.stringContaining('nothing was changed'),
      });
    expect(await executions()).toEqual([]);
    expect(await run('switchover', { answers: ['y'] })).toMatchObject({ code: 0 });
    expect(platform.world.writable('db')).toEqual(['west']);
  });
  it('there and back without a server: each is verified, and measured', async () => {
    const server = await platform.serve();
    await platform.host.clock.advance(3_000);
    await server.stop();
    const there = await run('switchover --yes');
    expect(there.code).toBe(0);
    expect(there.out).toContain('nothing lost');
    const back = await run('failback --yes --json');
    expect(back.code).toBe(0);
    expect(back.json()).toMatchObject({ status: 'done', outcome: 'done', from: 'west', to: 'east', epoch: 3 });
    expect(platform.world.writable('db')).toEqual(['east']);
  });
  it('a failover by hand, and the return of what was lost', async () => {
    platform.world.site('db', 'east');
    await run('status');
    platform.world.kill('east');
    expect((await run('failover --yes --accept-loss any --approver ann --approver bob')).code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
    platform.world.revive('east');
    expect((await run('reprotect --yes')).code).toBe(0);
    expect(platform.world.site('db', 'east')).toMatchObject({ role: 'standby', follows: 'west' });
  });
  it('one that may not happen ends by itself, with the reason', async () => {
    platform.world.site('db', 'west').alive = false;
    const { code } = await run('failover --yes');
    expect(code).toBe(1);
    expect(await executions()).toMatchObject([{ status: 'aborted' }]);
    expect((await readPlatformState(platform.state.open()))?.state.epoch).toBe(1);
  });
  it('interrupted leaves an execution that can be resumed', async () => {
    const ending = new AbortController();
    platform.world.beforeApply = async (what) => {
      if (what === 'promote db west') ending.abort(new Error('ended by SIGINT'));
    };
    const first = await run('switchover --yes', { signal: ending.signal });
    expect(first).toMatchObject({ code: 1, err: expect.stringContaining('INTERRUPTED') });
    expect(first.err).toContain('holdfast resume');
    const second = await run('resume');
    expect(second.code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
    for (const effect of new Set(platform.world.effects)) expect(platform.world.effects.filter((each) => each === effect)).toHaveLength(1);
  });
});

/** An execution that stands still before its promotion. */
async function held(): Promise<string> {
  platform.world.refuses.add('promote db west');
  expect((await run('switchover --yes')).code).toBe(1);
  return onlyId();
}

describe('an execution that waits for somebody', () => {
  it('is listed, and shown step by step with what can be done', async () => {
    expect((await run('executions')).out).toBe('there have been no executions');
    const id = await held();
    expect((await run('executions')).out).toContain(id);
    const one = await run(`executions ${id}`);
    expect(one.out).toMatch(/promote db west +failed/);
    expect(one.out).toContain(`holdfast retry ${id}`);
    expect((await run(`executions ${id} --json`)).json()).toMatchObject({
      header: { id },
      state: { status: 'failed' },
      events: expect.any(Array),
    });
    expect((await run('executions --json')).json()).toMatchObject({ executions: [{ id, status: 'failed' }] });
    expect(await run('executions none')).toMatchObject({ code: 2, err: expect.stringContaining('there is no execution none') });
  });
  it('keeps a second change from starting', async () => {
    const id = await held();
    expect(await run('switchover --yes')).toMatchObject({ code: 1, err: expect.stringContaining(`${id} has not ended`) });
  });
  it('goes on with retry once the cause is mended', async () => {
    await held();
    platform.world.refuses.clear();
    expect((await run('retry')).code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
  });
  it('ends with abort: that is what was asked for, so it is no failure', async () => {
    const id = await held();
    expect((await run('abort --reason enough')).code).toBe(0);
    expect(await executions()).toMatchObject([{ id, status: 'aborted' }]);
    expect(await run('abort')).toMatchObject({ code: 2, err: expect.stringContaining('no execution is under way') });
  });
  it('skip: a step with a reason; never one that safety rests on, and that is said', async () => {
    const id = await held();
    const refused = await holdfast(platform, ['skip', id, '--step', 'fence db east', '--reason', 'why not']);
    expect(refused.code).toBe(1);
    expect(refused.out).toMatch(/skip refused: /);
    const taken = await holdfast(platform, ['skip', id, '--step', 'measure-loss db', '--reason', 'no canary here']);
    expect(taken.out).not.toMatch(/refused/);
  });
  it('pause and resume, with nobody to run it in between', async () => {
    const id = await held();
    const paused = await run(`pause ${id}`);
    expect(paused).toMatchObject({ code: 0, out: expect.stringContaining('It is paused') });
    platform.world.refuses.clear();
    expect((await run(`retry ${id}`)).code).toBe(0);
    expect(platform.world.writable('db')).toEqual([]);
    expect((await run(`resume ${id}`)).code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
  });
  it('approvals: one person at a time, each command comes back, the last one goes on', async () => {
    for (const region of ['east', 'west']) platform.world.site('db', region).synchronous = false;
    const ending = new AbortController();
    const asked = await run('failover --yes --accept-loss any', {
      signal: ending.signal,
      meanwhile: (said) => {
        if (said.includes('It waits for approval')) ending.abort(new Error('ended by SIGINT'));
      },
    });
    expect(asked.out).toContain('holdfast approve');
    const first = await run('approve', { person: 'bob' });
    expect(first).toMatchObject({ code: 0, out: expect.stringContaining('It waits for approval') });
    const again = await run('approve', { person: 'bob' });
    expect(again).toMatchObject({ code: 1, out: expect.stringContaining('different people') });
    expect(platform.world.effects).toEqual([]);
    expect((await run('approve', { person: 'eve' })).code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
  });
  it('follows the process that runs it', async () => {
    const server = await platform.serve();
    await platform.host.clock.advance(2_000);
    const { code } = await run('switchover --yes');
    expect(code).toBe(0);
    expect(platform.world.writable('db')).toEqual(['west']);
    await server.stop();
  });
  it('needs a name', async () => {
    const id = await held();
    expect(await holdfast(platform, ['abort', id, '--by', ' '])).toMatchObject({ code: 2, err: expect.stringContaining('--by NAME') });
  });
});
