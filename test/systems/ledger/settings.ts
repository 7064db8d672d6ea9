/** What the program of the ledger makes of its environment and arguments, in each of its two interfaces; a start that the real one refuses is refused. */
import type { Profile } from './node-state.ts';

export interface StartSettings {
  readonly data: string;
  readonly listen: string;
  readonly advertise: string;
  readonly metrics: string | undefined;
  /** A: 1 single, 0 join, more: bootstrap. Undefined in B. */
  readonly cluster: number | undefined;
  readonly peers: string | undefined;
  readonly join: readonly string[];
}

const known: Readonly<Record<Profile, readonly string[]>> = {
  A: ['LISTEN', 'METRICS', 'DATA', 'CLUSTER', 'PEERS'],
  B: ['LISTEN', 'SOCKET', 'METRICS', 'DATA', 'DEV', 'REGION', 'ADVERTISE', 'JOIN'],
};

export function readSettings(
  profile: Profile,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): StartSettings | { readonly refused: string } {
  const values = new Map<string, string>();
  for (const name of known[profile]) {
    const value = env[`INFERADB__LEDGER__${name}`];
    if (value !== undefined) values.set(name, value);
  }
  for (let at = 0; at < args.length; at += 1) {
    const flag = args[at] as string;
    if (profile === 'A' && flag === '--single') values.set('CLUSTER', '1');
    else if (profile === 'A' && flag === '--join') values.set('CLUSTER', '0');
    else {
      const name = flag.replace(/^--/, '').toUpperCase().replaceAll('-', '_');
      if (!flag.startsWith('--') || !known[profile].includes(name)) return { refused: `error: unexpected argument '${flag}' found` };
      at += 1;
      values.set(name, args[at] ?? '');
    }
  }
  const data = values.get('DATA');
  if (profile === 'B') {
    if (!values.has('LISTEN') && !values.has('SOCKET')) return { refused: 'error: one of LISTEN or SOCKET is required' };
    if (values.has('DATA') === values.has('DEV')) return { refused: 'error: exactly one of DATA and DEV is required' };
  }
  if (data === undefined) return { refused: 'the stand-in keeps nothing without DATA' };
  const listen = values.get('LISTEN') ?? '127.0.0.1:50051';
  const peers = values.get('PEERS');
  if (peers !== undefined && !peers.includes('/') && !peers.endsWith('.json') && /[:,]/.test(peers))
    return { refused: `failed to resolve peers: invalid domain name ${peers}` };
  return {
    data,
    listen,
    advertise: values.get('ADVERTISE') ?? listen,
    metrics: values.get('METRICS'),
    cluster: profile === 'A' ? Number(values.get('CLUSTER') ?? 3) : undefined,
    peers,
    join: (values.get('JOIN') ?? '').split(',').filter((each) => each !== ''),
  };
}
