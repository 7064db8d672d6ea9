/** A mesh between regions, on a stand-in for the program and with real connections: nodes, keys, ports, and a link that is really cut. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { driver } from '../../src/drivers/tailscale/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { startPacketFilter } from '../systems/packet-filter.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { freePort, releasePort } from '../systems/ports.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { makeTailscaleStandIn, type TailscaleStandIn } from '../systems/tailscale.ts';
import { TestDirectories } from './kept-backup.ts';
import { newJournal, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const directories = new TestDirectories();
const westAddress = '127.0.0.31';
const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();

let tailscale: TailscaleStandIn;
const servers: { readonly server: Server; readonly port: number }[] = [];

beforeEach(async () => {
  tailscale = await makeTailscaleStandIn(await directories.make('tailscale'));
});
afterEach(async () => {
  for (const { server, port } of servers.splice(0)) {
    await new Promise((resolve) => server.close(resolve));
    releasePort(port);
  }
  await directories.removeAll();
});

async function listen(): Promise<number> {
  const port = await freePort(westAddress);
  const server = createServer((socket) => socket.on('error', () => {}).end());
  await new Promise<void>((resolve) => server.listen(port, westAddress, resolve));
  servers.push({ server, port });
  return port;
}

function open(nodes: readonly object[], options: object = {}, probeTimeoutMs = 2_000) {
  const parsed = driver.componentOptions.parse({ program: tailscale.program, ...options });
  const east = driver.siteOptions.parse({ nodes: [{ name: 'east-1', ports: [1] }] });
  const sites = new Map([
    ['east', east],
    ['west', driver.siteOptions.parse({ nodes })],
  ]);
  expect(driver.validate?.({ options: parsed, sites, replication: 'asynchronous' })).toEqual([]);
  return driver.open({
    host,
    platform: 'test',
    component: 'mesh',
    region: 'east',
    options: parsed,
    site: east,
    sites,
    replication: 'asynchronous',
    hands: plainHands(host),
    probeTimeoutMs,
  });
}

const observe = (...given: Parameters<typeof open>) => open(...given).observe(AbortSignal.timeout(10_000));
const messages = async (...given: Parameters<typeof open>) =>
  ((await observe(...given)).faults ?? []).map(({ message }) => message).join('\n');
const check = (...given: Parameters<typeof open>) => open(...given).verbs.check?.inspect({}, stepContext(host, newJournal()));

describe('Tailscale (stand-in)', () => {
  it('[S1-05] is up while nodes of the other region are online and their ports answer', async () => {
    const ports = [await listen(), await listen()];
    await tailscale.say({ peers: [{ name: 'west-1', address: westAddress }] });
    expect(await observe([{ name: 'west-1', ports }], { tailnet: 'example.com' })).toMatchObject({
      health: 'up',
      identity: 'example.com',
      faults: [],
      facts: { nodes: 1, reached: 1, lost: [] },
    });
    expect(await check([{ name: 'west-1.tail1234.ts.net', ports }])).toMatchObject({ state: 'done' });
  });

  it('[S1-05] a node that is offline, unknown, or refuses a port is named, and the region is lost with its last one', async () => {
    const port = await listen();
    const dead = await freePort(westAddress);
    await tailscale.say({
      peers: [
        { name: 'west-1', address: westAddress },
        { name: 'west-2', address: westAddress, online: false },
      ],
    });
    const good = { name: 'west-1', ports: [port] };
    const bad = [{ name: 'west-2' }, { name: 'west-3' }, { name: 'west-1', ports: [dead] }];
    expect(await observe([good, ...bad.slice(0, 2)])).toMatchObject({ health: 'up', facts: { nodes: 3, reached: 1 } });
    const said = await messages([good, ...bad.slice(0, 2)]);
    expect(said).toContain('west-2 in west is offline, last seen 2026-11-20');
    expect(said).toContain('the tailnet has no node west-3 in west');
    expect(await check([good, ...bad.slice(0, 2)])).toMatchObject({ state: 'pending', why: expect.stringContaining('west-2') });
    expect(await observe(bad)).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: 'no node of west is reached over the tailnet' },
    });
    expect(await messages(bad)).toContain(`port ${dead} of west-1 in west refuses`);
    releasePort(dead);
  });

  it('keys that have ended or end soon are faults, also its own', async () => {
    const peer = (days: number, more: object = {}) => ({ name: 'west-1', address: westAddress, keyExpiry: inDays(days), ...more });
    const of = async (status: Parameters<TailscaleStandIn['say']>[0]): Promise<string> => {
      await tailscale.say(status);
      return messages([{ name: 'west-1' }]);
    };
    expect(await of({ peers: [peer(90)] })).toBe('');
    expect(await of({ peers: [peer(3)] })).toMatch(/the key of west-1 in west ends in [23] d/);
    expect(await of({ peers: [peer(-1)] })).toContain('the key of west-1 in west has ended');
    expect(await of({ peers: [peer(90, { expired: true })] })).toContain('has ended');
    expect(
      await of({ peers: [peer(90)], self: { name: 'me', address: '100.64.0.1', keyExpiry: inDays(1) }, health: ['no DERP home'] }),
    ).toMatch(/the key of this node ends in[\s\S]*Tailscale says: no DERP home/);
  });

  it.each([
    ['{"Version":"1.76.6"}', 'did not answer as Tailscale does: BackendState'],
    ['<html>log in</html>', 'did not answer as Tailscale does: no JSON'],
    ['{"Version":"1.76.6","BackendState":"Running","Peer":{"nodekey:0":{"DNSName":"west-1."}}}', 'Peer.nodekey:0.Online'],
  ])('%s is no answer of Tailscale, and nothing is filled in', async (text, words) => {
    await tailscale.sayRaw(text);
    expect(await observe([{ name: 'west-1' }])).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining(words) },
    });
  });

  it('no daemon and a node that is logged out are down; another tailnet, and no program, are unknown', async () => {
    expect(await observe([{ name: 'west-1' }])).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining("doesn't appear to be running") },
    });
    await tailscale.say({ state: 'NeedsLogin' });
    expect(await observe([{ name: 'west-1' }])).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('NeedsLogin') },
    });
    await tailscale.say({ tailnet: 'other.org' });
    expect(await observe([{ name: 'west-1' }], { tailnet: 'example.com' })).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error' },
    });
    expect(await observe([{ name: 'west-1' }], { program: 'no-such-tailscale' })).toMatchObject({ health: 'unknown' });
    expect(await observe([{ name: 'west-1' }], { program: 'false' })).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
  });

  it('the stand-in refuses what the program refuses', async () => {
    await tailscale.say({});
    const run = (...words: string[]) => runProgram([tailscale.program, ...words], { anyExit: true, timeoutMs: 5_000 });
    expect(await run('stauts')).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('unknown subcommand: stauts') });
    expect(await run('status', '--jsn')).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('not defined: -jsn') });
    expect(await run('status', '--json', 'west-1')).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('non-flag') });
    expect((await run('status')).stdout).not.toContain('{');
  });

  it('a node in two regions, and no nodes at all, are faults of the spec; the one in its README loads', async () => {
    const options = driver.componentOptions.parse({});
    const site = driver.siteOptions.parse({ nodes: [{ name: 'a' }] });
    const sites = new Map([
      ['east', site],
      ['west', site],
    ]);
    const validate = (given: typeof sites) => driver.validate?.({ options, sites: given, replication: 'asynchronous' }) ?? [];
    expect(validate(sites)).toMatchObject([{ path: ['sites', 'west', 'nodes', 0, 'name'], message: 'the node a is named twice' }]);
    expect(validate(new Map([['east', driver.siteOptions.parse({})]]))).toMatchObject([
      { message: expect.stringContaining('no region has nodes') },
    ]);
    const readme = await readFile(join(import.meta.dirname, '../../src/drivers/tailscale/README.md'), 'utf8');
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    const spec = `holdfast: v1\nname: shop\nregions:\n  us-east-1: { role: active }\n  us-west-2: { role: standby }\ncomponents:\n${text.replace(/^(?=.)/gm, '  ')}`;
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({ files: { 'shop.yaml': spec } }),
      resolveSecrets: false,
    });
    expect([...loaded.components.values()].map((each) => each.driver)).toEqual(['tailscale']);
  });
});

describeSystem('nftables', 'the link of a tailnet (stand-in)', () => {
  it('[S1-05] that is really cut turns it red though everybody is said to be online, and green when it heals', async () => {
    const port = await listen();
    await tailscale.say({ peers: [{ name: 'west-1', address: westAddress }] });
    const node = [{ name: 'west-1', ports: [port] }];
    const filter = await startPacketFilter();
    try {
      expect((await observe(node)).health).toBe('up');
      await filter.drop('cut', [`ip daddr ${westAddress} tcp dport ${port}`]);
      expect(await observe(node, {}, 700)).toMatchObject({
        health: 'down',
        evidence: { detail: 'no node of west is reached over the tailnet' },
      });
      expect(await messages(node, {}, 700)).toContain(`port ${port} of west-1 in west is silent`);
      await filter.heal('cut');
      expect((await observe(node)).health).toBe('up');
    } finally {
      await filter.stop();
    }
  });
});
