/**
 * The environment that a node of the ledger is started with, for each of the two interfaces. Pure.
 *
 * LISTEN and METRICS are always set: without LISTEN a node of A listens on loopback only and one of B does not start, and without METRICS nobody counts. What one interface ignores is not set for it: JOIN means
 * nothing to A, PEERS and CLUSTER mean nothing to B. A node with a data directory goes on as the member it was, whatever is said here.
 */
import { fail } from '../../base/errors.ts';
import type { Profile } from './messages.ts';

/**
 *   single     the first node of a new cluster. B waits to be told so by its own `init`
 *   bootstrap  one of several that make a new cluster together. B has no such thing
 *   join       is taken in by a cluster that there is
 */
export type Start =
  | { readonly as: 'single' }
  | { readonly as: 'bootstrap'; readonly size: number; readonly peers: string }
  | { readonly as: 'join'; readonly members: readonly string[]; readonly peers?: string };

export interface NodeStart {
  readonly profile: Profile;
  readonly data: string;
  /** `0.0.0.0:50051`. */
  readonly listen: string;
  readonly metrics: string;
  /** B: how others reach it, where it listens on all addresses. */
  readonly advertise?: string;
  readonly start: Start;
}

const prefix = 'INFERADB__LEDGER__';
const addressPattern = /^(?:\[[0-9a-f:]+\]|[^\s:/@]+):\d{1,5}$/i;

export function ledgerEnvironment(node: NodeStart): Readonly<Record<string, string>> {
  for (const [name, value] of [
    ['listen', node.listen],
    ['metrics', node.metrics],
    ...(node.advertise === undefined ? [] : [['advertise', node.advertise] as const]),
  ] as const)
    if (!addressPattern.test(value)) throw fail('USAGE', { message: `${name} is not of the form host:port: ${value}` });
  const values = {
    DATA: node.data,
    LISTEN: node.listen,
    METRICS: node.metrics,
    ...(node.profile === 'A' ? settingsOfA(node) : settingsOfB(node)),
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${name}`, value]));
}

function settingsOfA({ start }: NodeStart): Readonly<Record<string, string>> {
  switch (start.as) {
    case 'single':
      return { CLUSTER: '1' };
    case 'bootstrap':
      if (!Number.isInteger(start.size) || start.size < 2)
        throw fail('USAGE', { message: `a cluster of ${start.size} is not made by several nodes`, hint: 'Start it as single.' });
      return { CLUSTER: String(start.size), PEERS: peersOf(start.peers) };
    case 'join':
      return { CLUSTER: '0', ...(start.peers === undefined ? {} : { PEERS: peersOf(start.peers) }) };
  }
}

/** A name of the DNS, or a file: an address with a port would be looked up as a name, and never found. */
function peersOf(peers: string): string {
  if (peers.includes('/') || peers.endsWith('.json') || /^[A-Za-z0-9.-]+$/.test(peers)) return peers;
  throw fail('USAGE', {
    message: `peers is neither a name of the DNS nor the path of a file: ${peers}`,
    hint: 'Give a name that resolves to all nodes, or a JSON file that lists them.',
  });
}

function settingsOfB({ start, advertise }: NodeStart): Readonly<Record<string, string>> {
  const own: Record<string, string> = advertise === undefined ? {} : { ADVERTISE: advertise };
  if (start.as === 'bootstrap')
    throw fail('USAGE', {
      message: 'this ledger does not make a cluster of several nodes at once',
      hint: 'Start one as single, and let the others join.',
    });
  if (start.as === 'single') return own;
  if (start.members.length === 0) throw fail('USAGE', { message: 'a node joins at a member, and none was named' });
  for (const member of start.members)
    if (!addressPattern.test(member)) throw fail('USAGE', { message: `a member is not of the form host:port: ${member}` });
  return { ...own, JOIN: start.members.join(',') };
}

/** For systemd's EnvironmentFile and for people. */
export const environmentText = (environment: Readonly<Record<string, string>>): string =>
  Object.entries(environment)
    .map(([name, value]) => `${name}="${value.replaceAll(/(["\\$`])/g, '\\$1')}"\n`)
    .join('');
