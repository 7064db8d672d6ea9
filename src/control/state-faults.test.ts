import { expect, test } from 'vitest';
import type { StoreMember, StoreReport } from '../contracts/store-report.ts';
import { pileFaults, storeFaults } from './state-faults.ts';

const member = (name: string, fault?: string): StoreMember => ({ name, addresses: [], leads: false, ...(fault ? { fault } : {}) });
const gigabyte = 1024 ** 3;
const reportOf = (parts: Partial<StoreReport>): StoreReport => ({
  kind: 'etcd',
  place: '/holdfast/orders/',
  revision: 1,
  sizeBytes: 1_000,
  isFull: false,
  members: [member('a'), member('b'), member('c')],
  leases: [],
  ...parts,
});
const told = (parts: Partial<StoreReport>) => storeFaults(reportOf(parts)).map(({ severity, message }) => `${severity} ${message}`);

test('three members with room to spare are nothing to tell of', () => {
  expect(told({})).toEqual([]);
  expect(told({ kind: 'sqlite', members: [], sizeBytes: 9 * gigabyte })).toEqual([]);
});

test('full, and nearly full by the quota that is told, or by the usual one', () => {
  expect(told({ isFull: true, members: [member('a', 'full'), member('b'), member('c')] })).toEqual([
    expect.stringMatching(/^problem the state is full/),
  ]);
  expect(told({ sizeBytes: 1.6 * gigabyte })).toEqual([expect.stringMatching(/^warning the database of the state has/)]);
  expect(told({ sizeBytes: 1.6 * gigabyte, sizeMaxBytes: 8 * gigabyte })).toEqual([]);
});

test('a member that is away is a warning while a majority is there, and a problem then', () => {
  expect(told({ members: [member('a', 'hangs'), member('b'), member('c')] })).toEqual(['warning member a of etcd: hangs']);
  expect(told({ members: [member('a', 'hangs'), member('b', 'hangs'), member('c')] })).toEqual([
    'problem member a of etcd: hangs',
    'problem member b of etcd: hangs',
  ]);
  expect(told({ members: [member('a')] })).toEqual([expect.stringMatching(/^warning etcd has one member/)]);
});

test('executions that pile up are told, with what helps', () => {
  expect(pileFaults(700, 500, false)).toEqual([]);
  expect(pileFaults(701, 500, false)[0]?.hint).toMatch(/Add a repository/);
  expect(pileFaults(701, 500, true)[0]?.hint).toMatch(/can be written/);
});
