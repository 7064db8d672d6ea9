import { expect, test } from 'vitest';
import type { Compare, Operation } from './messages.ts';
import { buildTransaction, listMax } from './transactions.ts';

const compares = (count: number): Compare[] =>
  Array.from({ length: count }, (_, index) => ({ result: 0, target: 1, key: Buffer.from(`c${index}`), create_revision: 0 }));
const puts = (count: number): Operation[] =>
  Array.from({ length: count }, (_, index) => ({ request_put: { key: Buffer.from(`k${index}`), value: Buffer.from('1') } }));

/** What a member checks before it takes a transaction: what an outer list uses is missing inside. */
function fits(request: ReturnType<typeof buildTransaction>, budget = listMax): boolean {
  const used = Math.max(request.compare.length, request.success.length, request.failure.length);
  return used <= budget && request.success.every((each) => !('request_txn' in each) || fits(each.request_txn, budget - used));
}

const countPuts = (operations: readonly Operation[]): number =>
  operations.reduce((sum, each) => sum + ('request_txn' in each ? countPuts(each.request_txn.success) : 1), 0);

test.each([
  [1, 1],
  [128, 128],
  [2, 129],
  [2, 4_096],
  [100, 2_800],
  [127, 127],
])('%i expectations and %i changes go into one transaction that a member takes', (expectations, changes) => {
  const request = buildTransaction(compares(expectations), puts(changes));
  expect(fits(request)).toBe(true);
  expect(countPuts(request.success)).toBe(changes);
});

test.each([
  [2, 4_097],
  [129, 1],
  [128, 129],
  [100, 2_801],
])('%i expectations and %i changes are refused before anything is sent', (expectations, changes) => {
  expect(() => buildTransaction(compares(expectations), puts(changes))).toThrow(/more than etcd takes at once/);
});
