import { describe, expect, it } from 'vitest';
import { formatListenAddress, parseListenAddress } from './listen-address.ts';

describe('where a process answers', () => {
  it.each([
    ['9484', { host: '127.0.0.1', port: 9484 }],
    ['0.0.0.0:9484', { host: '0.0.0.0', port: 9484 }],
    ['metrics.internal:80', { host: 'metrics.internal', port: 80 }],
    ['[::1]:9484', { host: '::1', port: 9484 }],
    ['0', { host: '127.0.0.1', port: 0 }],
  ])('%s', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  it.each(['', 'x', ':9484', '70000', '10.0.0.1:', '::1:9484', 'http://a:1', '-1', '1.5'])('"%s" is no address', (text) => {
    expect(parseListenAddress(text)).toBeUndefined();
  });

  it('is written as it is read', () => {
    for (const text of ['127.0.0.1:1', '[fe80::1]:9']) expect(formatListenAddress(parseListenAddress(text) as never)).toBe(text);
  });
});
