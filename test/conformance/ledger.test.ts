/** The ledger by its own calls: what is seen, what is checked, what is done and believed. Both interfaces, on stand-ins of three nodes. */
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/ledger/driver.ts';
import { formCluster, makePlaces, type NodePlace, votersOf } from '../systems/ledger/ledger-cluster.ts';
import { LedgerWorld, type WorldOptions } from '../systems/ledger/ledger-world.ts';
import { freePort } from '../systems/ports.ts';
import { TestDirectories } from './kept-backup.ts';
import { clusterHost as host, openAt, probe } from './kubernetes-world.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const directories = new TestDirectories();
const worlds: LedgerWorld[] = [];
const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  for (const world of worlds.splice(0)) await world.close();
  await directories.removeAll();
});

const organization = '18446744073709551557';
const vault = '9007199254740993';

async function threeNodes(options: WorldOptions): Promise<{ world: LedgerWorld; places: readonly NodePlace[]; directory: string }> {
  const directory = await directories.make('ledger');
  const world = await LedgerWorld.make({
    backups: { directory: `${directory}/backups`, region: 'us-east', regionKey: 'key' },
    ...options,
  });
  worlds.push(world);
  const { mkdir } = await import('node:fs/promises');
  await mkdir(`${directory}/backups`);
  const places = await makePlaces(directory, 3);
  await formCluster(world, directory, places);
  world.write(organization, vault, 5);
  world.write('7', '1', 2);
  return { world, places, directory };
}

const siteOf = (places: readonly NodePlace[], more: object = {}) => ({
  nodes: places.map(({ address, metrics }) => ({ url: `http://${address}`, metrics: `http://${metrics}/metrics` })),
  ...more,
});
const open = (places: readonly NodePlace[], options: object = {}, site: object = {}, probeTimeoutMs?: number) =>
  openAt(driver, options, { east: siteOf(places, site) }, probeTimeoutMs === undefined ? {} : { probeTimeoutMs });
const messages = async (site: ReturnType<typeof open>): Promise<string> =>
  ((await site.observe(probe())).faults ?? []).map(({ message }) => message).join('\n');
const nodeOf = (world: LedgerWorld, place: NodePlace | undefined) => {
  const node = world.running.get(place?.address ?? '');
  if (node === undefined) throw new Error('the node does not run');
  return node;
};
const diverge = (world: LedgerWorld, place: NodePlace | undefined, beyondRepair = false) => {
  const found = nodeOf(world, place).find({ organization: { slug: organization }, vault: { slug: vault } } as never);
  if (found === undefined) throw new Error('no such vault');
  Object.assign(found, { health: 'diverged', divergedAt: 3, beyondRepair });
};

describe.each(['A', 'B'] as const)('the ledger, interface %s (stand-in)', (profile) => {
  it('[S2-07] [S2-10] [S2-37] [S2-47] [E2-02] is seen with its members, leader and term, and large numbers stay exact', async () => {
    const { world, places } = await threeNodes({ profile });
    const site = open(places);
    const reading = await site.observe(probe());
    expect(reading).toMatchObject({
      health: 'up',
      evidence: { kind: 'answered' },
      faults: [],
      metrics: { ledger_site_voters_answering: 3, ledger_site_leader: 1 },
    });
    const ids = places.map((place) => nodeOf(world, place).nodeId);
    expect(reading.facts).toMatchObject({ nodes: 3, answering: 3, leader: ids[0] });
    const members = reading.facts?.members as { node: string }[] | undefined;
    expect(members?.map(({ node }) => node).sort()).toEqual([...ids].sort());
    if (profile === 'B') expect(reading.identity).toBe(`7${ids[0]}`);
    const checked = (await runStep(host, site, 'check', {})) as { tips: { organization: string; vault: string; height: string }[] };
    expect(checked.tips.map((tip) => [tip.organization, tip.vault, tip.height])).toEqual(
      expect.arrayContaining([
        [organization, vault, '5'],
        ['7', '1', '2'],
      ]),
    );
    await site.close();
  });

  it('[S2-01] [S2-07] goes on with one of three lost, and says that the next one would be too many', async () => {
    const { world, places } = await threeNodes({ profile });
    const site = open(places);
    await world.stopNode(places[0]?.address ?? '');
    world.write(organization, vault);
    const reading = await site.observe(probe());
    expect(reading).toMatchObject({ health: 'up', metrics: { ledger_site_voters_answering: 2 } });
    expect(reading.facts?.leader).toBe(nodeOf(world, places[1]).nodeId);
    const said = (reading.faults ?? []).map(({ message }) => message).join('\n');
    expect(said).toContain('a node does not answer');
    expect(said).toContain('2 of 3 voters answer: losing one more stops all writes');
    await site.close();
  });

  it('[S2-02] is down without a majority, and no change is sent to anyone', async () => {
    const { world, places } = await threeNodes({ profile });
    const leaving = nodeOf(world, places[2]).nodeId;
    await world.stopNode(places[0]?.address ?? '');
    await world.stopNode(places[1]?.address ?? '');
    expect(() => world.write(organization, vault)).toThrow(/no leader/);
    const site = open(places, { run: { leave: { node: leaving } } });
    expect(await site.observe(probe())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer', detail: expect.stringContaining('there is no leader') },
      metrics: { ledger_site_leader: 0 },
    });
    await expect(runStep(host, site, 'run', {})).rejects.toMatchObject({ code: 'SYSTEM_NOT_SERVING' });
    expect(nodeOf(world, places[2]).calls.some(({ name }) => name.endsWith('LeaveCluster'))).toBe(false);
    await site.close();
  });

  it('[S2-03] all of them lost is refused connections, and never healthy', async () => {
    const { world, places } = await threeNodes({ profile });
    const site = open(places);
    for (const { address } of places) await world.stopNode(address);
    expect(await site.observe(probe())).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
    await site.close();
  });

  it('[S2-08] [E2-01] [E2-12] has a lost node leave through the leader, by its number, wherever the leader is in the list', async () => {
    const { world, places } = await threeNodes({ profile });
    const lost = nodeOf(world, places[2]).nodeId;
    await world.stopNode(places[2]?.address ?? '');
    const site = open([...places].reverse(), { run: { leave: { node: lost } } });
    expect(await runStep(host, site, 'run', {})).toMatchObject({ detail: expect.stringContaining(`node ${lost} is no member`) });
    const sent = places.slice(0, 2).map((place) => nodeOf(world, place).calls.filter(({ name }) => name.endsWith('LeaveCluster')));
    expect(sent.map((calls) => calls.length)).toEqual([1, 0]);
    expect(sent[0]?.[0]?.request).toEqual({ node_id: lost });
    expect(await messages(open(places))).toContain('the cluster has 2 voters, and 3 are wanted');
    // Asked again, after a crash, nothing more is sent.
    expect(await runStep(host, site, 'run', {})).toMatchObject({ members: expect.any(Array) });
    expect(nodeOf(world, places[0]).calls.filter(({ name }) => name.endsWith('LeaveCluster'))).toHaveLength(1);
    await site.close();
  });

  it('[E2-12] does not take an OK without success for a success, and lets no last voter go', async () => {
    const { world, places } = await threeNodes({ profile });
    const id = nodeOf(world, places[2]).nodeId;
    world.leave = () => ({ success: false, message: 'not now' });
    const site = open(places, { run: { leave: { node: id } } });
    await expect(runStep(host, site, 'run', {})).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('not now'),
    });
    await site.close();
    const alone = await makePlaces(await directories.make('alone'), 1);
    await formCluster(world, await directories.make('alone'), alone);
    const last = open(alone, { voters: 1, run: { leave: { node: nodeOf(world, alone[0]).nodeId } } });
    await expect(runStep(host, last, 'run', {})).rejects.toMatchObject({ message: expect.stringContaining('last voter') });
    await last.close();
  });

  it('[S2-04] [S2-26] [S2-27] [E2-09] knows a diverged vault by its health, on each node, and names it', async () => {
    const { world, places } = await threeNodes({ profile });
    diverge(world, places[1]);
    nodeOf(world, places[1]).counters.determinism.set(profile === 'A' ? `{vault="${vault}"}` : '', 1);
    const site = open(places);
    const reading = await site.observe(probe());
    expect(reading.faults).toContainEqual(
      expect.objectContaining({
        severity: 'problem',
        message: expect.stringMatching(
          new RegExp(`vault ${vault} of organization ${organization} on ${places[1]?.address} is diverged since height 3`),
        ),
      }),
    );
    expect(reading.facts).toMatchObject({
      diverged: [{ organization, vault }],
      determinismBugs: [profile === 'A' ? { count: 1, vault } : { count: 1 }],
    });
    expect(reading.metrics?.ledger_site_vaults_diverged).toBe(1);
    await site.close();
  });

  it('[S2-26] asks about some vaults at each look, in turn, and about sick ones each time', async () => {
    const { world, places } = await threeNodes({ profile });
    for (let number = 100; number < 106; number += 1) world.write('7', String(number));
    diverge(world, places[0]);
    const site = open(places, { 'vaults-per-look': 3 });
    const diverged = async () => (await site.observe(probe())).facts?.diverged;
    const seen = [await diverged(), await diverged(), await diverged()];
    expect(seen).toContainEqual([{ organization, vault }]);
    expect(await diverged()).toEqual([{ organization, vault }]);
    await site.close();
  });

  it('[S2-28] recovers a diverged vault and waits until it is healthy', async () => {
    const { world, places } = await threeNodes({ profile });
    diverge(world, places[0]);
    const site = open(places, { run: { recover: { organization, vault } } });
    expect(await runStep(host, site, 'run', {})).toMatchObject({ height: '5' });
    const asked = nodeOf(world, places[0]).calls.filter(({ name }) => name.endsWith('RecoverVault'));
    expect(asked.map(({ request }) => request.force)).toEqual([false]);
    await site.close();
  });

  it('[S2-28] forces only with an approval, and takes no success:false for done', async () => {
    const { world, places } = await threeNodes({ profile });
    const forced = open(places, { run: { recover: { organization, vault, force: true } } });
    await expect(runStep(host, forced, 'run', {})).rejects.toMatchObject({ code: 'APPROVAL_MISSING' });
    expect(nodeOf(world, places[0]).calls.some(({ name }) => name.endsWith('RecoverVault'))).toBe(false);
    expect(await runStep(host, forced, 'run', { approvedBy: ['ada'] }, newJournal())).toMatchObject({ height: '5' });
    diverge(world, places[0], true);
    const site = open(places, { run: { recover: { organization, vault } } });
    await expect(runStep(host, site, 'run', {})).rejects.toMatchObject({ message: expect.stringContaining('replay diverged again') });
    await site.close();
    await forced.close();
  });

  it('[S2-14] [S2-19] [E2-10] checks every vault under its own organization, through all pages', async () => {
    const { world, places } = await threeNodes({ profile });
    world.pageSizeMax = 2;
    for (let number = 1; number <= 7; number += 1) world.write(organization, String(500 + number));
    const site = open(places);
    expect(await runStep(host, site, 'check', {})).toMatchObject({ vaults: 9 });
    const asked = nodeOf(world, places[0]).calls.filter(({ name }) => name.endsWith('CheckIntegrity'));
    expect(asked).toHaveLength(9);
    expect(asked.map(({ request }) => `${request.organization?.slug}/${request.vault?.slug}`)).toContain(`${organization}/507`);
    expect(asked.every(({ request }) => request.full_check === (true as never))).toBe(true);
    await site.close();
  });

  it('[S2-14] [E2-10] does not believe that a vault without a block is healthy, nor that no archive is no fault', async () => {
    const { world, places } = await threeNodes({ profile });
    world.write('7', '2', 0);
    const site = open(places);
    const look = async () => (await site.verbs.check?.inspect({}, stepContext(host, newJournal()))) as { state: string; why?: string };
    expect(await look()).toMatchObject({ state: 'pending', why: expect.stringContaining('has no block') });
    world.write('7', '2', 1);
    expect(await look()).toMatchObject({ state: 'done' });
    world.hasArchive = false;
    await expect(look()).rejects.toMatchObject({ code: 'SYSTEM_NOT_SERVING', message: expect.stringContaining('archive') });
    const quick = open(places, { 'full-check': false });
    expect(await runStep(host, quick, 'check', {})).toMatchObject({ vaults: 3 });
    await site.close();
    await quick.close();
  });

  it('[S2-29] [S2-30] [E2-11] takes a snapshot on a node with a whole copy, and believes the counter', async () => {
    const { world, places } = await threeNodes({ profile });
    diverge(world, places[0]);
    const site = open(places, { run: { snapshot: { organization, vault } } });
    expect(await runStep(host, site, 'run', {})).toMatchObject({ node: places[1]?.address, height: '5' });
    world.snapshotsWork = false;
    const journal = newJournal();
    const context = stepContext(host, journal);
    await site.verbs.run?.apply({}, context).catch((error: unknown) => expect(error).toMatchObject({ code: 'SYSTEM_REFUSED' }));
    expect(await site.verbs.run?.inspect({}, context)).toMatchObject({
      state: 'absent',
      why: expect.stringContaining('has written no snapshot'),
    });
    await site.close();
  });

  it('[S2-29] says so where no node has a whole copy', async () => {
    const { world, places } = await threeNodes({ profile });
    for (const place of places) diverge(world, place);
    const site = open(places, { run: { snapshot: { organization, vault } } });
    await expect(runStep(host, site, 'run', {})).rejects.toMatchObject({
      message: expect.stringContaining('no node has a whole copy'),
      hint: expect.stringContaining('Stop what writes'),
    });
    expect(await messages(site)).toContain('no node that answers has a healthy one');
    await site.close();
  });

  it('[E2-08] notices one data directory that was copied to another node', async () => {
    const { world, places, directory } = await threeNodes({ profile });
    const { cp } = await import('node:fs/promises');
    await world.stopNode(places[2]?.address ?? '');
    const [copy] = (await makePlaces(`${directory}/copy`, 1)) as [NodePlace];
    await cp(places[0]?.data ?? '', copy.data, { recursive: true });
    expect((await world.program([], { INFERADB__LEDGER__DATA: copy.data, INFERADB__LEDGER__LISTEN: copy.address })).exitCode).toBe(0);
    const site = open([places[0] as NodePlace, copy]);
    expect(await messages(site)).toContain(`both are node ${nodeOf(world, places[0]).nodeId}`);
    await site.close();
  });

  it('[E2-08] says that backup is not configured, as of a ledger that was not built with it', async () => {
    const { world, places } = await threeNodes({ profile });
    world.backupSettings = undefined;
    expect(await messages(open(places))).toContain('backup is not configured');
  });

  it('[S2-09] a replacement joins and becomes a voter', async () => {
    const { world, places, directory } = await threeNodes({ profile });
    const lost = nodeOf(world, places[2]).nodeId;
    await world.stopNode(places[2]?.address ?? '');
    const [fresh] = (await makePlaces(`${directory}/fresh`, 1)) as [NodePlace];
    await runStep(host, open(places, { run: { leave: { node: lost } } }), 'run', {});
    const { ledgerEnvironment } = await import('../../src/drivers/ledger/environment.ts');
    const env = ledgerEnvironment({
      profile,
      data: fresh.data,
      listen: fresh.address,
      metrics: fresh.metrics,
      start: { as: 'join', members: [places[0]?.address ?? ''] },
    });
    expect(await world.program([], env)).toMatchObject({ exitCode: 0 });
    if (profile === 'A') world.joinAtLeader(nodeOf(world, places[0]), nodeOf(world, fresh).nodeId, fresh.address);
    await votersOf(world, places[0]?.address ?? '', 3);
    expect(await messages(open([places[0], places[1], fresh] as NodePlace[]))).toBe('');
  });
});

describe('what is no healthy ledger (stand-in)', () => {
  const listen = async (server: Server): Promise<NodePlace> => {
    const port = await freePort();
    servers.push(server);
    server.on('connection', (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return { address: `127.0.0.1:${port}`, data: '/none', metrics: '127.0.0.1:1' };
  };

  it.each([
    ['a web page', () => createServer((_request, response) => response.end('<html>')) as unknown as Server],
    ['HTTP 429', () => createServer((_request, response) => response.writeHead(429).end()) as unknown as Server],
    ['a server that hangs up', () => createTcpServer((socket) => socket.destroy())],
    ['a server that says nothing', () => createTcpServer((socket) => socket.on('error', () => undefined).resume())],
  ])('%s', async (_name, make) => {
    const place = await listen(make());
    const site = open([place], {}, {}, 500);
    const reading = await site.observe(probe());
    expect(reading.health).not.toBe('up');
    expect(reading.evidence.kind).not.toBe('refused');
    await site.close();
  });

  it('[S2-47] another cluster than the spec names', async () => {
    const { places } = await threeNodes({ profile: 'B' });
    const site = open(places, {}, { 'cluster-id': '1234' });
    expect(await site.observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining('another cluster') },
    });
    await site.close();
  });

  it('two clusters at the addresses of one site', async () => {
    const first = await threeNodes({ profile: 'B' });
    const second = await threeNodes({ profile: 'B' });
    const site = open([first.places[0], second.places[0]] as NodePlace[]);
    expect(await messages(site)).toContain('belong to 2 different clusters');
    await site.close();
  });

  it('an option that would lose digits, two nodes of one directory, replication that does not exist', () => {
    const options = { run: { leave: { node: 12 } } };
    expect(driver.componentOptions.safeParse(options).success).toBe(false);
    expect(driver.componentOptions.safeParse({ run: { leave: { node: '18446744073709551616' } } }).success).toBe(false);
    const same = {
      nodes: [{ url: 'http://a:1' }, { url: 'http://a:1' }],
      key: new Secret('k', 'test'),
    };
    const site = driver.siteOptions.parse(same);
    const parsed = driver.componentOptions.parse({ run: { leave: { node: '1' }, snapshot: { organization: '1', vault: '1' } } });
    const faults =
      driver.validate?.({
        options: parsed,
        sites: new Map([
          ['east', site],
          ['west', site],
        ]),
        replication: 'asynchronous',
      }) ?? [];
    expect(faults.map(({ path }) => path.join('.'))).toEqual(
      expect.arrayContaining(['run', 'replication', 'sites.east.key', 'sites.east.nodes.1.url']),
    );
  });
});
