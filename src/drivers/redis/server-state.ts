/**
 * What a Redis server says of itself, parsed: INFO and the settings that matter here. Pure.
 *
 * Glossary of replication: `replid` names the history that the data set is in; `offset` counts the bytes of it. A replica carries the replid of its master. A promotion
 * begins a new replid and remembers the one before as `replid2`, valid up to (not including) `secondOffset`; a restart that loads an append-only file begins a new one
 * and remembers nothing.
 */
import { fail } from '../../base/errors.ts';
import type { Position } from '../../contracts/observation.ts';
import type { Reply } from './port.ts';

export interface ReplicaState {
  readonly host: string;
  readonly port: number;
  readonly state: string;
  readonly offset: bigint;
  /** Seconds since its last word. */
  readonly lagSeconds: number;
}

export interface ServerState {
  readonly version: string;
  readonly runId: string;
  /** Empty: started without one, so nothing can be made to last. */
  readonly configFile: string;
  readonly processId: number;
  readonly loading: boolean;
  readonly role: 'master' | 'slave';
  readonly replid: string;
  readonly replid2: string;
  /** Of everything it has written to its history, or received of it. */
  readonly offset: bigint;
  readonly secondOffset: bigint;
  readonly backlogActive: boolean;
  readonly replicas: readonly ReplicaState[];
  /** Of a replica. */
  readonly upstream:
    | {
        readonly host: string;
        readonly port: number;
        readonly linkUp: boolean;
        /** -1 while the link is down. */
        readonly lastIoSeconds: number;
        readonly syncInProgress: boolean;
        /** What it has applied, not only received. */
        readonly appliedOffset: bigint;
        readonly readOnly: boolean;
      }
    | undefined;
  /** Keys in all databases. */
  readonly keys: number;
  readonly databases: readonly number[];
  readonly appendOnly: boolean;
  readonly appendWriteOk: boolean;
  readonly snapshotOk: boolean;
  readonly fullSyncs: number;
  readonly partialSyncs: number;
}

export interface ServerSettings {
  readonly minReplicasToWrite: number;
  readonly minReplicasMaxLagSeconds: number;
  readonly save: string;
  readonly serveStaleData: boolean;
  readonly stopWritesOnSnapshotError: boolean;
}

export function parseInfo(text: string): ServerState {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const role = fields.get('role');
  const version = fields.get('redis_version');
  if (version === undefined || (role !== 'master' && role !== 'slave'))
    throw fail('SYSTEM_WRONG_ANSWER', {
      message: 'its INFO names no version or no role',
      hint: 'Is it a Redis or Valkey server, outside of Sentinel mode?',
    });
  const word = (name: string) => fields.get(name) ?? '';
  const number = (name: string, missing = 0) => Number(fields.get(name) ?? missing);
  const offset = (name: string) => BigInt(fields.get(name) ?? '-1');
  const databases = [...fields].flatMap(([name, value]) => {
    const index = /^db(\d+)$/.exec(name)?.[1];
    const keys = /keys=(\d+)/.exec(value)?.[1];
    return index === undefined || keys === undefined ? [] : [{ index: Number(index), keys: Number(keys) }];
  });
  return {
    version,
    runId: word('run_id'),
    configFile: word('config_file'),
    processId: number('process_id'),
    loading: word('loading') === '1',
    role,
    replid: word('master_replid'),
    replid2: word('master_replid2'),
    offset: offset('master_repl_offset'),
    secondOffset: offset('second_repl_offset'),
    backlogActive: word('repl_backlog_active') === '1',
    replicas: [...fields].flatMap(([name, value]) => (/^slave\d+$/.test(name) ? [parseReplica(value)] : [])),
    upstream:
      role === 'master'
        ? undefined
        : {
            host: word('master_host'),
            port: number('master_port'),
            linkUp: word('master_link_status') === 'up',
            lastIoSeconds: number('master_last_io_seconds_ago', -1),
            syncInProgress: word('master_sync_in_progress') === '1',
            appliedOffset: offset('slave_repl_offset'),
            readOnly: word('slave_read_only') === '1',
          },
    keys: databases.reduce((sum, database) => sum + database.keys, 0),
    databases: databases.map((database) => database.index),
    appendOnly: word('aof_enabled') === '1',
    appendWriteOk: word('aof_last_write_status') !== 'err',
    snapshotOk: word('rdb_last_bgsave_status') !== 'err',
    fullSyncs: number('sync_full'),
    partialSyncs: number('sync_partial_ok'),
  };
}

function parseReplica(text: string): ReplicaState {
  const parts = new Map(text.split(',').map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]));
  return {
    host: parts.get('ip') ?? '',
    port: Number(parts.get('port')),
    state: parts.get('state') ?? '',
    offset: BigInt(parts.get('offset') ?? '0'),
    lagSeconds: Number(parts.get('lag') ?? -1),
  };
}

/** From the replies to several CONFIG GET, one after the other. */
export function parseSettings(replies: readonly Reply[]): ServerSettings {
  const values = new Map<string, string>();
  for (const reply of replies) {
    if (!Array.isArray(reply)) throw fail('SYSTEM_WRONG_ANSWER', { message: 'CONFIG GET did not answer with a list' });
    for (let index = 0; index + 1 < reply.length; index += 2) values.set(String(reply[index]), String(reply[index + 1]));
  }
  return {
    minReplicasToWrite: Number(values.get('min-replicas-to-write') ?? 0),
    minReplicasMaxLagSeconds: Number(values.get('min-replicas-max-lag') ?? 0),
    save: values.get('save') ?? '',
    serveStaleData: values.get('replica-serve-stale-data') !== 'no',
    stopWritesOnSnapshotError: values.get('stop-writes-on-bgsave-error') !== 'no',
  };
}

/** Of a replica: what it has applied. `epoch` is the one recorded in the data. */
export function positionOf(state: ServerState, epoch: number): Position & { readonly [key: string]: string | number } {
  const offset = state.upstream?.appliedOffset ?? state.offset;
  return {
    history: state.replid,
    timeline: epoch,
    offset: String(offset < 0n ? 0n : offset),
    text: `${state.replid.slice(0, 8)}:${offset}`,
  };
}

/** Whether the server has all of a position, in its present history or in the one that it was promoted out of; undefined: another history, it can't be told. */
export function hasReached(state: ServerState, position: Position): boolean | undefined {
  const wanted = BigInt(position.offset);
  if (state.replid === position.history) return (state.upstream?.appliedOffset ?? state.offset) >= wanted;
  if (state.replid2 === position.history && state.secondOffset >= 0n) return state.secondOffset - 1n >= wanted;
  return undefined;
}

/** A link counts as alive only when it has spoken lately: the master pings at least every 10 s by default. */
export const linkSilenceMaxSeconds = 15;

export function linkOf(state: ServerState): 'up' | 'down' | 'unknown' {
  if (state.upstream === undefined || !state.upstream.linkUp || state.upstream.syncInProgress) return 'down';
  return state.upstream.lastIoSeconds >= 0 && state.upstream.lastIoSeconds <= linkSilenceMaxSeconds ? 'up' : 'unknown';
}
