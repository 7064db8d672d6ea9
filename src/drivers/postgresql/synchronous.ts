/** What synchronous_standby_names means: whose word a primary waits for before it acknowledges a write. */
import type { ServerStatus } from './ports.ts';

export interface SynchronousState {
  readonly configured: boolean;
  /** Whoever may give that word. `*` stands for anybody. */
  readonly names: readonly string[];
  /** How many of them must. */
  readonly needed: number;
  /** Enough of them stream, and every session waits unless it asks not to. */
  readonly effective: boolean;
}

/** `a, b` · `2 (a, b)` · `FIRST 1 (a, b)` · `ANY 1 ("a", b)` */
export function parseStandbyNames(text: string): { readonly names: readonly string[]; readonly needed: number } {
  const match = /^\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\((.*)\)\s*$/is.exec(text);
  const list = match?.[2] ?? text;
  const names = list
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
  return { names, needed: names.length === 0 ? 0 : Number(match?.[1] ?? 1) };
}

export function formatStandbyNames(members: readonly string[]): string {
  return members.length === 0 ? '' : `ANY 1 (${members.join(', ')})`;
}

export function computeSynchronousState(status: ServerStatus): SynchronousState {
  const { names, needed } = parseStandbyNames(status.settings.synchronous_standby_names ?? '');
  const waits = !['off', 'local'].includes(status.settings.synchronous_commit ?? '');
  const inSync = status.standbys.filter(
    (standby) => standby.state === 'streaming' && (standby.syncState === 'sync' || standby.syncState === 'quorum'),
  );
  const configured = names.length > 0 && waits;
  return { configured, names, needed, effective: configured && inSync.length >= needed };
}
