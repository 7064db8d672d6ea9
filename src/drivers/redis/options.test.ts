import { describe, expect, it } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { driver } from './driver.ts';
import { componentOptions, peerAddressOf, siteOptions, targetOf } from './options.ts';

describe('the options', () => {
  it('read an address with its user, TLS and the usual port', () => {
    const password = new Secret('hush', 'test');
    expect(targetOf(siteOptions.parse({ url: 'rediss://app@cache.example', password }))).toEqual({
      host: 'cache.example',
      port: 6_379,
      tls: true,
      username: 'app',
      password,
    });
    expect(targetOf(siteOptions.parse({ url: 'redis://[::1]:7000' }))).toMatchObject({ host: '::1', port: 7_000, tls: false });
    expect(peerAddressOf(siteOptions.parse({ url: 'redis://a', 'peer-address': '[fd00::1]:7001' }))).toEqual({
      host: 'fd00::1',
      port: 7_001,
    });
  });

  it.each(['redis://user:secret@10.0.0.1', 'http://10.0.0.1', '10.0.0.1:6379', 'redis://'])('refuse the url %s', (url) => {
    expect(siteOptions.safeParse({ url }).success).toBe(false);
  });

  it('take a largest lag in whole seconds only, for Redis has no others', () => {
    expect(componentOptions.parse({})).toEqual({ 'min-replicas-max-lag': 3_000 });
    expect(componentOptions.safeParse({ 'min-replicas-max-lag': '1500ms' }).success).toBe(false);
    expect(componentOptions.safeParse({ 'min-replicas-max-lag': '0s' }).success).toBe(false);
  });

  it('are checked together: one server twice, commands without the file', () => {
    const site = siteOptions.parse({ url: 'redis://10.0.0.1:6379', start: ['systemctl', 'start', 'redis'] });
    const faults = driver.validate?.({
      options: componentOptions.parse({}),
      sites: new Map([
        ['east', site],
        ['west', site],
      ]),
      replication: 'asynchronous',
    });
    expect(faults?.map((fault) => fault.path.join('.'))).toEqual(['sites.east.config-file', 'sites.west.url', 'sites.west.config-file']);
  });
});
