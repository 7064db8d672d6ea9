/**
 * Counters of a node, from its own metrics. They count since the node was started: only a difference means something, and only upwards.
 *
 * Where a ledger puts labels on a counter they are kept: they may say which vault it was.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import type { Limit } from './nodes.ts';

export interface Counter {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** Every sample of the counter, none where it has not counted yet; undefined where its metrics can't be read. */
export async function readCounter(
  host: Host,
  url: string | undefined,
  name: string,
  limit: Limit,
): Promise<readonly Counter[] | undefined> {
  if (url === undefined) return undefined;
  try {
    const { status, body } = await host.net.http({ url, ...limit, maxBodyBytes: 8 * 1_048_576 });
    return status === 200 ? parseCounter(body, name) : undefined;
  } catch (error) {
    // A counter that can't be read is not 0: it is not there.
    if (error instanceof HoldfastError && error.kind !== 'bug' && error.kind !== 'invalid') return undefined;
    throw error;
  }
}

export function parseCounter(text: string, name: string): readonly Counter[] {
  const found: Counter[] = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+([0-9.eE+-]+)(?:\s+\d+)?$/.exec(line.trim());
    if (match?.[1] !== name) continue;
    const labels = Object.fromEntries(
      [...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label as string, value as string]),
    );
    found.push({ value: Number(match[3]), labels });
  }
  return found;
}

/** Undefined where nothing was read: no number is not 0. */
export const sumOf = (counters: readonly Counter[] | undefined): number | undefined => counters?.reduce((sum, { value }) => sum + value, 0);
