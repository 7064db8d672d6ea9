/** Everything below a prefix, page by page, as it was at one revision. */
import { HoldfastError } from '../../base/errors.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import { afterKey } from './keys.ts';
import type { KeyValue, RangeRequest } from './messages.ts';

export interface ReadOptions {
  /** As it was then; default: now. */
  readonly revision?: number;
  readonly keysOnly?: boolean;
  /** At most so many. */
  readonly limit?: number;
  /** Only keys after this one; before it, in reverse. */
  readonly after?: string;
  readonly reverse?: boolean;
}

const pageSize = 500;

export function isCompacted(thrown: unknown): boolean {
  return thrown instanceof HoldfastError && /has been compacted/.test(thrown.message);
}

export async function readEntries(
  cluster: GuardedCluster,
  prefix: string,
  options: ReadOptions,
): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: number }> {
  const { keys } = cluster;
  const { reverse = false, limit = Number.POSITIVE_INFINITY, after } = options;
  let { key, range_end } = keys.entriesWith(prefix);
  if (after !== undefined && !reverse) key = larger(key, afterKey(keys.entry(after)));
  if (after !== undefined && reverse) range_end = smaller(range_end, keys.entry(after));
  const found: KeyValue[] = [];
  let revision = options.revision;
  let readAt = options.revision ?? 0;
  for (;;) {
    const left = Math.min(pageSize, limit - found.length);
    if (left <= 0 || Buffer.compare(key, range_end) >= 0) return { kvs: found, revision: readAt };
    const request: RangeRequest = {
      key,
      range_end,
      limit: left,
      ...(revision === undefined ? {} : { revision }),
      ...(reverse ? { sort_order: 2 } : {}),
      ...(options.keysOnly ? { keys_only: true } : {}),
    };
    const answer = await cluster.ask('KV/Range', request);
    // What comes later belongs to the same view.
    revision ??= Number(answer.header.revision);
    readAt = revision;
    found.push(...answer.kvs);
    const last = answer.kvs.at(-1);
    if (!answer.more || last === undefined) return { kvs: found, revision: readAt };
    if (reverse) range_end = last.key;
    else key = afterKey(last.key);
  }
}

const larger = (left: Buffer, right: Buffer): Buffer => (Buffer.compare(left, right) > 0 ? left : right);
const smaller = (left: Buffer, right: Buffer): Buffer => (Buffer.compare(left, right) < 0 ? left : right);
