/** Vault on its stand-in: what health says by number, snapshots that are whole and such that are not, and one brought into an empty node of another cluster. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { RecoveryTarget, Restorer } from '../../src/contracts/backup.ts';
import type { BringStep, CallsReturn } from '../../src/contracts/site-return.ts';
import { driver } from '../../src/drivers/vault/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { startFaultyProxy } from '../systems/faulty-proxy.ts';
import { freePort } from '../systems/ports.ts';
import { startVaultStandIn, type VaultStandIn, type VaultStandInOptions } from '../systems/vault.ts';
import { type KeptBackup, restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';
import { newJournal, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const newest: RecoveryTarget = { kind: 'newest' };
const directories = new TestDirectories();
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  await directories.removeAll();
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function start(options: VaultStandInOptions = {}): Promise<VaultStandIn> {
  const vault = await startVaultStandIn(options);
  cleanups.push(vault.stop);
  return vault;
}

const custody = {
  'key-escrow': { kept: 'five people of the board', 'last-drill': today(-10) },
  'break-glass': { kept: 'the safe in the office', 'last-test': today(-10) },
};

function today(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

function contextOf(endpoints: readonly string[], given: { options?: object; site?: object; token?: string } = {}) {
  const token = given.token === undefined ? {} : { token: new Secret(given.token, 'test') };
  const options = driver.componentOptions.parse({ ...custody, ...token, 'call-timeout': '2s', ...given.options });
  const site = driver.siteOptions.parse({ endpoints, ...given.site });
  const sites = new Map([['east', site]]);
  expect(driver.validate?.({ options, sites, replication: 'asynchronous' })).toEqual([]);
  return {
    host,
    platform: 'test',
    component: 'secrets',
    region: 'east',
    options,
    site,
    sites,
    replication: 'none' as const,
    hands: undefined,
    probeTimeoutMs: 500,
  };
}

type Given = Parameters<typeof contextOf>[1];
const observe = (endpoints: readonly string[], given: Given = {}) =>
  driver.open(contextOf(endpoints, given)).observe(AbortSignal.timeout(5_000));
const messages = async (endpoints: readonly string[], given: Given = {}) =>
  ((await observe(endpoints, given)).faults ?? []).map(({ message }) => message).join('\n');
const take = (endpoints: readonly string[], given: Given = {}): Promise<KeptBackup> =>
  takeBackup(driver.backups?.openSource(contextOf(endpoints, given)) as never, host, 'snapshot');

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

async function restorer(options: object = {}): Promise<Restorer> {
  const parsed = driver.componentOptions.parse({ ...custody, ...options });
  return driver.backups?.openRestorer(
    restorerContext(host, { component: 'secrets', options: parsed, workDirectory: await directories.make('work') }),
  ) as Restorer;
}

async function call(vault: VaultStandIn, method: string, path: string, token: string, body?: object | Uint8Array): Promise<Response> {
  const payload = body === undefined ? {} : { body: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body) };
  return fetch(`${vault.url}/v1/${path}`, { method, headers: { 'x-vault-token': token }, ...payload });
}

/** A cluster with something in it that a restore must bring back. */
async function filled(options: VaultStandInOptions = {}): Promise<VaultStandIn> {
  const vault = await start(options);
  const content = vault.content() as { mounts: Record<string, string> };
  content.mounts['secret/'] = 'kv';
  expect((await call(vault, 'PUT', 'secret/payments', vault.rootToken, { password: 'open sesame' })).status).toBe(204);
  return vault;
}

describe('Vault (stand-in)', () => {
  it('the active node is up under its cluster id, with the word of autopilot', async () => {
    const vault = await start();
    vault.autopilot.lag = 3;
    expect(await observe([vault.url], { token: vault.rootToken })).toMatchObject({
      health: 'up',
      role: 'primary',
      writable: true,
      identity: vault.clusterId(),
      position: { history: vault.clusterId(), offset: '40' },
      faults: [],
      facts: { version: '1.21.4', failureTolerance: 1, raftLag: '3' },
    });
  });

  it.each([
    [429, 'up', 'standby', 'is a standby'],
    [472, 'up', 'standby', 'secondary for disaster recovery'],
    [473, 'up', 'standby', 'performance standby'],
    [474, 'down', undefined, 'can not reach the active node'],
    [530, 'down', undefined, 'was removed from its cluster'],
    [500, 'down', undefined, 'which Vault does not say'],
    [404, 'down', undefined, 'which Vault does not say'],
    [501, 'down', undefined, 'which Vault does not say'],
    [503, 'down', undefined, 'which Vault does not say'],
  ] as const)('health %i is %s, as %s', async (status, health, role, words) => {
    const vault = await start();
    vault.healthStatus = status;
    const reading = await observe([vault.url], { token: vault.rootToken });
    expect(reading).toMatchObject({ health, evidence: { detail: expect.stringContaining(words) } });
    expect(reading.role).toBe(role);
  });

  it('sealed and uninitialized are told apart, and neither is healthy', async () => {
    const vault = await start();
    vault.seal();
    expect(await observe([vault.url])).toMatchObject({ health: 'down', evidence: { detail: expect.stringContaining('is sealed') } });
    const empty = await start({ initialized: false });
    expect(await observe([empty.url])).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('is not initialized') },
    });
  });

  it('what is wrong with cluster, token or nodes is a fault by name', async () => {
    const vault = await start();
    vault.autopilot = { healthy: false, failureTolerance: 0, lag: 0 };
    const said = await messages([vault.url], { token: vault.rootToken });
    expect(said).toContain('is not healthy: node1');
    expect(said).toContain('survives the loss of no node');
    expect(await messages([vault.url], { token: 'hvs.wrong' })).toContain('permission denied');
    expect(await messages([vault.url])).toContain('no token is given');
    const other = await start();
    expect(await messages([vault.url, other.url], { token: vault.rootToken })).toContain('2 different clusters');
    other.seal();
    expect(await messages([vault.url, other.url], { token: vault.rootToken })).toContain('is sealed');
    expect(await messages([vault.url, `http://127.0.0.1:${await freePort()}`], { token: vault.rootToken })).toContain('does not answer');
    expect(await observe([vault.url], { site: { 'cluster-id': 'another' } })).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining('not another') },
    });
  });

  it.each([
    [{ kind: 'web-page' }, 'down', 'wrong-answer'],
    [{ kind: 'status', status: 429, code: 'SlowDown' }, 'down', 'wrong-answer'],
    [{ kind: 'status', status: 503, code: 'Unavailable' }, 'down', 'wrong-answer'],
    [{ kind: 'cut-answer', afterBytes: 10 }, 'down', 'connection-lost'],
    [{ kind: 'hang' }, 'unknown', 'timeout'],
  ] as const)('%o is no word of Vault', async (fault, health, kind) => {
    const vault = await start();
    const proxy = await startFaultyProxy(vault.url);
    cleanups.push(proxy.stop);
    proxy.order(fault, { times: 2 });
    expect(await observe([proxy.endpoint], { token: vault.rootToken })).toMatchObject({ health, evidence: { kind } });
  });

  it('[S4-54, E4-09] says when nobody can be shown to hold the keys, or to do without this Vault', async () => {
    const vault = await start();
    const options = (escrow: object | undefined, glass: object | undefined) => ({
      token: vault.rootToken,
      options: { 'key-escrow': escrow, 'break-glass': glass },
    });
    const none = await messages([vault.url], options(undefined, undefined));
    expect(none).toContain('nobody says where the unseal keys are kept');
    expect(none).toContain('nobody says how people get at credentials while this Vault is down');
    const kept = { kept: 'the safe' };
    expect(await messages([vault.url], options(kept, { ...kept, 'last-test': today(-200) }))).toMatch(
      /it is not known that the unseal keys were shown to open a restored copy\nit is 200 d.* since credentials were used with this Vault down; 92 d are allowed/,
    );
    expect(await messages([vault.url], options({ ...kept, 'last-drill': today(3) }, custody['break-glass']))).toContain('still to come');
    const site = driver.open(contextOf([vault.url], options(kept, kept)));
    expect(await site.verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    const well = driver.open(contextOf([vault.url], { token: vault.rootToken }));
    expect(await well.verbs.check?.inspect({}, stepContext(host, newJournal()))).toMatchObject({ state: 'done' });
    // With Vault down the statement is there all the same: it is in the spec, not in Vault.
    vault.seal();
    expect(await messages([vault.url], options(undefined, undefined))).toContain('nobody says how people get at credentials');
  });

  it('[S4-16] streams a snapshot from the active node, with index and identity read from it', async () => {
    const vault = await filled();
    const { facts, parts } = await take([vault.url], { token: vault.rootToken });
    expect(facts).toMatchObject({
      engine: 'vault',
      engineVersion: '1.21.4',
      identity: vault.clusterId(),
      position: { history: vault.clusterId(), offset: '41', text: 'index 41' },
      more: { raftIndex: '41', raftTerm: '3' },
    });
    expect(JSON.stringify(facts)).not.toMatch(/sesame|hvs\./);
    expect(parts.get('vault.snap')?.toString('latin1')).not.toContain('sesame');
  });

  it('[S4-16] asks the active one of several nodes, and none where there is none', async () => {
    const [standby, active] = [await start(), await filled()];
    standby.healthStatus = 429;
    expect((await take([standby.url, active.url], { token: active.rootToken })).facts?.identity).toBe(active.clusterId());
    expect(standby.seen.filter((path) => path.includes('snapshot'))).toEqual([]);
    expect(await failureOf(take([standby.url], { token: standby.rootToken }))).toMatchObject({ code: 'SYSTEM_WRONG_ROLE' });
    active.seal();
    expect(await failureOf(take([active.url], { token: active.rootToken }))).toMatchObject({ code: 'SYSTEM_NOT_SERVING' });
  });

  it.each([
    ['cut', /can not be unpacked/],
    ['no-seal', /it has no SHA256SUMS\.sealed/],
    ['wrong-sum', /the SHA-256 of state\.bin is not the one in SHA256SUMS/],
    ['broken-off', /it ends in the middle/],
  ] as const)('[S4-16] a snapshot that is %s fails the backup, though Vault said 200', async (fault, words) => {
    const vault = await filled();
    vault.snapshotFault = fault;
    const error = await failureOf(take([vault.url], { token: vault.rootToken }));
    expect(error.code).toBe('BACKUP_INCOMPLETE');
    expect(error.message).toMatch(words);
  });

  it.each([
    ['no token', {}, 'SYSTEM_WRONG_CREDENTIALS'],
    ['a token of nobody', { token: 'hvs.nobody' }, 'SYSTEM_WRONG_CREDENTIALS'],
    ['another cluster', { token: 'root', site: { 'cluster-id': 'another' } }, 'SYSTEM_WRONG_IDENTITY'],
  ] as const)('takes no snapshot with %s', async (_what, given, code) => {
    const vault = await filled();
    expect((await failureOf(take([vault.url], given))).code).toBe(code);
  });

  it('a policy that only reads snapshots is enough for one', async () => {
    const vault = await filled();
    (vault.content() as { tokens: Record<string, readonly string[]> }).tokens['hvs.backup'] = ['/v1/sys/storage/raft/snapshot'];
    expect((await take([vault.url], { token: 'hvs.backup' })).facts?.identity).toBe(vault.clusterId());
    expect(await messages([vault.url], { token: 'hvs.backup' })).toContain('autopilot could not be asked');
  });

  it('[S4-19] comes back as a file that is checked, and a damaged one is not left behind', async () => {
    const vault = await filled();
    const backup = await take([vault.url], { token: vault.rootToken });
    expect((await (await restorer()).preview(backup.reader(), newest)).problems).toEqual([]);
    expect((await (await restorer({ 'key-escrow': undefined })).preview(backup.reader(), newest)).problems[0]?.message).toMatch(
      /unseal keys of that time/,
    );
    const into = join(await directories.make('restored'), 'new');
    const copy = await (await restorer()).restore(backup.reader(), newest, into);
    expect(await copy.checkStopped()).toEqual([expect.objectContaining({ ok: true, level: 'P3' }), expect.objectContaining({ ok: true })]);
    expect(copy.startHint).toContain('five people of the board');
    expect(await failureOf(copy.start())).toMatchObject({ code: 'NO_SUCH_VERB', message: expect.stringContaining('original keys') });
    const file = join(into, 'vault.snap');
    const bytes = await readFile(file);
    bytes[bytes.length - 6] = (bytes[bytes.length - 6] as number) ^ 1;
    await writeFile(file, bytes);
    expect((await failureOf(copy.checkStopped())).code).toBe('BACKUP_INCOMPLETE');
    const damaged = join(await directories.make('restored'), 'new');
    await failureOf((await restorer()).restore(backup.flipped('vault.snap', 400).reader(), newest, damaged));
    await expect(readFile(join(damaged, 'vault.snap'))).rejects.toThrow('ENOENT');
    expect((await failureOf((await restorer()).restore(backup.reader(), { kind: 'time', atMs: 0 }, into))).code).toBe(
      'RESTORE_TARGET_UNREACHABLE',
    );
    expect((await failureOf((await restorer()).restore(backup.reader(), newest, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
  });

  it('validates replication, clear text and days', () => {
    const options = driver.componentOptions.parse({ token: new Secret('x', 'test') });
    const far = driver.siteOptions.parse({ endpoints: ['http://10.0.0.1:8200'] });
    const faults =
      driver.validate?.({
        options,
        sites: new Map([
          ['east', far],
          ['west', far],
        ]),
        replication: 'asynchronous',
      }) ?? [];
    expect(faults.map(({ message }) => message)).toEqual([
      expect.stringContaining('promotes no replica'),
      expect.stringContaining('in the clear'),
      expect.stringContaining('in the clear'),
    ]);
    expect(driver.componentOptions.safeParse({ 'key-escrow': { kept: 'x', 'last-drill': '2026-02-30' } }).success).toBe(false);
  });

  it('the specs in its README load', async () => {
    const readme = await readFile(join(import.meta.dirname, '../../src/drivers/vault/README.md'), 'utf8');
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    const spec = `holdfast: v1\nname: shop\nrepositories: { main: { driver: filesystem, path: /var/lib/holdfast } }\nregions:\n  us-east-1: { role: active }\n  us-west-2: { role: standby }\ncomponents:\n${text.replace(/^(?=.)/gm, '  ')}`;
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({ files: { 'shop.yaml': spec } }),
      resolveSecrets: false,
    });
    expect([...loaded.components.values()].map((each) => each.driver)).toEqual(['vault']);
  });
});

describe('a snapshot brought into another cluster (stand-in)', () => {
  const given = (source: VaultStandIn, target: VaultStandIn, more: object = {}) => ({
    token: source.rootToken,
    options: more,
    site: { 'fresh-token': new Secret(target.rootToken, 'test') },
  });
  const open = (source: VaultStandIn, target: VaultStandIn, more: object = {}) =>
    driver.openReturn?.(contextOf([target.url], given(source, target, more))) as CallsReturn;
  const shares = (source: VaultStandIn, count = 3) => ({
    'unseal-keys': source.shares.slice(0, count).map((share) => new Secret(share, 'test')),
  });

  function step(signal: AbortSignal = AbortSignal.timeout(15_000)): BringStep & { kept: unknown[]; said: string[] } {
    const kept: unknown[] = [];
    const said: string[] = [];
    return {
      ...stepContext(host, newJournal(), { signal }),
      workDirectory: '/nowhere',
      progress: (message) => void said.push(message),
      get own() {
        return kept.at(-1) as never;
      },
      keepOwn: async (value) => void kept.push(value),
      kept,
      said,
    };
  }

  it('[S4-19, E4-09] makes an empty node the cluster of the backup, unsealed with its original keys, and leaves the id there', async () => {
    const [source, target] = [await filled(), await start()];
    const backup = await take([source.url], { token: source.rootToken });
    const site = open(source, target, shares(source));
    expect(await site.holds('failover-1/secrets/west', step())).toBe(false);
    await site.bring(backup.reader(), newest, 'failover-1/secrets/west', step());
    expect(target.clusterId()).toBe(source.clusterId());
    expect(await site.holds('failover-1/secrets/west', step())).toBe(true);
    expect(await site.holds('failover-2/secrets/west', step())).toBe(false);
    expect(await (await call(target, 'GET', 'secret/payments', source.rootToken)).json()).toEqual({ data: { password: 'open sesame' } });
    expect((await call(target, 'GET', 'secret/payments', target.rootToken)).status).toBe(403);
  });

  it('[S4-19] waits sealed for a person with the original keys, and goes on after a crash without writing again', async () => {
    const [source, target] = [await filled(), await start()];
    const backup = await take([source.url], { token: source.rootToken });
    const site = open(source, target);
    const controller = new AbortController();
    const first = step(controller.signal);
    const dying = site.bring(backup.reader(), newest, 'a', first).catch((error: unknown) => error);
    await expect
      .poll(() => first.said.join('\n'), { timeout: 5_000 })
      .toContain('is sealed: unseal it with the original keys (five people of the board)');
    controller.abort(new Error('the controller died'));
    await dying;
    expect(await site.holds('a', step())).toBe(false);
    for (const share of source.shares.slice(1, 4)) await call(target, 'PUT', 'sys/unseal', '', { key: share });
    const second = step();
    second.kept.push(first.kept.at(-1));
    await site.bring(backup.reader(), newest, 'a', second);
    expect(await site.holds('a', step())).toBe(true);
    expect(target.seen.filter((path) => path === 'POST /v1/sys/storage/raft/snapshot-force')).toHaveLength(1);
  });

  it('does not take the yes for the deed: a snapshot that is applied later is waited for', async () => {
    const [source, target] = [await filled(), await start({ appliesLate: true })];
    const backup = await take([source.url], { token: source.rootToken });
    let isDone = false;
    const bringing = open(source, target, shares(source))
      .bring(backup.reader(), newest, 'a', step())
      .then(() => {
        isDone = true;
      });
    const asked = (): number => target.seen.filter((path) => path === 'GET /v1/sys/health').length;
    await expect.poll(() => target.seen.includes('POST /v1/sys/storage/raft/snapshot-force'), { timeout: 5_000 }).toBe(true);
    const before = asked();
    await expect.poll(asked, { timeout: 5_000 }).toBeGreaterThan(before + 1);
    expect(isDone).toBe(false);
    target.applyNow();
    await bringing;
    expect(target.clusterId()).toBe(source.clusterId());
  });

  it('the keys of the empty node, or too few, do not open it', async () => {
    const [source, target] = [await filled(), await start()];
    const backup = await take([source.url], { token: source.rootToken });
    const few = await failureOf(open(source, target, shares(source, 2)).bring(backup.reader(), newest, 'a', step()));
    expect(few).toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('the 2 shares given are not enough') });
    const other = await start();
    const wrong = await failureOf(open(source, other, shares(other)).bring(backup.reader(), newest, 'a', step()));
    expect(wrong.message).toContain('failed to decrypt root key');
    expect(JSON.stringify(wrong)).not.toContain(other.shares[0]);
  });

  it.each([
    ['in use', {}, 'RESTORE_TARGET_NOT_EMPTY'],
    ['sealed', {}, 'SYSTEM_WRONG_ROLE'],
    ['not initialized', { initialized: false }, 'SYSTEM_WRONG_ROLE'],
    ['one of three', { servers: 3 }, 'SYSTEM_WRONG_ROLE'],
  ] as const)('a node that is %s is not written over', async (what, options, code) => {
    const source = await filled();
    const backup = await take([source.url], { token: source.rootToken });
    const target = what === 'in use' ? await filled() : await start(options);
    if (what === 'sealed') target.seal();
    const held = step();
    expect((await failureOf(open(source, target).bring(backup.reader(), newest, 'a', held))).code).toBe(code);
    expect(target.seen.filter((path) => path.startsWith('POST'))).toEqual([]);
    expect(held.kept).toEqual([]);
  });

  it('a damaged snapshot is found before the node is touched; without tokens there is no way back', async () => {
    const [source, target] = [await filled(), await start()];
    const backup = await take([source.url], { token: source.rootToken });
    await failureOf(open(source, target).bring(backup.flipped('vault.snap', 300).reader(), newest, 'a', step()));
    expect(target.seen.filter((path) => path.startsWith('POST'))).toEqual([]);
    expect(driver.openReturn?.(contextOf([target.url]))).toBeUndefined();
  });

  it('the stand-in itself refuses what Vault refuses', async () => {
    const vault = await filled();
    const backup = await take([vault.url], { token: vault.rootToken });
    const bytes = backup.parts.get('vault.snap') as Buffer;
    expect((await call(vault, 'GET', 'sys/storage/raft/snapshot', '')).status).toBe(403);
    expect((await call(vault, 'POST', 'sys/storage/raft/snapshot-force', vault.rootToken, Buffer.from('no archive'))).status).toBe(500);
    expect((await call(vault, 'POST', 'sys/storage/raft/snapshot-force', 'hvs.x', bytes)).status).toBe(403);
    expect((await call(vault, 'PUT', 'sys/policies/acl/x', vault.rootToken, { policy: 'path "x" {' })).status).toBe(400);
    vault.seal();
    const sealed = await call(vault, 'POST', 'sys/storage/raft/snapshot-force', vault.rootToken, bytes);
    expect([sealed.status, await sealed.json()]).toEqual([503, { errors: ['Vault is sealed'] }]);
    expect((await call(vault, 'PUT', 'sys/unseal', '', { key: 'zz' })).status).toBe(400);
  });
});
