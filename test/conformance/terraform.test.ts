/** Terraform, the real program, on `terraform_data`: plans that are judged, applied once and stale afterwards; locks and states in the wrong place. */
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver, stateFaults } from '../../src/drivers/terraform/driver.ts';
import { backendOf, plannedChanges, unapprovedLosses } from '../../src/drivers/terraform/plan-json.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { TestDirectories } from './kept-backup.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const directories = new TestDirectories();
afterEach(() => directories.removeAll());

const configuration = (state: string, more = '') => `
terraform {
  backend "local" { path = "${state}" }
}
variable "size" { default = "small" }
variable "password" {
  default   = "none"
  sensitive = true
}
resource "terraform_data" "network" { input = "10.0.0.0/16" }
resource "terraform_data" "cluster" {
  input            = var.size
  triggers_replace = [sha256(var.password)]
}
${more}`;

async function project(more = ''): Promise<string> {
  const directory = await directories.make('infra');
  await writeFile(join(directory, 'main.tf'), configuration(join(directory, 'state.tfstate'), more));
  return directory;
}

function open(directory: string, options: object = {}, site: object = {}): Site {
  const parsed = driver.componentOptions.parse({ 'lock-timeout': '0s', ...options });
  const own = driver.siteOptions.parse({ directory, ...site });
  const sites = new Map([['east', own]]);
  return driver.open({
    host,
    platform: 'test',
    component: 'cluster',
    region: 'east',
    options: parsed,
    site: own,
    sites,
    replication: 'asynchronous',
    hands: plainHands(host),
    probeTimeoutMs: 5_000,
  });
}

const size = (value: string) => ({ env: { TF_VAR_size: value } });
const step = () => stepContext(host, newJournal());
const terraform = (directory: string, ...words: string[]) =>
  runProgram(['terraform', `-chdir=${directory}`, ...words], { timeoutMs: 30_000 });
const errorOf = (work: Promise<unknown> | undefined): Promise<HoldfastError> =>
  (work ?? Promise.resolve()).then(
    () => {
      throw new Error('it went through');
    },
    (error: HoldfastError) => error,
  );

describeSystem('terraform', 'Terraform', () => {
  it('[S4-36, E4-15] a plan is saved, judged and applied, init included, and then there is no drift', async () => {
    const directory = await project();
    const site = open(directory);
    expect(await site.observe(AbortSignal.timeout(10_000))).toMatchObject({
      health: 'up',
      faults: [{ message: expect.stringContaining('no backend that was initialized') }],
    });
    expect(await site.verbs.run?.inspect({}, step())).toMatchObject({
      state: 'absent',
      why: expect.stringContaining('initialization required'),
    });
    expect(await runStep(host, site, 'run', {})).toEqual({ detail: 'Plan: 0 to add, 0 to change, 0 to destroy.' });
    expect(await site.verbs.check?.inspect({}, step())).toMatchObject({ state: 'done' });
    const changed = open(directory, size('large'));
    expect(await changed.verbs.check?.inspect({}, step())).toEqual({
      state: 'pending',
      why: 'it is not as the configuration says: Plan: 0 to add, 1 to change, 0 to destroy.',
    });
    await runStep(host, changed, 'run', {});
    expect((await terraform(directory, 'show', '-json')).stdout).toContain('"input":"large"');
    expect((await readdir(directory)).filter((name) => name.endsWith('.tfplan'))).toEqual([]);
  });

  it('[S4-36] what would be destroyed or replaced blocks the whole plan, unless its address is approved', async () => {
    const directory = await project('resource "terraform_data" "old" {}');
    await runStep(host, open(directory), 'run', {});
    await writeFile(join(directory, 'main.tf'), configuration(join(directory, 'state.tfstate')));
    const env = { ...size('large').env, TF_VAR_password: 'another' };
    const error = await errorOf(open(directory, { env }).verbs.run?.apply({}, step()));
    expect(error).toMatchObject({ code: 'SYSTEM_REFUSED', hint: expect.stringContaining('Nothing was applied') });
    expect(error.message).toContain('terraform_data.cluster is replaced');
    expect(error.message).toContain('terraform_data.old is destroyed');
    expect((await terraform(directory, 'state', 'list')).stdout).toContain('terraform_data.old');
    expect((await terraform(directory, 'show', '-json')).stdout).not.toContain('"input":"large"');
    const one = open(directory, { env, 'approve-destroy': ['terraform_data.old'] });
    expect((await errorOf(one.verbs.run?.apply({}, step()))).message).not.toContain('old is destroyed');
    await runStep(host, open(directory, { env, 'approve-destroy': ['terraform_data.old', 'terraform_data.cluster'] }), 'run', {});
    expect((await terraform(directory, 'state', 'list')).stdout).not.toContain('terraform_data.old');
  });

  it('[S4-36] a reviewed plan is the only one that is applied, once, and is stale when the state has moved on', async () => {
    const directory = await project();
    const plan = join(directory, 'reviewed.tfplan');
    const site = open(directory, {}, { 'reviewed-plan': plan });
    expect(await errorOf(site.verbs.run?.apply({}, step()))).toMatchObject({
      message: expect.stringContaining('there is no reviewed plan'),
    });
    await terraform(directory, 'init', '-input=false');
    await terraform(directory, 'plan', `-out=${plan}`, '-var=size=huge', '-input=false');
    await site.verbs.run?.apply({}, step());
    expect((await terraform(directory, 'show', '-json')).stdout).toContain('"input":"huge"');
    const stale = await errorOf(site.verbs.run?.apply({}, step()));
    expect(stale).toMatchObject({
      code: 'SYSTEM_REFUSED',
      details: { stale: true },
      hint: expect.stringContaining('plan and review again'),
    });
  });

  it('[E4-15] a lock of somebody else is told and never forced', async () => {
    const directory = await project();
    await runStep(host, open(directory), 'run', {});
    const slow = 'resource "terraform_data" "slow" {\n  provisioner "local-exec" { command = "cat fifo" }\n}';
    await runProgram(['mkfifo', join(directory, 'fifo')], { timeoutMs: 5_000 });
    await writeFile(join(directory, 'main.tf'), configuration(join(directory, 'state.tfstate'), slow));
    const other = spawn('terraform', [`-chdir=${directory}`, 'apply', '-auto-approve', '-input=false'], { stdio: 'ignore' });
    const ended = new Promise((resolve) => other.once('exit', resolve));
    try {
      const site = open(directory);
      await expect.poll(async () => (await readdir(directory)).some((name) => name.endsWith('.lock.info')), { timeout: 15_000 }).toBe(true);
      const error = await errorOf(site.verbs.check?.inspect({}, step()));
      expect(error).toMatchObject({ code: 'SYSTEM_REFUSED', details: { locked: true }, hint: expect.stringContaining('never forces') });
    } finally {
      await writeFile(join(directory, 'fifo'), 'go on');
    }
    expect(await ended).toBe(0);
    expect(await open(directory).verbs.check?.inspect({}, step())).toMatchObject({ state: 'done' });
  });

  it('an error of the configuration, a program that is not there and one that is something else are told apart', async () => {
    const directory = await project('resource "terraform_data" "bad" { input = var.missing }');
    await terraform(directory, 'init', '-input=false');
    const site = open(directory, { env: { TF_VAR_password: new Secret('letmein-4711', 'test') } });
    const error = await errorOf(site.verbs.run?.inspect({}, step()));
    expect(error).toMatchObject({ code: 'COMMAND_FAILED', message: expect.stringContaining('Reference to undeclared input variable') });
    expect(await open(directory, { program: 'no-such-terraform' }).observe(AbortSignal.timeout(5_000))).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error' },
    });
    expect(await open(directory, { program: 'true' }).observe(AbortSignal.timeout(5_000))).toMatchObject({
      health: 'unknown',
      evidence: { detail: expect.stringContaining('says no version') },
    });
    expect(await errorOf(open(directory, { program: 'true' }).verbs.check?.inspect({}, step()))).toMatchObject({
      code: 'SYSTEM_WRONG_ANSWER',
    });
  });

  it('secrets go by the environment, and a plan that holds them is not left behind, also when it is refused', async () => {
    const directory = await project();
    await runStep(host, open(directory), 'run', {});
    const site = open(directory, { env: { TF_VAR_password: new Secret('letmein-4711', 'test') } });
    const error = await errorOf(site.verbs.run?.apply({}, step()));
    expect(JSON.stringify(error)).not.toContain('letmein');
    expect((await readdir(directory)).filter((name) => name.endsWith('.tfplan'))).toEqual([]);
  });

  it('tells where a real backend was initialized', async () => {
    const directory = await project();
    await terraform(directory, 'init', '-input=false');
    expect((await open(directory).observe(AbortSignal.timeout(10_000))).faults).toMatchObject([
      { message: expect.stringContaining('nothing says in which region') },
    ]);
    expect((await open(directory, {}, { 'state-in': 'east' }).observe(AbortSignal.timeout(10_000))).faults).toEqual([]);
  });
});

describe('what Terraform says, judged (stand-in)', () => {
  const text = (actions: string[], more: object = {}) =>
    JSON.stringify({ format_version: '1.2', resource_changes: [{ address: 'a.b', change: { actions } }], ...more });

  it.each([
    [['create'], []],
    [['update'], []],
    [['no-op'], []],
    [['delete'], ['destroyed']],
    [['delete', 'create'], ['replaced']],
    [['create', 'delete'], ['replaced']],
    [['forget'], ['forgotten']],
    [['create', 'forget'], ['replaced']],
  ] as const)('%j loses %j', (actions, losses) => {
    const planned = plannedChanges(text([...actions]), 'x');
    expect(unapprovedLosses(planned, []).map(({ how }) => how)).toEqual(losses);
    expect(unapprovedLosses(planned, ['a.b'])).toEqual([]);
  });

  it.each([
    '',
    '{}',
    '{"format_version":"2.0"}',
    text(['create']).slice(0, -5),
    text(['create'], { errored: true }),
    text(['create'], { complete: false }),
  ])('what can not be read for certain is refused: %s', (broken) => {
    expect(() => plannedChanges(broken, 'x')).toThrow();
  });

  it('[E4-15] a state in the region that may be dark is a problem', () => {
    const s3 = JSON.stringify({ version: 3, backend: { type: 's3', config: { bucket: 'b', region: 'us-east-1' } } });
    const site = driver.siteOptions.parse({ directory: '/srv/west' });
    const sites = new Map([
      ['us-east-1', site],
      ['us-west-2', site],
    ]);
    expect(stateFaults({ region: 'us-west-2', sites, site }, backendOf(s3))).toMatchObject([
      { severity: 'problem', message: expect.stringContaining('lies in us-east-1 (s3)') },
    ]);
    expect(stateFaults({ region: 'us-east-1', sites, site }, backendOf(s3))).toEqual([]);
    const elsewhere = driver.siteOptions.parse({ directory: '/srv/west', 'state-in': 'us-east-1' });
    const faults = driver.validate?.({
      options: driver.componentOptions.parse({}),
      sites: new Map([...sites, ['us-west-2', elsewhere]]),
      replication: 'asynchronous',
    });
    expect(faults).toMatchObject([{ path: ['sites', 'us-west-2', 'state-in'], message: expect.stringContaining('lies in us-east-1') }]);
  });

  it('the spec in its README loads', async () => {
    const readme = await readFile(join(import.meta.dirname, '../../src/drivers/terraform/README.md'), 'utf8');
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    const spec = `holdfast: v1\nname: shop\nregions:\n  us-east-1: { role: active }\n  us-west-2: { role: standby }\ncomponents:\n${text.replace(/^(?=.)/gm, '  ')}`;
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({ files: { 'shop.yaml': spec } }),
      resolveSecrets: false,
    });
    expect([...loaded.components.values()].map((each) => each.driver)).toEqual(['terraform']);
  });
});
