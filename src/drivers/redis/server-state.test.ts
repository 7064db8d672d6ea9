import { describe, expect, it } from 'vitest';
import { hasReached, linkOf, parseInfo, positionOf } from './server-state.ts';

const a = 'a'.repeat(40);
const b = 'b'.repeat(40);

const info = (fields: Readonly<Record<string, string | number>>) =>
  parseInfo(
    Object.entries({ redis_version: '7.0.15', role: 'master', master_replid: a, master_repl_offset: 100, ...fields })
      .map(([name, value]) => `${name}:${value}\r\n`)
      .join(''),
  );

const replica = (fields: Readonly<Record<string, string | number>>) =>
  info({
    role: 'slave',
    master_link_status: 'up',
    master_last_io_seconds_ago: 1,
    master_sync_in_progress: 0,
    slave_repl_offset: 90,
    ...fields,
  });

describe('the state of a server', () => {
  it('has the position of what a replica has applied, not of what it has received', () => {
    expect(positionOf(replica({ master_repl_offset: 95 }), 3)).toMatchObject({ history: a, timeline: 3, offset: '90' });
  });

  it('calls a link up only with a recent sign of life', () => {
    expect(linkOf(replica({}))).toBe('up');
    expect(linkOf(replica({ master_last_io_seconds_ago: 40 }))).toBe('unknown');
    expect(linkOf(replica({ master_link_status: 'down', master_last_io_seconds_ago: -1 }))).toBe('down');
    expect(linkOf(replica({ master_sync_in_progress: 1 }))).toBe('down');
    expect(linkOf(info({}))).toBe('down');
  });

  it('compares positions within a history, and within the one that it was promoted out of up to where it left it', () => {
    const at = (history: string, offset: number) => ({ history, timeline: 0, offset: String(offset), text: '' });
    const promoted = info({ master_replid: b, master_replid2: a, second_repl_offset: 51 });
    expect(hasReached(promoted, at(b, 100))).toBe(true);
    expect(hasReached(promoted, at(b, 101))).toBe(false);
    expect(hasReached(promoted, at(a, 50))).toBe(true);
    expect(hasReached(promoted, at(a, 51))).toBe(false);
    expect(hasReached(promoted, at('c'.repeat(40), 1))).toBeUndefined();
  });

  it('counts keys over all databases and reads its replicas', () => {
    const state = info({
      db0: 'keys=3,expires=0,avg_ttl=0',
      db7: 'keys=2,expires=1,avg_ttl=5',
      slave0: 'ip=10.1.1.5,port=6380,state=online,offset=88,lag=1',
    });
    expect(state).toMatchObject({ keys: 5, databases: [0, 7] });
    expect(state.replicas).toEqual([{ host: '10.1.1.5', port: 6_380, state: 'online', offset: 88n, lagSeconds: 1 }]);
  });

  it('refuses an answer that is not that of a Redis server', () => {
    expect(() => parseInfo('hello')).toThrow(/no version/);
    expect(() => info({ role: 'sentinel' })).toThrow(/no role/);
  });
});
