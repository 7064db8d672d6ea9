/**
 * Changes and what they expect as one transaction of etcd, however many they are. Pure.
 *
 * Invariant: all changes or none. etcd takes at most 128 comparisons and 128 operations in one list (--max-txn-ops), and each operation may be a transaction itself, which
 * belongs to the outer one: so more changes become a list of lists, and more comparisons a transaction inside of the branch that is taken when the ones before hold. Each level answers,
 * when it does not hold, what stands where it compared.
 */
import { fail } from '../../base/errors.ts';
import type { Compare, KeyValue, Operation, TxnAnswer, TxnRequest } from './messages.ts';

export const listMax = 128;

/** As deep as a list of lists goes. */
export const changesMax = listMax * listMax;

export function buildTransaction(compares: readonly Compare[], operations: readonly Operation[]): TxnRequest {
  if (operations.length > changesMax)
    throw fail('STATE_TOO_LARGE', {
      message: `${operations.length} changes are asked for at once, and etcd takes ${changesMax} at most`,
      hint: 'Split what can be split.',
    });
  const batches = chunks(compares, listMax);
  const innermost: TxnRequest = { ...levelOf(batches.pop() ?? []), success: inGroups(operations) };
  return batches.reduceRight<TxnRequest>((inner, batch) => ({ ...levelOf(batch), success: [{ request_txn: inner }] }), innermost);
}

function levelOf(compare: readonly Compare[]): Pick<TxnRequest, 'compare' | 'failure'> {
  return { compare, failure: compare.map(({ key }) => ({ request_range: { key } })) };
}

function inGroups(operations: readonly Operation[]): readonly Operation[] {
  if (operations.length <= listMax) return operations;
  return chunks(operations, listMax).map((group) => ({ request_txn: { compare: [], success: group, failure: [] } }));
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let from = 0; from < all.length; from += size) found.push(all.slice(from, from + size));
  return found;
}

/** What stood at the keys of the comparisons that did not all hold; undefined: the transaction took place. */
export function refusalOf(request: TxnRequest, answer: TxnAnswer): ReadonlyMap<string, KeyValue | undefined> | undefined {
  if (!answer.succeeded) {
    return new Map(request.compare.map(({ key }, index) => [key.toString('utf8'), answer.responses[index]?.response_range?.kvs[0]]));
  }
  const inner = request.success[0];
  const isLevel = request.success.length === 1 && inner !== undefined && 'request_txn' in inner && inner.request_txn.compare.length > 0;
  const innerAnswer = answer.responses[0]?.response_txn;
  return isLevel && innerAnswer !== undefined ? refusalOf(inner.request_txn, innerAnswer) : undefined;
}
