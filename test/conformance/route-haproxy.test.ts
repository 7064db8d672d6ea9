/** What is special to a route by load balancers: weights, health checks, sessions, several of them, reloads. */

import type { Server } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { driver } from '../../src/drivers/haproxy/driver.ts';
import { FakeHaproxy, type FakeHaproxyOptions } from '../../src/drivers/haproxy/fake.ts';
import type { Host } from '../../src/host/host.ts';
import { type RunningHaproxy, startHaproxy } from '../systems/haproxy.ts';
import { waitFor } from '../systems/http-service.ts';
import { describeSystem } from '../systems/requirement.ts';
import { realHost } from './dns-route-subjects.ts';
import { askForRegion, openHaproxySite, startRegionServer } from './haproxy-route-subjects.ts';
import { openRouteSite } from './open-route-site.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(5_000);
const messagesOf = (reading: { readonly faults?: readonly { readonly message: string }[] }) =>
  (reading.faults ?? []).map(({ message }) => message).join('\n');
const sockets = ['/run/lb1.sock', '/run/lb2.sock'] as const;

function startFake(more: Partial<FakeHaproxyOptions> = {}): { readonly fake: FakeHaproxy; readonly host: Host } {
  const fake = new FakeHaproxy({ addresses: sockets, backend: 'app', servers: [{ name: 'east' }, { name: 'west' }], ...more });
  return { fake, host: { ...realHost, net: { ...realHost.net, ...fake.net } } };
}

describe('a route by several load balancers, simulated', () => {
  it('is done only when all of them agree, and sets those that answer meanwhile', async () => {
    const { fake, host } = startFake();
    const site = openHaproxySite('east', host, sockets);
    fake.setState(sockets[1], 'stopped');
    const context = () => stepContext(host, newJournal());
    await expect(site.verbs.route?.apply({ to: 'west' }, context())).rejects.toMatchObject({
      code: 'SYSTEM_UNREACHABLE',
      kind: 'transient',
    });
    expect(fake.request(sockets[0])).toBe('west');
    expect(await site.verbs.route?.inspect({ to: 'west' }, context())).toMatchObject({
      state: 'pending',
      why: expect.stringContaining(sockets[1]),
    });
    fake.setState(sockets[1], 'running');
    expect(await runStep(host, site, 'route', { to: 'west' })).toMatchObject({ confirmedBy: sockets });
    expect(fake.request(sockets[1])).toBe('west');
  });

  it('notices a load balancer that has forgotten the route in a reload', async () => {
    const { fake, host } = startFake();
    const site = openHaproxySite('west', host, sockets);
    await runStep(host, site, 'route', { to: 'west' });
    expect(await site.observe(probe())).toMatchObject({ health: 'up', role: 'primary' });
    fake.reload(sockets[0]);
    const reading = await site.observe(probe());
    expect(reading.role).toBe('unknown');
    expect(messagesOf(reading)).toContain('the load balancers disagree');
  });

  it('says that a reload may lose the route, until the spec says that it does not', async () => {
    const { host } = startFake();
    expect(messagesOf(await openHaproxySite('east', host, sockets).observe(probe()))).toContain(
      'not known whether HAProxy keeps the route',
    );
    expect(messagesOf(await openHaproxySite('east', host, sockets, 1_000, { 'survives-reload': true }).observe(probe()))).toBe('');
  });

  it('does not call a route done while no server of the region is up', async () => {
    const { fake, host } = startFake();
    fake.setServerUp('west', false);
    const site = openHaproxySite('west', host, sockets);
    await site.verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()));
    expect(await site.verbs.route?.inspect({ to: 'west' }, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    expect(messagesOf(await site.observe(probe()))).toContain('no server of west passes its health check');
  });

  it('shares traffic between regions with unlike numbers of servers', async () => {
    const { fake, host } = startFake({ servers: [{ name: 'e1' }, { name: 'e2' }, { name: 'w1' }] });
    const sites = { east: { server: ['e1', 'e2'] }, west: { server: 'w1' } };
    const site = openRouteSite(driver, {
      host,
      region: 'east',
      probeTimeoutMs: 1_000,
      options: { admin: [...sockets], backend: 'app' },
      sites,
    });
    await runStep(host, site, 'route', { weights: { east: 50, west: 50 } });
    const answers = Array.from({ length: 1_000 }, () => fake.request(sockets[0]));
    expect(answers.filter((server) => server === 'w1')).toHaveLength(500);
  });

  it('lets sessions end first, then cuts them', async () => {
    const { fake, host } = startFake();
    fake.setSessions('east', 3);
    const options = { 'drain-time': '300ms', 'shutdown-sessions': true };
    const journal = newJournal();
    const begunMs = performance.now();
    await runStep(host, openHaproxySite('east', host, sockets, 1_000, options), 'route', { to: 'west' }, journal);
    expect(performance.now() - begunMs).toBeGreaterThan(290);
    expect(fake.changes(sockets[0])).toEqual([
      'set var proc.holdfast_epoch_app int(1)',
      'set weight app/west 100',
      'set server app/east state drain',
      'set server app/east state maint',
      'shutdown sessions server app/east',
    ]);
    expect(journal.note).toMatchObject({ drainUntilMs: expect.any(Number) });
  });

  it('does not begin to wait anew after a restart of the controller', async () => {
    const { fake, host } = startFake();
    fake.setSessions('east', 3);
    const journal = { ...newJournal(), note: { drainUntilMs: host.clock.nowMs() - 1 } };
    const begunMs = performance.now();
    await runStep(
      host,
      openHaproxySite('east', host, sockets, 1_000, { 'drain-time': '1h', 'shutdown-sessions': true }),
      'route',
      { to: 'west' },
      journal,
    );
    expect(performance.now() - begunMs).toBeLessThan(1_000);
  });
});

describeSystem('haproxy', 'a route by a real HAProxy', () => {
  const disposals: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const dispose of disposals.splice(0).reverse()) await dispose();
  });

  async function start(
    extra = 'check inter 200ms fall 2 rise 1',
  ): Promise<{ readonly haproxy: RunningHaproxy; readonly web: readonly (Server & { readonly port: number })[] }> {
    const web = [await startRegionServer('east'), await startRegionServer('west')];
    for (const server of web) disposals.push(async () => server.close().closeAllConnections());
    const servers = web.map(({ port }, index) => ({ name: index === 0 ? 'east' : 'west', address: '127.0.0.1', port, extra }));
    const haproxy = await startHaproxy({ mode: 'http', servers });
    disposals.push(() => haproxy.stop());
    return { haproxy, web };
  }

  async function countAnswers(port: number, count: number): Promise<Readonly<Record<string, number>>> {
    const counts: Record<string, number> = {};
    for (let asked = 0; asked < count; asked += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => askForRegion(port)));
      for (const answer of answers) counts[answer ?? 'none'] = (counts[answer ?? 'none'] ?? 0) + 1;
    }
    return counts;
  }

  it('sends 10, 50 and 100 % of 1,000 real requests to the canary region', async () => {
    const { haproxy } = await start();
    const site = openHaproxySite('east', realHost, haproxy.adminSocket);
    for (const share of [10, 50, 100]) {
      await runStep(realHost, site, 'route', { weights: { east: share, west: 100 - share } });
      const counts = await countAnswers(haproxy.port, 1_000);
      expect(counts.none ?? 0).toBe(0);
      expect(Math.abs((counts.east ?? 0) - share * 10)).toBeLessThanOrEqual(10);
    }
  });

  it('[S5-17] moves the traffic of a dead server within its health checks, without anybody acting', async () => {
    const { haproxy, web } = await start();
    await runStep(realHost, openHaproxySite('east', realHost, haproxy.adminSocket), 'route', { weights: { east: 50, west: 50 } });
    const diedMs = performance.now();
    web[0]?.close().closeAllConnections();
    // A request that meets the dead server waits for HAProxy's own retries: so none waits for another.
    const requests: Promise<{ readonly startedMs: number; readonly answer: string | undefined }>[] = [];
    while (performance.now() - diedMs < 2_000) {
      const startedMs = performance.now() - diedMs;
      requests.push(askForRegion(haproxy.port).then((answer) => ({ startedMs, answer })));
      await realHost.clock.sleep(20);
    }
    const answers = await Promise.all(requests);
    const lastUnansweredMs = Math.max(0, ...answers.filter(({ answer }) => answer !== 'west').map(({ startedMs }) => startedMs));
    expect(answers.length).toBeGreaterThan(20);
    // Two failed checks 200 ms apart, and time for a busy machine.
    expect(lastUnansweredMs).toBeLessThan(1_200);
    const reading = await openHaproxySite('east', realHost, haproxy.adminSocket).observe(probe());
    expect(reading.role).toBe('standby');
    expect(messagesOf(reading)).toContain('no server of east passes its health check');
  });

  it('loses no request while traffic moves there and back', async () => {
    const { haproxy } = await start();
    const site = openHaproxySite('east', realHost, `127.0.0.1:${haproxy.adminPort}`);
    let moving = true;
    const asking = (async () => {
      const lost: unknown[] = [];
      while (moving) if ((await askForRegion(haproxy.port)) === undefined) lost.push(performance.now());
      return lost;
    })();
    for (const [index, to] of ['west', 'east', 'west'].entries()) await runStep(realHost, site, 'route', { to }, newJournal(index + 1));
    moving = false;
    expect(await asking).toHaveLength(0);
  });

  it('cuts the open sessions of the old side where the spec wants it', async () => {
    const { haproxy } = await start();
    const site = openHaproxySite('east', realHost, haproxy.adminSocket, 1_000, { 'shutdown-sessions': true });
    await runStep(realHost, site, 'route', { to: 'east' });
    const web = await startSlowServer();
    disposals.push(web.close);
    await haproxy.admin(`set server app/east addr 127.0.0.1 port ${web.port}`);
    const socket = connect({ host: '127.0.0.1', port: haproxy.port });
    // HAProxy says 502 to a client whose session with a server it cuts.
    const cut = new Promise<string>((resolve, reject) => {
      socket.on('data', (data) => resolve(data.toString()));
      socket.on('error', reject);
    });
    disposals.push(async () => socket.destroy());
    socket.write('GET / HTTP/1.1\r\nHost: app\r\n\r\n');
    await waitFor(() => web.requests() > 0, 'the request to reach the old side');
    await runStep(realHost, site, 'route', { to: 'west' }, newJournal(2));
    expect(await cut).toMatch(/^HTTP\/1\.1 502 /);
    expect(await askForRegion(haproxy.port)).toBe('west');
  });

  it('tells a server from a backend that is not there, and a weight that can not be set', async () => {
    const { haproxy } = await start();
    const open = (more: object, sites: object = {}) =>
      openRouteSite(driver, {
        host: realHost,
        region: 'east',
        probeTimeoutMs: 1_000,
        options: { admin: haproxy.adminSocket, backend: 'app', ...more },
        sites: { east: { server: 'east' }, west: { server: 'west' }, ...sites },
      });
    const apply = (site: ReturnType<typeof open>) => site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()));
    await expect(apply(open({ backend: 'nope' }))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('no such backend'),
    });
    await expect(apply(open({}, { west: { server: 'nope' } }))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('no server nope'),
    });
    await expect(apply(open({ admin: `127.0.0.1:${haproxy.port}` }))).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_ANSWER',
      message: expect.stringContaining('speaks HTTP'),
    });
    await expect(apply(open({ admin: '/nowhere.sock' }))).rejects.toMatchObject({ kind: 'transient' });
  });

  it('warns of servers that nobody checks', async () => {
    const { haproxy } = await start('');
    expect(messagesOf(await openHaproxySite('east', realHost, haproxy.adminSocket).observe(probe()))).toContain('east has no health check');
  });
});

/** Takes requests and never answers. */
async function startSlowServer(): Promise<{ readonly port: number; requests(): number; close(): Promise<void> }> {
  const { createServer } = await import('node:http');
  let requests = 0;
  const server = createServer(() => {
    requests += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    requests: () => requests,
    close: async () => void server.close().closeAllConnections(),
  };
}
