import { beforeEach, describe, expect, it } from 'vitest';
import { holdfast, type RunParts } from '../../test/fakes/toy-command-line.ts';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import { listExecutions } from '../state/journal.ts';

let platform: ToyPlatform;
beforeEach(() => {
  platform = new ToyPlatform(toySpecText('{ automatic: false, grace: 1s }'));
});
const run = (line: string, parts: RunParts = {}) => holdfast(platform, line.split(' '), parts);

describe('usage', () => {
  it('--help names every command and ends well', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const command of [
      'init',
      'validate',
      'check',
      'status',
      'why',
      'serve',
      'plan',
      'failover',
      'switchover',
      'failback',
      'reprotect',
      'executions',
      'resume',
      'abort',
      'approve',
    ])
      expect(out).toContain(command);
  });
  it('--version', async () => expect(await run('--version')).toMatchObject({ code: 0, out: '9.9.9' }));
  it.each([
    ['statsu', /unknown command 'statsu'[\s\S]*Did you mean status/],
    ['status --jsno', /unknown option '--jsno'[\s\S]*Did you mean --json/],
    ['why --limit none', /whole number/],
    ['failover --accept-loss much', /duration such as 30s/],
    ['skip failover-1', /required option '--step/],
    ['status --log-level loud', /debug, info, warn, error/],
    ['plan', /failover/],
  ])('%s: exit code 2 and a word on what is wrong', async (line, words) => {
    const { code, err } = await run(line);
    expect(code).toBe(2);
    expect(err).toMatch(words);
  });
  it('with --json a fault of usage is one JSON object too', async () => {
    const { code, json } = await run('statsu --json');
    expect(code).toBe(2);
    expect(json()).toMatchObject({ error: { code: 'USAGE', message: expect.stringContaining('statsu') } });
  });
});

describe('validate and schema', () => {
  it('says what it found', async () => {
    expect(await run('validate')).toMatchObject({ code: 0, out: 'toy.yaml: toy is well formed: 2 regions, 3 components' });
    expect((await run('validate --json')).json()).toEqual({
      valid: true,
      name: 'toy',
      regions: 2,
      components: 3,
      files: ['toy.yaml'],
      notices: 0,
      contradictions: [],
    });
  });
  it('names every fault with file, line and column, and ends with 2', async () => {
    await platform.host.files.writeAtomically('bad.yaml', toySpecText('{ automatic: perhaps, grace: soon }'));
    const { code, err, out } = await run('validate --spec bad.yaml');
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/bad\.yaml:19:\d+/);
    expect(err.match(/bad\.yaml:19/g)?.length).toBeGreaterThanOrEqual(2);
    const answer = (await run('validate --spec bad.yaml --json')).json() as { error: { code: string; details: { faults: unknown[] } } };
    expect(answer.error.code).toBe('SPEC_INVALID');
    expect(answer.error.details.faults).toHaveLength(2);
  });
  it('a file that is not there is named', async () => {
    const { code, err } = await run('validate --spec none.yaml');
    expect(code).toBe(2);
    expect(err).toContain('SPEC_UNREADABLE');
    expect(err).toContain('none.yaml');
  });
  it('prints the JSON Schema', async () => {
    const { code, out } = await run('schema');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ $schema: expect.any(String) });
    expect((await run('schema --json')).json()).toEqual(JSON.parse(out));
  });
});

describe('status, check and why', () => {
  it('without a server: a look of its own, and it says that nobody watches', async () => {
    const { code, out } = await run('status');
    expect(out).toContain('nobody watches');
    expect(out).toMatch(/db +east \* +up +primary/);
    expect(out).toMatch(/db +west +up +standby/);
    expect(out).toContain('losing east now: we would survive in west');
    expect(code).toBe(0);
    expect(platform.world.effects).toEqual([]);
  });
  it('with one: goes by its records, and names it', async () => {
    const server = await platform.serve();
    await platform.host.clock.advance(3_000);
    const { code, json } = await run('status --json');
    expect(code).toBe(0);
    expect(json()).toMatchObject({
      platform: 'toy',
      activeRegion: 'east',
      epoch: 1,
      controllers: [{ controller: 'serve-1' }],
      verdict: { state: 'healthy' },
      readiness: { losing: 'east', target: 'west', ready: true, rpoNowMs: 0 },
      recent: [],
    });
    expect((json().sites as { state: string }[]).map((site) => site.state)).toEqual(['up', 'up', 'up', 'up', 'up', 'up']);
    await server.stop();
    expect((await run('status')).out).toContain('nobody watches');
  });
  it('a record tells how long ago somebody looked, also where nothing changes', async () => {
    const server = await platform.serve();
    await platform.host.clock.advance(600_000);
    const sites = (await run('status --json')).json().sites as { ageMs: number }[];
    for (const site of sites) expect(site.ageMs).toBeLessThan(7_000);
    await server.stop();
  });
  it('[S1-40] a purpose of backups that nothing serves: red in check, with both lines', async () => {
    const text = toySpecText('{ automatic: false, grace: 1s }').replace('rpo: 10s }', 'rpo: 10s, backups: { corruption: 30d } }');
    platform = new ToyPlatform(text);
    const check = await run('check');
    expect(check.code).toBe(3);
    expect(check.out).toContain('no backup of db is for corruption');
    expect(check.out).toMatch(/\d+ \| objectives: \{.*backups: \{ corruption: 30d \}/);
    expect((await run('check --json')).json()).toMatchObject({
      ready: false,
      backups: [{ alarm: 'purpose-unserved', severity: 'problem', component: 'db', subject: 'corruption' }],
    });
  });
  it('at risk: exit code 3, and what stands in the way', async () => {
    platform.world.site('db', 'west').alive = false;
    const status = await run('status');
    expect(status.code).toBe(3);
    expect(status.out).toContain('AT RISK');
    expect(status.out).toContain('db in west is down: connection refused by db');
    const check = await run('check');
    expect(check.code).toBe(3);
    expect(check.out).toMatch(/6 sites looked at, \d+ warnings?, \d+ problems?/);
    expect((await run('check --json')).json()).toMatchObject({ ready: false });
  });
  it('check: a platform that would survive is 0', async () => {
    expect((await run('check')).code).toBe(0);
    expect((await run('check --json')).json()).toMatchObject({ ready: true, problems: 0, hands: [] });
  });
  it('[X-04] check shows both lines of what the spec contradicts itself in; other commands say that there is something', async () => {
    const objectives = 'objectives:\n  rto: 1h\n  rpo: 10s\n  scenarios:\n    total-loss: { rto: 2h, most: 4h }';
    platform = new ToyPlatform(toySpecText('{ automatic: false, grace: 1s }').replace('objectives: { rto: 1m, rpo: 10s }', objectives));
    const { out, code } = await run('check');
    expect(code).toBe(0);
    expect(out).toMatch(
      /The spec contradicts itself:\n\ntoy\.yaml:\d+:\d+ {2}the platform may be gone for 1 h, and for 4 h[\s\S]*total-loss: \{ rto: 2h, most: 4h \}\n[\s\S]*rto: 1h\n[\s\S]*hint: /,
    );
    expect((await run('check --json')).json().contradictions).toEqual([
      expect.objectContaining({ path: 'objectives.scenarios.total-loss.most', other: expect.objectContaining({ path: 'objectives.rto' }) }),
    ]);
    expect((await run('status')).err).toContain('the spec contradicts itself in 1 place: holdfast check shows both lines');
    expect((await run('check')).err).toBe('');
  });
  it('why: what blocks, what would change it, and what was decided before', async () => {
    const { code, out } = await run('why');
    expect(code).toBe(0);
    expect(out).toContain('It does not fail over now.');
    expect(out).toMatch(/not-lost[\s\S]*changes when/);
    expect((await run('why --json')).json()).toMatchObject({
      now: { act: false },
      verdict: { region: 'east', state: 'healthy' },
      history: [],
    });
  });
  it('a spec that has lost the active region is refused, not watched in the wrong place', async () => {
    await run('status');
    await platform.host.files.writeAtomically('renamed.yaml', toySpecText().replaceAll('east', 'north'));
    const { code, err } = await run('status --spec renamed.yaml');
    expect(code).toBe(2);
    expect(err).toContain('the state says that east is the active region');
  });
});

describe('plan', () => {
  it.each(['failover', 'switchover'])('%s: prints the plan and changes nothing', async (kind) => {
    const { code, out } = await run(`plan ${kind}`);
    expect(code).toBe(0);
    expect(out).toContain('promote db west');
    expect(out).toMatch(/expected time: /);
    expect((await run(`plan ${kind} --json`)).json()).toMatchObject({ kind, from: 'east', to: 'west', epoch: 2, steps: expect.any(Array) });
    expect(platform.world.effects).toEqual([]);
    expect(await listExecutions(platform.state.open())).toEqual([]);
  });
  it('what can not be planned is refused with a hint', async () => {
    expect(await run('plan failback')).toMatchObject({ code: 1, err: expect.stringContaining('east is the active region already') });
    expect(await run('plan failover --to mars')).toMatchObject({ code: 2, err: expect.stringContaining('The regions are east, west.') });
    expect(await run('plan reprotect --region east')).toMatchObject({ code: 1 });
  });
});

describe('init', () => {
  const flags = 'init --output new.yaml --name shop --active a --standby b --component db=toy-store';
  it('from flags writes a spec that loads, and never over another', async () => {
    expect(await run(flags)).toMatchObject({ code: 0, out: expect.stringContaining('wrote new.yaml') });
    expect((await run('validate --spec new.yaml')).code).toBe(0);
    expect(await run(flags)).toMatchObject({ code: 2, err: expect.stringContaining('new.yaml exists already') });
  });
  it('what would not load is not left behind, and its faults are shown', async () => {
    const { code, err } = await run(`${flags} --rpo 99d`);
    expect(code).toBe(2);
    expect(err.length).toBeGreaterThan(20);
    expect(await platform.host.files.exists('new.yaml')).toBe(false);
  });
  it('by questions, asked again until the answer makes sense', async () => {
    const answers = ['Shop!', 'shop', '', '', '', '', '', 'maybe', 'yes', '', 'db', 'nonsense', 'toy-store', ''];
    const { code, out, err } = await run('init --output asked.yaml', { answers });
    expect(code).toBe(0);
    expect(err).toContain('There are: toy-store, toy-workload, toy-program, toy-route, toy-check.');
    expect(out).toContain('wrote asked.yaml');
    const text = await platform.host.files.readText('asked.yaml');
    expect(text).toContain('name: shop');
    expect(text).toContain('automatic: true');
    expect((await run('validate --spec asked.yaml')).code).toBe(0);
  });
  it('by questions that are left in the middle writes nothing', async () => {
    for (const answers of [['shop'], ['shop', '', '', '', '', '', ''], ['shop', '', '', '', '', '', '', 'db', 'toy-store']]) {
      const { code, err } = await run('init --output left.yaml', { answers });
      expect(code).toBe(1);
      expect(err).toContain('nothing was written');
    }
    expect(await platform.host.files.exists('left.yaml')).toBe(false);
  });
  it('with nobody to ask is refused', async () =>
    expect(await run('init --output x.yaml')).toMatchObject({ code: 2, err: expect.stringContaining('nobody is there to answer') }));
});
