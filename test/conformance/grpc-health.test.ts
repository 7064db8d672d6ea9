/** Health by gRPC, on real servers; and what stands in the place of one. */
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Site } from '../../src/contracts/driver.ts';
import { driver } from '../../src/drivers/grpc-health/driver.ts';
import { decodeResponse, encodeRequest } from '../../src/drivers/grpc-health/messages.ts';
import { makeCertificate, startFaultyHttp } from '../systems/faulty-http.ts';
import { type GrpcHealthOptions, type RunningGrpcHealth, startGrpcHealth } from '../systems/grpc-health.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { realHost } from './dns-route-subjects.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(10_000);
const running: { stop(): Promise<void> }[] = [];
const sites: Site[] = [];
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close();
  for (const each of running.splice(0)) await each.stop();
});
const start = async (options: GrpcHealthOptions = {}): Promise<RunningGrpcHealth> => {
  const server = await startGrpcHealth(options);
  running.push(server);
  return server;
};
const open = (address: string, options: object = {}, site: object = {}, probeTimeoutMs = 3_000): Site => {
  const opened = openDriverSite(driver, { host: realHost, options, site: { address, ...site }, probeTimeoutMs });
  sites.push(opened);
  return opened;
};

describe('health by gRPC', () => {
  it.each([
    [1, 'up', 'answered'],
    [2, 'down', 'wrong-answer'],
    [0, 'unknown', 'error'],
    [null, 'unknown', 'error'],
    [3, 'unknown', 'error'],
    [9, 'unknown', 'error'],
  ] as const)('a state of %s is %s', async (state, health, kind) => {
    const server = await start();
    server.states.set('', state);
    expect(await open(server.address).observe(probe())).toMatchObject({ health, evidence: { kind } });
  });

  it('wants every service that was named, and names the one that is not serving', async () => {
    const server = await start();
    server.states.set('ledger.v1.Writes', 1).set('ledger.v1.Reads', 1);
    const site = open(server.address, { services: ['ledger.v1.Writes', 'ledger.v1.Reads'] });
    expect((await site.observe(probe())).health).toBe('up');
    expect(await site.verbs.check?.inspect({}, stepContext(realHost, newJournal()))).toMatchObject({ state: 'done' });
    server.states.set('ledger.v1.Reads', 2);
    expect(await site.observe(probe())).toMatchObject({
      health: 'down',
      evidence: { detail: `ledger.v1.Reads at ${server.address} is NOT_SERVING` },
    });
    expect(await site.verbs.check?.inspect({}, stepContext(realHost, newJournal()))).toMatchObject({ state: 'pending' });
  });

  it('says that a service is not known there, and that there is no health service', async () => {
    const server = await start();
    const unknown = await open(server.address, { services: ['no.such.Service'] }).observe(probe());
    expect(unknown).toMatchObject({
      health: 'unknown',
      faults: [{ message: expect.stringContaining('knows nothing of the service no.such.Service') }],
    });
    const without = await start({ without: true });
    const reading = await open(without.address).observe(probe());
    expect(reading).toMatchObject({ health: 'unknown', faults: [{ message: expect.stringContaining('has no grpc.health.v1.Health') }] });
  });

  it('sends headers, and takes a refusal of them for no ill health', async () => {
    const server = await start();
    server.token = 'Bearer token-of-the-test';
    const headers = { authorization: new Secret('Bearer token-of-the-test', 'env:T') };
    expect((await open(server.address, {}, { headers }).observe(probe())).health).toBe('up');
    const refused = await open(server.address).observe(probe());
    expect(refused).toMatchObject({ health: 'unknown', evidence: { kind: 'not-allowed' } });
    expect(JSON.stringify(refused)).not.toContain('token-of-the-test');
  });

  it('is silent where nothing comes back, down where the host refuses, and up again by itself', async () => {
    const server = await start();
    const site = open(server.address, {}, {}, 400);
    expect((await site.observe(probe())).health).toBe('up');
    server.hanging = true;
    expect(await site.observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
    await server.stop();
    await expect.poll(async () => (await site.observe(probe())).evidence.kind).toBe('refused');
    expect((await site.observe(probe())).health).toBe('down');
    await start({ port: Number(server.address.split(':')[1]) });
    await expect.poll(async () => (await site.observe(probe())).health).toBe('up');
  });

  it('ends soon after it is interrupted', async () => {
    const server = await start();
    server.hanging = true;
    const begunMs = performance.now();
    expect((await open(server.address, {}, {}, 20_000).observe(AbortSignal.timeout(100))).health).toBe('unknown');
    expect(performance.now() - begunMs).toBeLessThan(10_000);
  });
});

describe('health by gRPC with TLS', () => {
  let dir: string;
  let pair: { readonly cert: string; readonly key: string };
  let ca: string;
  beforeAll(async () => {
    dir = await temporaryDirectory('grpc-health');
    pair = await makeCertificate('IP:127.0.0.1');
    ca = join(dir, 'ca.pem');
    await writeFile(ca, pair.cert);
  });
  afterAll(() => removeDirectory(dir));

  it('is up by the authority that the site names, and neither up nor down without it', async () => {
    const server = await start({ tls: pair });
    expect((await open(server.address, {}, { tls: { ca } }).observe(probe())).health).toBe('up');
    expect(await open(server.address, {}, { tls: {} }).observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    expect(await open(server.address, {}, { tls: { ca: '/nonexistent/ca.pem' } }).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'error', detail: expect.stringContaining('/nonexistent/ca.pem') },
    });
  });

  it('takes a certificate for another name only where that name is expected', async () => {
    const other = await makeCertificate('DNS:ledger.internal');
    const otherCa = join(dir, 'other.pem');
    await writeFile(otherCa, other.cert);
    const server = await start({ tls: other });
    expect((await open(server.address, {}, { tls: { ca: otherCa } }).observe(probe())).health).toBe('unknown');
    expect((await open(server.address, {}, { tls: { ca: otherCa, 'server-name': 'ledger.internal' } }).observe(probe())).health).toBe('up');
  });

  it('is unknown where one side has TLS and the other has not', async () => {
    const [plain, encrypted] = [await start(), await start({ tls: pair })];
    expect((await open(plain.address, {}, { tls: { ca } }).observe(probe())).health).toBe('unknown');
    expect(await open(encrypted.address).observe(probe())).toMatchObject({ health: 'unknown' });
  });
});

describe('what stands in the place of a gRPC server (stand-in)', () => {
  it.each(['web-page', 'server-error', 'too-many-requests', 'half-json', 'cut-off', 'reset'] as const)(
    '%s is never healthy',
    async (answer) => {
      const server = await startFaultyHttp(answer);
      running.push(server);
      const reading = await open(`127.0.0.1:${server.port}`).observe(probe());
      expect(reading.health).toBe('unknown');
    },
  );

  it('one that closes each connection is never healthy', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    running.push({ stop: async () => void server.close() });
    expect((await open(`127.0.0.1:${(server.address() as AddressInfo).port}`).observe(probe())).health).not.toBe('up');
  });
});

describe('messages of grpc.health.v1', () => {
  it('are written as protobuf has them', () => {
    expect(encodeRequest('')).toEqual(Buffer.alloc(0));
    expect(encodeRequest('a.B')).toEqual(Buffer.from([0x0a, 3, 0x61, 0x2e, 0x42]));
    expect(encodeRequest('x'.repeat(200)).subarray(0, 3)).toEqual(Buffer.from([0x0a, 0xc8, 0x01]));
  });

  it('are read with fields that are not known yet, and not where they are something else', () => {
    expect(decodeResponse(Buffer.from([0x08, 1, 0x12, 1, 0x61, 0x18, 7]))).toBe('SERVING');
    expect(decodeResponse(Buffer.from([0x12, 1, 0x61, 0x08, 2]))).toBe('NOT_SERVING');
    for (const bytes of [[0x08], [0x12, 9, 1], [0x0b], [0x0a, 1, 1], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]])
      expect(() => decodeResponse(Buffer.from(bytes)), String(bytes)).toThrow(HoldfastError);
  });
});

describe('gRPC: what a spec may not say', () => {
  it('a certificate without its key', () => {
    expect(() => open('127.0.0.1:1', {}, { tls: { certificate: '/c.pem' } })).toThrow('belong together');
    expect(() => open('http://127.0.0.1:1')).toThrow('host:port');
  });
});
