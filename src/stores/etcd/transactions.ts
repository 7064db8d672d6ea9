/**
 * Changes and what they expect as one transaction of etcd. Pure.
 *
 * Invariant: all changes or none. etcd takes at most 128 members in each list of a transaction (--max-txn-ops), and an operation may be a transaction itself that belongs to the outer one; what
 * the outer list uses up is missing inside. So more changes become a list of lists. Comparisons can't be divided that way: a transaction with more of them is refused before anything is sent.
 */
import { fail } from '../../base/errors.ts';
import type { Compare, KeyValue, Operation, TxnAnswer, TxnRequest } from './messages.ts';

export const listMax = 128;

export function buildTransaction(compare: readonly Compare[], operations: readonly Operation[]): TxnRequest {
  const groupsMax = Math.max(compare.length, listMax / 2);
  const groupSize = listMax - groupsMax;
  const fitsFlat = compare.length <= listMax && operations.length <= listMax;
  if (!fitsFlat && (compare.length >= listMax || operations.length > groupsMax * groupSize))
    throw fail('STATE_TOO_LARGE', {
      message: `${operations.length} changes with ${compare.length} expectations are more than etcd takes at once`,
      hint: 'Split what can be split.',
    });
  return {
    compare,
    success: fitsFlat ? operations : inGroups(operations, groupSize),
    failure: compare.map(({ key }) => ({ request_range: { key } })),
  };
}

function inGroups(operations: readonly Operation[], size: number): readonly Operation[] {
  const groups: Operation[] = [];
  for (let from = 0; from < operations.length; from += size)
    groups.push({ request_txn: { compare: [], success: operations.slice(from, from + size), failure: [] } });
  return groups;
}

/** What stood at the keys of the comparisons that did not all hold; undefined: the transaction took place. */
export function refusalOf(request: TxnRequest, answer: TxnAnswer): ReadonlyMap<string, KeyValue | undefined> | undefined {
  if (answer.succeeded) return undefined;
  return new Map(request.compare.map(({ key }, index) => [key.toString('utf8'), answer.responses[index]?.response_range?.kvs[0]]));
}
