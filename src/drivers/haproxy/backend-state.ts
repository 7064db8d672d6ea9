/** What one HAProxy says about the servers of a backend, read from `show servers state`, `show stat` and the variable that keeps the epoch. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { type CommandLimits, type HaproxyHost, readByCommand } from './client.ts';
import { type AdminAddress, type ComponentOptions, formatAdminAddress } from './options.ts';

export interface ServerState {
  readonly name: string;
  /** Told off by a person or by us: no new connections at all. */
  readonly inMaintenance: boolean;
  /** Told to finish: only clients bound to it by a cookie. */
  readonly draining: boolean;
  /** Set weight, whether or not the server is in use. */
  readonly weight: number;
  /** HAProxy would send it traffic as far as its health goes. */
  readonly isUp: boolean;
  readonly hasHealthCheck: boolean;
  /** Used only when no other server is up. */
  readonly isBackup: boolean;
  readonly sessions: number;
}

export interface BackendState {
  readonly servers: ReadonlyMap<string, ServerState>;
  /** Undefined: none was kept since HAProxy started; `unsupported`: this HAProxy can't keep one. */
  readonly epoch: number | undefined | 'unsupported';
}

// Bits of srv_admin_state: https://docs.haproxy.org/2.6/management.html, "show servers state".
const maintenanceBits = 0x01 | 0x02 | 0x20 | 0x40;
const drainBits = 0x08 | 0x10;
const checkConfiguredBit = 0x01;
const checkEnabledBit = 0x02;
const runningState = 2;

export function epochVariable(options: ComponentOptions): string {
  return `proc.holdfast_epoch_${options.backend.replace(/[^A-Za-z0-9]/g, '_')}`;
}

export async function readBackend(
  host: HaproxyHost,
  address: AdminAddress,
  options: ComponentOptions,
  limits: CommandLimits,
): Promise<BackendState> {
  const read = (command: string) => readByCommand(host, address, command, limits);
  // Type 4 is servers, -1 is all of them.
  const [states, statistics, epoch] = await Promise.all([
    read(`show servers state ${options.backend}`),
    read(`show stat ${options.backend} 4 -1`),
    readEpoch(read, options),
  ]);
  return { servers: parseServers(states, statistics, formatAdminAddress(address)), epoch };
}

async function readEpoch(read: (command: string) => Promise<string>, options: ComponentOptions): Promise<BackendState['epoch']> {
  try {
    const answer = await read(`get var ${epochVariable(options)}`);
    const value = /value=<(\d+)>/.exec(answer)?.[1];
    return value === undefined ? undefined : Number(value);
  } catch (error) {
    // Versions before 2.4 keep no variables: the rest works there all the same.
    if (error instanceof HoldfastError && error.code === 'SYSTEM_WRONG_ANSWER') return 'unsupported';
    throw error;
  }
}

function parseServers(states: string, statistics: string, from: string): ReadonlyMap<string, ServerState> {
  const [version, header, ...rows] = states.split('\n').filter((line) => line.trim() !== '');
  if (version?.trim() !== '1' || header === undefined)
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${from} gives server states in an unknown format`, details: { version: version ?? '' } });
  const columns = header.replace(/^#\s*/, '').trim().split(' ');
  const counters = parseStatistics(statistics);
  const servers = new Map<string, ServerState>();
  for (const row of rows) {
    const cells = row.trim().split(' ');
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? '';
    const name = cell('srv_name');
    const admin = Number(cell('srv_admin_state'));
    const checkState = Number(cell('srv_check_state'));
    if (name === '' || !Number.isInteger(admin) || !Number.isInteger(checkState))
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${from} gives a server state that can't be read` });
    servers.set(name, {
      name,
      inMaintenance: (admin & maintenanceBits) !== 0,
      draining: (admin & drainBits) !== 0,
      weight: Number(cell('srv_uweight')),
      isUp: Number(cell('srv_op_state')) === runningState || Number(cell('srv_op_state')) === runningState - 1,
      hasHealthCheck: (checkState & checkConfiguredBit) !== 0 || (checkState & checkEnabledBit) !== 0,
      isBackup: counters.get(name)?.get('bck') === '1',
      sessions: Number(counters.get(name)?.get('scur') ?? 0),
    });
  }
  return servers;
}

/** By server name, then by column. A cell in quotes may hold commas. */
function parseStatistics(statistics: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const [header, ...rows] = statistics.split('\n').filter((line) => line.trim() !== '');
  const columns = splitCsv((header ?? '').replace(/^#\s*/, ''));
  const servers = new Map<string, ReadonlyMap<string, string>>();
  for (const row of rows) {
    const cells = splitCsv(row);
    const counters = new Map(columns.map((column, index) => [column, cells[index] ?? '']));
    servers.set(counters.get('svname') ?? '', counters);
  }
  return servers;
}

function splitCsv(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((match) => match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
}
