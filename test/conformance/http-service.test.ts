/** What the HTTP service driver promises beside what every workload does, on a real service. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/http-service/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { type RunningHttpService, startHttpService } from '../systems/http-service.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { runProgram } from '../systems/run-program.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const host = nodeHost({ logTo: 'silent' });
const signal = () => AbortSignal.timeout(5_000);

describe('an HTTP service', () => {
  let service: RunningHttpService;
  beforeAll(async () => {
    service = await startHttpService({ replicas: 2 });
  });
  afterAll(() => service?.stop());
  const open = (options: object, site: object = {}) =>
    openDriverSite(driver, { host, options, site: { url: service.url, ...site }, hands: plainHands(host) });

  it('reads the replicas from the body where it is told where', async () => {
    const site = open({
      health: { path: '/health/detailed', 'ready-count': 'replicas.ready', 'wanted-count': 'replicas.wanted' },
      'full-replicas': 4,
    });
    expect(await site.observe(signal())).toMatchObject({ health: 'up', replicas: { wanted: 2, ready: 2 } });
    const context = stepContext(host, newJournal());
    expect(await site.verbs['await-ready']?.inspect({ size: 'full', share: 0.5 }, context)).toEqual({
      state: 'done',
      output: { wanted: 4, ready: 2 },
    });
    expect(await site.verbs['await-ready']?.inspect({ size: 'full', share: 0.8 }, context)).toMatchObject({ state: 'pending' });
  });

  it('gives the same reading for the same answer, and a new one for another', async () => {
    const site = open({ health: { path: '/health/detailed', json: { 'components.*.status': 'healthy' } } });
    const first = await site.observe(signal());
    expect(await site.observe(signal())).toBe(first);
    await service.become('checking');
    expect((await site.observe(signal())).health).toBe('down');
    await service.become('healthy');
    expect((await site.observe(signal())).health).toBe('up');
  });

  it('[S5-24] [S5-35] runs smoke checks with a body and secret headers, and names the one that fails', async () => {
    const authorized = {
      path: '/echo',
      method: 'POST',
      body: { n: 1 },
      expect: { status: 201, 'content-type': 'application/json', json: { method: 'POST', body: '{"n":1}', authorized: true } },
    };
    const headers = { Authorization: new Secret('Bearer s3cret-of-the-test', 'env:TOKEN') };
    const good = open({
      smoke: [
        { path: '/health/detailed', expect: { json: { status: 'healthy' } } },
        { ...authorized, headers },
      ],
    });
    expect(await runStep(host, good, 'check', {})).toEqual({ detail: `2 smoke checks passed at ${service.url}` });
    const bad = open({ smoke: [{ path: '/health/detailed' }, authorized] });
    expect(await bad.verbs.check?.inspect({}, stepContext(host, newJournal()))).toEqual({
      state: 'pending',
      why: `smoke check 2 of 2, POST ${service.url}/echo: authorized is false, not true`,
    });
  });

  it('does not take a refusal of our credentials for ill health', async () => {
    expect(await open({ health: { path: '/private' } }).observe(signal())).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'not-allowed' },
    });
    expect(await open({ health: { path: '/nowhere', status: 404 } }).observe(signal())).toMatchObject({ health: 'up' });
    expect(await open({ health: { path: '/nowhere' } }).observe(signal())).toMatchObject({
      health: 'down',
      evidence: { kind: 'wrong-answer' },
    });
  });

  it('says that an authority can not be read, and does not call the service down for it', async () => {
    const reading = await open({}, { ca: '/nonexistent/ca.pem' }).observe(signal());
    expect(reading).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    expect(reading.evidence.detail).toContain('/nonexistent/ca.pem');
  });

  it('tells a name that is not known from a host that refuses', async () => {
    const reading = await open({}, { url: 'http://no-such-host.invalid:8000' }).observe(signal());
    expect(reading).toMatchObject({ health: 'unknown' });
  });

  it('[X-07] shows no secret that the service sends back', async () => {
    const secret = { Authorization: new Secret('Bearer s3cret-of-the-test', 'env:TOKEN') };
    const site = open(
      { health: { path: '/mirror', contains: 'welcome' }, smoke: [{ path: '/mirror', expect: { contains: 'welcome' } }] },
      { headers: secret },
    );
    const reading = await site.observe(signal());
    expect(reading.evidence.detail).toBe(`${service.url}/mirror: the body does not contain "welcome": you sent [redacted]`);
    const inspection = await site.verbs.check?.inspect({}, stepContext(host, newJournal()));
    expect(JSON.stringify([reading, inspection])).not.toContain('s3cret');
  });

  it('trusts the authority that the site names, and calls a server that it can not trust neither up nor down', async () => {
    const dir = await temporaryDirectory('tls');
    const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    await runProgram([
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      key,
      '-out',
      certificate,
      ...subject,
    ]);
    const server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (_, response) => response.end('welcome'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `https://localhost:${(server.address() as AddressInfo).port}`;
      expect(await open({}, { url, ca: certificate }).observe(signal())).toMatchObject({ health: 'up' });
      expect(await open({}, { url }).observe(signal())).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    } finally {
      server.closeAllConnections();
      server.close();
      await removeDirectory(dir);
    }
  });

  it('fails a scaling command with its words, and a count that is none', async () => {
    const failing = open({ 'scale-command': ['sh', '-c', 'echo quota exceeded >&2; exit 7'] }).verbs.scale;
    await expect(failing?.apply({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('quota exceeded'),
    });
    const miscounting = open({ 'scale-command': ['true'], 'count-command': ['echo', 'many'] }).verbs.scale;
    await expect(miscounting?.inspect({ size: 'full' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_ANSWER',
    });
  });

  it('refuses a placeholder beside other text, and a secret written out is impossible in arguments', () => {
    expect(() => open({ 'scale-command': ['kubectl', '--replicas={replicas}'] })).toThrow(
      '"--replicas={replicas}" holds a placeholder beside other text',
    );
    expect(() => open({ 'scale-command': ['x', { env: 'TOKEN' }] })).toThrow();
    expect(() => open({ 'full-replicas': 2, 'standby-replicas': 3 })).toThrow('more than the 2 of full-replicas');
  });
});
