/** The protocol of the user's own commands, on real programs; and that no secret shows anywhere while they run. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/shell/driver.ts';
import { FakeCommandHost } from '../../src/drivers/shell/fake.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { waitFor } from '../systems/http-service.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const script = (text: string, ...args: string[]) => ['sh', '-c', text, 'sh', ...args];

describe('commands of the user', () => {
  let dir: string;
  const open = (options: unknown, hands = plainHands(host), site: unknown = {}): Site =>
    openDriverSite(driver, { host, options, site, hands });
  const inspect = (options: unknown, verb: 'run' | 'check' | 'fence' = 'run') =>
    open(options).verbs[verb]?.inspect({ why: "it's" }, stepContext(host, newJournal(9)));
  beforeEach(async () => {
    dir = await temporaryDirectory('shell');
  });
  afterEach(() => removeDirectory(dir));

  it.each([
    ['exit 0', { state: 'done', output: { detail: 'the inspect command says that it is done' } }],
    [`echo '{"rows": 3, "detail": "all there"}'`, { state: 'done', output: { rows: 3, detail: 'all there' } }],
    ['echo all well', { state: 'done', output: { detail: 'all well' } }],
    ['echo not yet >&2; exit 1', { state: 'absent', why: 'not yet' }],
    ['echo half; exit 2', { state: 'pending', why: 'half' }],
    ['exit 3', { state: 'unknown', why: 'it printed nothing' }],
  ])('reads %s', async (text, inspection) => {
    expect(await inspect({ run: { inspect: script(text), apply: ['true'] } })).toEqual(inspection);
  });

  it('takes any other exit code as an error, with the last words', async () => {
    await expect(inspect({ run: { inspect: script('echo broken >&2; exit 4'), apply: ['true'] } })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: 'sh on local ended with exit code 4: broken',
    });
    await expect(inspect({ run: { inspect: ['no-such-program'], apply: ['true'] } })).rejects.toMatchObject({ code: 'HANDS_NO_PROGRAM' });
  });

  it('refuses an output that the plan could not use', async () => {
    await expect(inspect({ fence: { inspect: ['true'], apply: ['true'] } }, 'fence')).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_ANSWER',
    });
    const said = `echo '{"proof": "revoked", "evidence": "the rule is gone and a write was refused"}'`;
    expect(await inspect({ fence: { inspect: script(said), apply: ['true'] } }, 'fence')).toMatchObject({
      state: 'done',
      output: { proof: 'revoked', sinceMs: expect.any(Number) },
    });
  });

  it('tells the commands what they work on by the environment', async () => {
    const text =
      'printf "%s|%s|%s|%s|%s" "$HOLDFAST_COMPONENT" "$HOLDFAST_REGION" "$HOLDFAST_EPOCH" "$HOLDFAST_EXECUTION" "$HOLDFAST_WANT"';
    expect(await inspect({ run: { inspect: script(text), apply: ['true'] } })).toEqual({
      state: 'done',
      output: { detail: `api|east|9|failover-test|{"why":"it's"}` },
    });
  });

  it('uses a shell only where that was asked for', async () => {
    expect(await inspect({ run: { inspect: ['echo', '$HOME', '; exit 1'], apply: ['true'] } })).toMatchObject({
      output: { detail: '$HOME ; exit 1' },
    });
    expect(await inspect({ run: { inspect: ['echo "$1" | tr a-z A-Z', 'a b; c'], apply: ['true'], shell: true } })).toMatchObject({
      output: { detail: 'A B; C' },
    });
  });

  it('applies after absent, then inspects until done; a site replaces the verbs of the component', async () => {
    const flag = join(dir, 'flag');
    const site = open({ run: { inspect: ['false'], apply: ['false'] } }, plainHands(host), {
      run: { inspect: ['test', '-e', flag], apply: ['touch', flag] },
    });
    expect(await runStep(host, site, 'run', {})).toEqual({ detail: 'the inspect command says that it is done' });
    expect(Object.keys(site.verbs)).toEqual(['run']);
  });

  it('without an inspect command runs once, and asks a person after a death in the middle', async () => {
    const options = { run: { apply: script(`echo run >>${dir}/runs; echo finished`) } };
    const journal = newJournal();
    expect(await runStep(host, open(options), 'run', {}, journal)).toEqual({ detail: 'finished' });
    expect(await runStep(host, open(options), 'run', {}, journal)).toEqual({ detail: 'finished' });
    expect(await readFile(join(dir, 'runs'), 'utf8')).toBe('run\n');
    const cutOff = newJournal();
    const dying = open(options).verbs.run;
    await expect(dying?.apply({}, stepContext(host, cutOff, { dieAtNote: 2 }))).rejects.toThrow('the controller died');
    expect(await dying?.inspect({}, stepContext(host, cutOff))).toMatchObject({ state: 'unknown' });
  });

  it('does not know the outcome of an apply that ran out of time', async () => {
    const options = { run: { inspect: ['false'], apply: ['sleep', '30'], timeout: '100ms' } };
    await expect(open(options).verbs.run?.apply({}, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_OUTCOME_UNKNOWN',
      kind: 'unknown-outcome',
    });
  });

  it('waits for a check that has nothing to apply', async () => {
    expect(await inspect({ check: { inspect: ['false'] } }, 'check')).toMatchObject({ state: 'pending' });
  });

  it('observes by exit code and by what is printed', async () => {
    const observe = (text: string) => open({ observe: { command: script(text) } }).observe(AbortSignal.timeout(5_000));
    expect(await observe(`echo '{"role": "primary", "writable": true, "facts": {"queue": 4}}'`)).toMatchObject({
      health: 'up',
      role: 'primary',
      writable: true,
      facts: { queue: 4 },
    });
    expect(await observe('echo stopped; exit 1')).toEqual({ health: 'down', evidence: { kind: 'wrong-answer', detail: 'stopped' } });
    expect(await observe('exit 3')).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    expect(await observe(`echo '{"rolle": "primary"}'`)).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    expect(await observe('sleep 30')).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
  });

  it('without an observe command only says whether commands can be run', async () => {
    const fake = new FakeCommandHost();
    const site = openDriverSite(driver, { host, options: {}, site: {}, hands: fake });
    expect(await site.observe(AbortSignal.timeout(1_000))).toMatchObject({ health: 'up' });
    fake.reachable = false;
    expect(await site.observe(AbortSignal.timeout(1_000))).toMatchObject({ health: 'unknown', evidence: { kind: 'unreachable' } });
  });

  it('without hands can do nothing, and says so', async () => {
    const site = openDriverSite(driver, { host, options: { run: { apply: ['true'] } }, site: {} });
    expect(site.verbs).toEqual({});
    expect(await site.observe(AbortSignal.timeout(1_000))).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
  });

  it('names commands that are missing', () => {
    const validate = (options: unknown) =>
      driver
        .validate?.({ options: driver.componentOptions.parse(options), sites: new Map(), replication: 'asynchronous' })
        .map(({ path, message }) => `${path.join('.')}: ${message}`);
    expect(validate({ fence: { apply: ['true'] }, check: {}, route: { inspect: ['true'] } })).toEqual([
      'fence: fence needs an inspect command',
      'route: route needs an apply command',
      'check: check needs an inspect command',
    ]);
  });

  it('[X-07] shows no secret in the process list, in outputs or in errors while a command runs', async () => {
    const password = 'hunter2-of-the-test-0451';
    const env = { TOKEN: new Secret(password, 'env:TOKEN'), PLAIN: 'visible' };
    const started = join(dir, 'started');
    const goOn = join(dir, 'go-on');
    const apply = script(
      `touch ${started}; until [ -e ${goOn} ]; do sleep 0.02; done; test -n "$TOKEN" && echo "$PLAIN $TOKEN" && echo "no: $TOKEN" >&2; exit 9`,
    );
    const site = open({ env, run: { inspect: script('echo "$TOKEN"'), apply } });
    const running = site.verbs.run?.apply({}, stepContext(host, newJournal()));
    const outcome = running?.then(
      () => undefined,
      (error: unknown) => error,
    );
    await waitFor(
      () =>
        readFile(started).then(
          () => true,
          () => false,
        ),
      'the command to run',
    );
    const lines = await commandLines();
    expect(lines.some((line) => line.includes(started))).toBe(true);
    expect(lines.filter((line) => line.includes(password))).toEqual([]);
    await host.files.writeAtomically(goOn, '');
    const error = await outcome;
    expect(error).toMatchObject({ code: 'COMMAND_FAILED', message: expect.stringContaining('no: [redacted]') });
    expect(JSON.stringify(error)).not.toContain(password);
    expect(await site.verbs.run?.inspect({}, stepContext(host, newJournal()))).toEqual({ state: 'done', output: { detail: '[redacted]' } });
  });
});

/** The command line of every process of this machine. */
async function commandLines(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))); // ended meanwhile: it shows nothing any more
}
