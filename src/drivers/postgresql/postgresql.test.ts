/** Pure parts of the driver. */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { clientError, evidenceOf } from './client-errors.ts';
import { driver } from './driver.ts';
import { formatLsn, parseLsn, parseTimelineHistory } from './lsn.ts';
import { addressOf, memberOf, siteOptions } from './options.ts';
import { segmentName, segmentStart } from './run-script.ts';
import { findCommitted, parseChanges } from './salvage-by-hands.ts';
import { formatStandbyNames, parseStandbyNames } from './synchronous.ts';

describe('places in the log', () => {
  it('compare as numbers, not as text', () => {
    expect(parseLsn('A/0') > parseLsn('9/FFFFFFFF')).toBe(true);
    expect(parseLsn('10/0') > parseLsn('9/0')).toBe(true);
    expect(formatLsn(parseLsn('16/b374d848'))).toBe('16/B374D848');
    expect(() => parseLsn('0-3000')).toThrow(HoldfastError);
  });

  it('name the segment that holds them', () => {
    const segment = 16n * 1024n * 1024n;
    expect(segmentName(2, '1/2000028', segment)).toBe('000000020000000100000002');
    expect(segmentStart('000000020000000100000002', segment)).toBe('1/2000000');
  });

  it('tell where a server left each timeline', () => {
    const text = '1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tno recovery target specified\n';
    expect(parseTimelineHistory(text)).toEqual(
      new Map([
        [1, 0x3000148n],
        [2, 0x5000000n],
      ]),
    );
  });
});

describe('synchronous_standby_names', () => {
  it.each([
    ['', [], 0],
    ['west', ['west'], 1],
    ['a, "b c"', ['a', 'b c'], 1],
    ['2 (a, b, c)', ['a', 'b', 'c'], 2],
    ['FIRST 1 (a,b)', ['a', 'b'], 1],
    ['any 2 (a, b)', ['a', 'b'], 2],
    ['*', ['*'], 1],
  ])('"%s"', (text, names, needed) => {
    expect(parseStandbyNames(text)).toEqual({ names, needed });
  });

  it('is written in a form that it reads back', () => {
    expect(parseStandbyNames(formatStandbyNames(['a', 'b']))).toEqual({ names: ['a', 'b'], needed: 1 });
    expect(formatStandbyNames([])).toBe('');
  });
});

describe('what an error says about health', () => {
  it.each([
    ['ECONNREFUSED', 'refused', 'SYSTEM_UNREACHABLE'],
    ['ECONNRESET', 'connection-lost', 'SYSTEM_UNREACHABLE'],
    ['EHOSTUNREACH', 'unreachable', 'SYSTEM_UNREACHABLE'],
    ['57P03', 'wrong-answer', 'SYSTEM_UNREACHABLE'],
    ['57P01', 'connection-lost', 'SYSTEM_UNREACHABLE'],
    ['53300', 'error', 'SYSTEM_UNREACHABLE'],
    ['28P01', 'not-allowed', 'SYSTEM_WRONG_CREDENTIALS'],
    ['42501', 'not-allowed', 'SYSTEM_WRONG_CREDENTIALS'],
    ['55000', 'answered', 'SYSTEM_WRONG_ROLE'],
    ['42601', 'error', 'SYSTEM_REFUSED'],
  ])('%s is %s', (code, evidence, expected) => {
    const error = clientError({ code, message: 'x' }, '10.0.1.5:5432');
    expect([evidenceOf(error), error.code]).toEqual([evidence, expected]);
  });

  it('a change without an answer has an unknown outcome', () => {
    expect(clientError({ code: 'ECONNRESET' }, 'x', true).kind).toBe('unknown-outcome');
    expect(clientError({ code: '23505', message: 'duplicate' }, 'x', true).kind).toBe('refused');
  });
});

describe('options', () => {
  const faultsOf = (url: string) => siteOptions.safeParse({ url }).error?.issues.map((issue) => issue.message) ?? [];

  it('refuse a password in the url without repeating it', () => {
    const [fault] = faultsOf('postgresql://holdfast:hunter2@10.0.1.5/orders');
    expect(fault).toContain('holds a password');
    expect(fault).not.toContain('hunter2');
  });

  it.each(['mysql://a@b/c', 'postgresql://10.0.1.5/orders', 'orders', 'postgresql://a@b/c?sslmode=disable'])('refuse %s', (url) => {
    expect(faultsOf(url)).toHaveLength(1);
  });

  it('refuse a data directory that is a pattern', () => {
    expect(siteOptions.safeParse({ url: 'postgresql://a@b/c', 'data-directory': '/var/lib/*' }).success).toBe(false);
  });

  it('fill in port, database and member', () => {
    const site = siteOptions.parse({ url: 'postgresql://holdfast@[::1]' });
    expect(addressOf(site)).toMatchObject({ host: '::1', port: 5432, user: 'holdfast', database: 'postgres' });
    expect(memberOf('orders-db', 'us-west-2', site)).toBe('orders_db_us_west_2');
  });

  it('two sites at one address are a fault', () => {
    const site = siteOptions.parse({ url: 'postgresql://a@b:5432/c' });
    const sites = new Map([
      ['east', site],
      ['west', siteOptions.parse({ url: 'postgresql://a@b/d' })],
    ]);
    const faults = driver.validate?.({ options: driver.componentOptions.parse({}), sites, replication: 'synchronous' });
    expect(faults).toMatchObject([{ path: ['sites', 'west', 'url'] }]);
  });
});

describe('salvage reads the log', () => {
  const record = (manager: string, id: number, lsn: string, what: string) =>
    `rmgr: ${manager} len (rec/tot):     46/    46, tx:        ${id}, lsn: ${lsn}, prev 0/03000028, desc: ${what}`;

  it('finds the transactions that committed, with their children', () => {
    const text = [
      record('Transaction', 742, '0/03000100', 'COMMIT 2026-01-02 03:04:05.678901 UTC'),
      record('Transaction', 743, '0/03000200', 'ABORT 2026-01-02 03:04:06.000000 UTC'),
      record('Transaction', 744, '0/03000300', 'COMMIT 2026-01-02 03:04:07.000000 UTC; subxacts: 745 746'),
      record('Standby    ', 0, '0/03000400', 'RUNNING_XACTS nextXid 747'),
    ].join('\n');
    const found = findCommitted(text, '0/3000100');
    expect([...found.times.keys()]).toEqual(['742', '744', '745', '746']);
    expect(found).toMatchObject({ transactions: 2, endLsn: '0/03000400', diverged: true });
    expect(findCommitted('', '0/3000100').diverged).toBe(false);
  });

  it('counts what they changed', () => {
    const changes = parseChanges(
      'INSERT 1663/5/16384 3\nMULTI_INSERT 1663/5/16390 1\nHOT_UPDATE 1663/5/16384 2\nDELETE 1663/6/9 1\nLOCK 1663/5/1 9\n',
    );
    expect(changes).toMatchObject({ inserts: 4, updates: 2, deletes: 1 });
    expect(changes.files).toEqual(
      new Map([
        ['5', new Set(['16384', '16390'])],
        ['6', new Set(['9'])],
      ]),
    );
  });
});
