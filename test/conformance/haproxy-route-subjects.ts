/** An HAProxy as a route: in memory, and a real one whose clients make real HTTP requests. */

import { readFile, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/haproxy/driver.ts';
import { FakeHaproxy } from '../../src/drivers/haproxy/fake.ts';
import type { Host } from '../../src/host/host.ts';
import { type RunningHaproxy, startHaproxy } from '../systems/haproxy.ts';
import { realHost } from './dns-route-subjects.ts';
import { openRouteSite } from './open-route-site.ts';
import type { RouteHarness, RouteRegion, RouteSubject } from './route.ts';

export function openHaproxySite(
  region: RouteRegion,
  host: Host,
  admin: string | readonly string[],
  probeTimeoutMs = 1_000,
  more: object = {},
): Site {
  return openRouteSite(driver, {
    host,
    region,
    probeTimeoutMs,
    options: { admin, backend: 'app', ...more },
    sites: { east: { server: 'east' }, west: { server: 'west' } },
  });
}

function isChange(data: Uint8Array): boolean {
  return /^(set |shutdown |experimental-mode on; set )/.test(Buffer.from(data).toString());
}

function byHand(to: RouteRegion): readonly string[] {
  const from = to === 'east' ? 'west' : 'east';
  return [`set server app/${to} state ready`, `set server app/${from} state maint`];
}

export const fakeHaproxy: RouteHarness = {
  name: 'HAProxy, simulated',
  traits: { weights: true, compareAndSwap: false },
  async start(): Promise<RouteSubject> {
    const address = '/run/haproxy/admin.sock';
    const servers = [{ name: 'east' }, { name: 'west' }];
    const fake = new FakeHaproxy({ addresses: [address], backend: 'app', servers });
    const user = new FakeHaproxy({ addresses: [address], backend: 'app', servers, level: 'user' });
    for (const command of byHand('east')) fake.command(address, command);
    const withNet = (net: FakeHaproxy['net']): Host => ({ ...realHost, net: { ...realHost.net, ...net } });
    const host = withNet(fake.net);
    return {
      host,
      openSite: (region, options = {}) =>
        openHaproxySite(
          region,
          options.credentials === 'wrong' ? withNet(user.net) : (options.host ?? host),
          address,
          options.probeTimeoutMs,
        ),
      clientRegion: async () => fake.request(address) as RouteRegion | undefined,
      changes: async () => undefined,
      routeByHand: async (to) => {
        for (const command of byHand(to)) fake.command(address, command);
      },
      isChange,
      kill: async () => fake.setState(address, 'stopped'),
      hang: () => fake.setState(address, 'hung'),
      dispose: async () => {},
    };
  },
};

/** A web server that says its region. */
export async function startRegionServer(region: RouteRegion): Promise<Server & { readonly port: number }> {
  const server = createServer((_, response) => response.end(region));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}

/** One request on a connection of its own; the region that answered, or undefined for any error. */
export function askForRegion(port: number): Promise<RouteRegion | undefined> {
  return new Promise((resolve) => {
    const request = httpRequest({ host: '127.0.0.1', port, agent: false, timeout: 2_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(response.statusCode === 200 && (body === 'east' || body === 'west') ? body : undefined));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
    request.end();
  });
}

/** Adds a socket that may only look, as `level user` in the configuration does, and starts it anew. */
export async function addUserSocket(haproxy: RunningHaproxy): Promise<string> {
  const configFile = join(haproxy.dir, 'haproxy.cfg');
  const socket = join(haproxy.dir, 'user.sock');
  const config = await readFile(configFile, 'utf8');
  await haproxy.kill();
  await writeFile(configFile, config.replace('defaults\n', `  stats socket ${socket} mode 600 level user\ndefaults\n`));
  await haproxy.start();
  return socket;
}

export const realHaproxy: RouteHarness = {
  name: 'HAProxy',
  traits: { weights: true, compareAndSwap: false },
  async start(): Promise<RouteSubject> {
    const web = await Promise.all([startRegionServer('east'), startRegionServer('west')]);
    const servers = web.map(({ port }, index) => ({
      name: index === 0 ? 'east' : 'west',
      address: '127.0.0.1',
      port,
      extra: 'check inter 100ms',
    }));
    const haproxy = await startHaproxy({ mode: 'http', servers });
    const userSocket = await addUserSocket(haproxy);
    const routeByHand = async (to: RouteRegion) => {
      for (const command of byHand(to)) await haproxy.admin(command);
    };
    await routeByHand('east');
    return {
      host: realHost,
      openSite: (region, options = {}) =>
        openHaproxySite(
          region,
          options.host ?? realHost,
          options.credentials === 'wrong' ? userSocket : haproxy.adminSocket,
          options.probeTimeoutMs,
        ),
      clientRegion: () => askForRegion(haproxy.port),
      changes: async () => undefined,
      routeByHand,
      isChange,
      kill: () => haproxy.kill(),
      hang: () => haproxy.pause(),
      dispose: async () => {
        await haproxy.stop();
        for (const server of web) server.close();
      },
    };
  },
};
