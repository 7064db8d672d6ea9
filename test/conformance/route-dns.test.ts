/** What is special to a route by DNS: TTLs, several name servers, refusals, caches. */
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { type RunningBind, startBind } from '../systems/bind.ts';
import { startBindCache } from '../systems/bind-cache.ts';
import { waitFor } from '../systems/http-service.ts';
import { describeSystem } from '../systems/requirement.ts';
import { addresses, bindTarget, fakeServers, openDnsSite, realHost, record, startFakeNameServers } from './dns-route-subjects.ts';
import { newJournal, runStep, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(5_000);
const messagesOf = (reading: { readonly faults?: readonly { readonly message: string }[] }) =>
  (reading.faults ?? []).map(({ message }) => message).join('\n');

describe('a route by DNS with several name servers, simulated', () => {
  it('finds the name servers by the NS records and is done only when all of them answer the new address', async () => {
    const { fake, host, target } = startFakeNameServers();
    const site = openDnsSite('east', host, target);
    const context = () => stepContext(host, newJournal());
    fake.transfers = false;
    await site.verbs.route?.apply({ to: 'west' }, context());
    const early = await site.verbs.route?.inspect({ to: 'west' }, context());
    expect(early).toMatchObject({ state: 'pending', why: expect.stringContaining('10.1.0.53:53 still answers 192.0.2.1') });
    expect(messagesOf(await site.observe(probe()))).toContain('the name servers disagree');
    expect((await site.observe(probe())).role).toBe('unknown');
    fake.transfers = true;
    fake.edit((records) => records);
    expect(await site.verbs.route?.inspect({ to: 'west' }, context())).toMatchObject({
      state: 'done',
      output: { confirmedBy: ['10.0.0.53:53', '10.1.0.53:53'] },
    });
  });

  it('waits for a name server that is gone, unless the spec says that those which answer are enough', async () => {
    const { fake, host, target } = startFakeNameServers();
    fake.setState(fakeServers.secondary, 'stopped');
    const strict = openDnsSite('east', host, target);
    await strict.verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()));
    expect(await strict.verbs.route?.inspect({ to: 'west' }, stepContext(host, newJournal()))).toMatchObject({ state: 'pending' });
    const lenient = openDnsSite('east', host, { ...target, more: { confirm: 'answering' } });
    expect(await lenient.verbs.route?.inspect({ to: 'west' }, stepContext(host, newJournal()))).toMatchObject({
      state: 'done',
      output: { silent: ['10.1.0.53:53'] },
    });
  });

  it('is still up for clients when the primary is gone, and says that nothing can be changed', async () => {
    const { fake, host, target } = startFakeNameServers();
    fake.setState(fakeServers.primary, 'stopped');
    const reading = await openDnsSite('east', host, { ...target, authorities: ['10.0.0.53:53', '10.1.0.53:53'] }).observe(probe());
    expect(reading).toMatchObject({ health: 'up', role: 'primary' });
    expect(messagesOf(reading)).toContain("the record can't be changed");
  });

  it('a clock of ours that is wrong keeps nobody from leading clients away: the name server tells its own, under the key', async () => {
    const { host, target } = startFakeNameServers();
    const clock = { ...host.clock, nowMs: () => host.clock.nowMs() + 3_600_000 };
    const skewed = { ...host, clock };
    await runStep(skewed, openDnsSite('east', skewed, target), 'route', { to: 'west' });
    expect((await openDnsSite('west', host, target).observe(probe())).role).toBe('primary');
  });

  it('says that a record is missing, creates it, and says that traffic goes to no region', async () => {
    const { fake, host, target } = startFakeNameServers();
    fake.edit((records) => records.filter((each) => each.name !== record));
    const site = openDnsSite('west', host, target);
    expect(await site.observe(probe())).toMatchObject({ health: 'up', role: 'none' });
    expect(messagesOf(await site.observe(probe()))).toContain('has no record of type A');
    await runStep(host, site, 'route', { to: 'west' });
    expect((await site.observe(probe())).role).toBe('primary');
  });

  it.each([
    ['failing', 'SYSTEM_NOT_SERVING'],
    ['stopped', 'SYSTEM_UNREACHABLE'],
  ] as const)('a primary that is %s is %s', async (state, code) => {
    const { fake, host, target } = startFakeNameServers();
    fake.setState(fakeServers.primary, state);
    const apply = openDnsSite('east', host, target).verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()));
    await expect(apply).rejects.toMatchObject({ code });
  });
});

describe('a route by DNS: what a spec may not say', () => {
  const { host, target } = startFakeNameServers();
  it.each([
    [{ record: 'api.other.test' }, 'is not in the zone'],
    [{ type: 'CNAME', record: 'example.test' }, 'can not be a CNAME'],
    [{ ttl: '1500ms' }, 'whole number of seconds'],
    [{ type: 'AAAA' }, 'is not an IPv6 address'],
  ])('%j', (more, message) => {
    expect(() => openDnsSite('east', host, { ...target, more })).toThrow(message);
  });

  it('a secret that is no base64 is refused before anything is sent', async () => {
    const site = openDnsSite('east', host, { ...target, secret: new Secret('not base64!', 'env:DNS_KEY') });
    await expect(site.verbs.route?.apply({ to: 'west' }, stepContext(host, newJournal()))).rejects.toMatchObject({
      code: 'SPEC_INVALID',
      message: expect.not.stringContaining('not base64!'),
    });
  });
});

describeSystem('bind', 'a route by DNS on BIND', () => {
  const running: { stop(): Promise<void> }[] = [];
  const bindWith = async (...records: string[]): Promise<RunningBind> => {
    const bind = await startBind({ records });
    running.push(bind);
    return bind;
  };
  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop();
  });

  it.each([3_600, -3_600])('is moved by a controller whose clock is wrong by %i s', async (aheadSeconds) => {
    const bind = await bindWith(`api 30 IN A ${addresses.east}`);
    const clock = { ...realHost.clock, nowMs: () => realHost.clock.nowMs() + aheadSeconds * 1_000 };
    const skewed = { ...realHost, clock };
    const site = openDnsSite('west', skewed, bindTarget(bind));
    running.push({ stop: () => site.close() });
    await runStep(skewed, site, 'route', { to: 'west' });
    expect(await bind.records(record, 'A')).toMatchObject([{ data: addresses.west }]);
  });

  it('[S3-13] sees a TTL that is too high before a failover, and mends it without moving traffic', async () => {
    const bind = await bindWith(`api 3600 IN A ${addresses.east}`);
    const site = openDnsSite('east', realHost, bindTarget(bind));
    expect(messagesOf(await site.observe(probe()))).toContain('TTL of api.example.test is 3600 s instead of 30 s');
    await runStep(realHost, site, 'route', { to: 'east' });
    expect(await bind.records(record, 'A')).toMatchObject([{ ttlSeconds: 30, data: addresses.east }]);
    expect(messagesOf(await site.observe(probe()))).not.toContain('TTL');
  });

  it('[S1-18] [S3-13] leads clients behind a cache to the new address within one TTL', async () => {
    const bind = await bindWith(`api 1 IN A ${addresses.east}`);
    const cache = await startBindCache(bind);
    running.push(cache);
    const site = openDnsSite('east', realHost, { ...bindTarget(bind), more: { ttl: '1s' } });
    expect(await cache.query(record, 'A')).toEqual([addresses.east]);
    await runStep(realHost, site, 'route', { to: 'west' });
    const movedMs = performance.now();
    expect(await bind.query(record, 'A')).toEqual([addresses.west]);
    await waitFor(async () => (await cache.query(record, 'A')).join() === addresses.west, 'the cache to ask again', 10_000);
    expect(performance.now() - movedMs).toBeLessThan(2_500);
  });

  it('keeps the epoch beside the record', async () => {
    const bind = await bindWith(`api 30 IN A ${addresses.east}`);
    await runStep(realHost, openDnsSite('east', realHost, bindTarget(bind)), 'route', { to: 'west' }, newJournal(7));
    expect(await bind.query(`_holdfast.${record}`, 'TXT')).toEqual(['"epoch=7 region=west"']);
  });

  it('waits until the last of two name servers answers the new address', async () => {
    const [first, second] = [await bindWith(`api 30 IN A ${addresses.east}`), await bindWith(`api 30 IN A ${addresses.east}`)];
    const target = bindTarget(first);
    const site = openDnsSite('east', realHost, {
      ...target,
      authorities: [...(target.authorities ?? []), `${second.address}:${second.port}`],
    });
    await site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()));
    expect(await site.verbs.route?.inspect({ to: 'west' }, stepContext(realHost, newJournal()))).toMatchObject({ state: 'pending' });
    await second.update(`update delete ${record} A`, `update add ${record} 30 A ${addresses.west}`);
    expect(await site.verbs.route?.inspect({ to: 'west' }, stepContext(realHost, newJournal()))).toMatchObject({ state: 'done' });
  });

  it.each(['AAAA', 'CNAME'] as const)('moves a record of type %s', async (type) => {
    const values =
      type === 'AAAA' ? { east: '2001:db8::1', west: '2001:DB8:0:1::2' } : { east: 'east.example.test', west: 'west.example.test.' };
    const bind = await bindWith(`api 30 IN ${type} ${type === 'AAAA' ? values.east : 'east'}`);
    const site = openDnsSite('east', realHost, {
      ...bindTarget(bind),
      more: { type },
      sites: { east: { address: values.east }, west: { address: values.west } },
    });
    await runStep(realHost, site, 'route', { to: 'west' });
    expect(await bind.query(record, type)).toEqual([type === 'AAAA' ? '2001:db8:0:1::2' : 'west.example.test.']);
  });

  it('refuses to put an address where a CNAME is', async () => {
    const bind = await bindWith('api 30 IN CNAME east');
    const apply = openDnsSite('east', realHost, bindTarget(bind)).verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()));
    await expect(apply).rejects.toMatchObject({ code: 'SYSTEM_REFUSED', message: expect.stringContaining('is a CNAME') });
  });

  it('does not believe an acknowledged change that was not made', async () => {
    const bind = await bindWith(`api 30 IN A ${addresses.east}`);
    const site = openDnsSite('east', realHost, {
      ...bindTarget(bind),
      more: { type: 'CNAME' },
      sites: { east: { address: 'e.example.test' }, west: { address: 'w.example.test' } },
    });
    await expect(site.verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()))).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      message: expect.stringContaining('acknowledged'),
    });
  });

  it('tells an unknown key from a wrong zone', async () => {
    const bind = await bindWith(`api 30 IN A ${addresses.east}`);
    const apply = (more: object) =>
      openDnsSite('east', realHost, { ...bindTarget(bind), more }).verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()));
    const key = { name: 'nobody', secret: bindTarget(bind).secret };
    await expect(apply({ key })).rejects.toMatchObject({ code: 'SYSTEM_WRONG_CREDENTIALS', details: { tsig: 'BADKEY' } });
    await expect(apply({ key: { ...key, name: 'holdfast', algorithm: 'hmac-sha512' } })).rejects.toMatchObject({
      code: 'SYSTEM_WRONG_CREDENTIALS',
    });
    await expect(apply({ zone: 'api.example.test' })).rejects.toMatchObject({ code: 'SYSTEM_WRONG_ROLE', details: { rcode: 'NOTAUTH' } });
    await expect(apply({ zone: 'other.test', record: 'api.other.test' })).rejects.toMatchObject({
      code: 'SYSTEM_REFUSED',
      details: { rcode: 'REFUSED' },
    });
  });

  it('says nothing of its secret, whatever goes wrong', async () => {
    const bind = await bindWith(`api 30 IN A ${addresses.east}`);
    const secret = new Secret('d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldA==', 'env:WRONG');
    const error = await openDnsSite('east', realHost, { ...bindTarget(bind), secret })
      .verbs.route?.apply({ to: 'west' }, stepContext(realHost, newJournal()))
      .catch((thrown: unknown) => thrown);
    expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain('d3Jvbmct');
  });
});
