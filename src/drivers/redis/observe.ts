/**
 * One look at a Redis site: INFO, the settings that decide about safety and Holdfast's own keys, in one round trip on a connection that stays open.
 *
 * Invariants: nothing is written. A link is `up` only with proof of life from it. A reading never says that replication is synchronous: Redis acknowledges a write
 * before any replica has it, whatever min-replicas-to-write is; that setting only bounds for how long.
 * When the process dies, nothing remains.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence, EvidenceKind, Health, Reading, ReplicationReading } from '../../contracts/observation.ts';
import { KeptConnection } from './kept-connection.ts';
import { peerAddressOf, targetOf } from './options.ts';
import { addressOf } from './port.ts';
import { type RedisContext, type RedisSiteParts, readView, type ServerView } from './server.ts';
import { linkOf, positionOf, type ReplicaState, type ServerState } from './server-state.ts';
import { findFaults } from './site-faults.ts';
import { readBarrier } from './write-barrier.ts';

export class Observer {
  readonly #parts: RedisSiteParts;
  readonly #connection: KeptConnection;

  constructor(parts: RedisSiteParts) {
    this.#parts = parts;
    this.#connection = new KeptConnection(parts);
  }

  async observe(signal: AbortSignal): Promise<Reading> {
    const { context, keys } = this.#parts;
    const target = targetOf(context.site);
    const timeoutMs = context.probeTimeoutMs;
    try {
      // A connection that broke since the last look is evidence of its own (see subscribe.ts); this look asks anew.
      const connection = await this.#connection.open(signal);
      return readingOf(await readView(connection, keys, timeoutMs, signal), context);
    } catch (error) {
      this.#connection.drop();
      const evidence = evidenceOf(error, addressOf(target));
      return { health: healthOf(evidence.kind), evidence };
    }
  }

  close(): void {
    this.#connection.close();
  }
}

const kindByCause: Readonly<Record<string, EvidenceKind>> = {
  refused: 'refused',
  reset: 'connection-lost',
  timeout: 'timeout',
  unreachable: 'unreachable',
  name: 'unreachable',
  loading: 'wrong-answer',
};

function evidenceOf(thrown: unknown, address: string): Evidence {
  if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug' || thrown.kind === 'invalid') throw thrown;
  const detail = thrown.message.includes(address) ? thrown.message : `${address}: ${thrown.message}`;
  if (thrown.code === 'SYSTEM_WRONG_CREDENTIALS') return { kind: 'not-allowed', detail };
  if (thrown.code === 'TIMED_OUT') return { kind: 'timeout', detail };
  if (thrown.code === 'SYSTEM_WRONG_ANSWER') return { kind: 'wrong-answer', detail };
  return { kind: kindByCause[String(thrown.details.cause ?? '')] ?? 'error', detail };
}

function healthOf(kind: EvidenceKind): Health {
  if (kind === 'answered') return 'up';
  return kind === 'refused' || kind === 'connection-lost' || kind === 'wrong-answer' ? 'down' : 'unknown';
}

function readingOf(view: ServerView, context: RedisContext): Reading {
  const { state, settings, epoch, dataset } = view;
  const address = addressOf(targetOf(context.site));
  if (state.loading) return { health: 'down', evidence: { kind: 'wrong-answer', detail: `${address} is still reading its data set` } };
  const role = state.role === 'master' ? 'primary' : 'standby';
  return {
    health: 'up',
    evidence: { kind: 'answered', detail: `${address} answers as ${role}, Redis ${state.version}` },
    role,
    ...(settings === undefined && state.role === 'master' ? {} : { writable: isWritable(view) }),
    position: positionOf(state, epoch),
    replication: replicationOf(view, context),
    ...(dataset === undefined ? {} : { identity: dataset }),
    faults: findFaults(view, context),
    facts: factsOf(view),
  };
}

/** By the settings, not by a probe: during a CLIENT PAUSE a write would hang, and the site would look silent. */
function isWritable({ state, settings }: ServerView): boolean {
  if (state.upstream) return !state.upstream.readOnly;
  if (settings === undefined) return false;
  if (!state.appendWriteOk) return false;
  if (settings.save !== '' && !state.snapshotOk && settings.stopWritesOnSnapshotError) return false;
  if (settings.minReplicasMaxLagSeconds === 0) return true;
  return countLive(state.replicas, settings.minReplicasMaxLagSeconds) >= settings.minReplicasToWrite;
}

export function isLive(replica: ReplicaState, maxLagSeconds: number): boolean {
  return replica.state === 'online' && replica.lagSeconds >= 0 && replica.lagSeconds <= maxLagSeconds;
}

export function countLive(replicas: readonly ReplicaState[], maxLagSeconds: number): number {
  return replicas.filter((replica) => isLive(replica, maxLagSeconds)).length;
}

function replicationOf(view: ServerView, context: RedisContext): ReplicationReading {
  const { state } = view;
  if (state.upstream) {
    const region = regionAt(context, state.upstream.host, state.upstream.port);
    const { lastIoSeconds } = state.upstream;
    // Whole seconds, cut off: it may be nearly one more.
    const heard = lastIoSeconds >= 0 ? { heardAgeMs: (lastIoSeconds + 1) * 1_000 } : {};
    return { upstream: { link: linkOf(state), ...(region === undefined ? {} : { region }), ...heard } };
  }
  const maxLagSeconds = context.options['min-replicas-max-lag'] / 1_000;
  return {
    synchronous: false,
    standbys: state.replicas.map((replica) => ({
      member: regionAt(context, replica.host, replica.port) ?? addressOf(replica),
      // Redis calls a frozen replica online until repl-timeout is over (60 s): only its last word counts.
      link: replica.state !== 'online' ? 'down' : isLive(replica, maxLagSeconds) ? 'up' : 'unknown',
      inSync: isLive(replica, maxLagSeconds) && replica.offset >= state.offset,
      lagBytes: String(state.offset > replica.offset ? state.offset - replica.offset : 0n),
      ...(replica.lagSeconds >= 0 ? { lagMs: replica.lagSeconds * 1_000 } : {}),
    })),
  };
}

export function regionAt(context: RedisContext, host: string, port: number): string | undefined {
  for (const [region, site] of context.sites) {
    for (const known of [peerAddressOf(site), targetOf(site)]) if (known.host === host && known.port === port) return region;
  }
  return undefined;
}

function factsOf({ state, settings, epoch, canary }: ServerView): JsonObject {
  const barrier = settings && readBarrier(settings.minReplicasToWrite).barrier;
  return {
    version: state.version,
    runId: state.runId,
    processId: state.processId,
    configFile: state.configFile,
    keys: state.keys,
    epoch,
    appendOnly: state.appendOnly,
    replicationId: state.replid,
    formerReplicationId: state.replid2,
    formerReplicationOffset: String(state.secondOffset),
    connectedReplicas: state.replicas.length,
    ...(settings ? { minReplicasToWrite: settings.minReplicasToWrite, minReplicasMaxLagSeconds: settings.minReplicasMaxLagSeconds } : {}),
    ...(barrier === undefined || barrier === 'none' ? {} : { barrier }),
    ...lastWords(state),
    ...(canary === undefined ? {} : { canary }),
  };
}

function lastWords({ upstream }: ServerState): JsonObject {
  return upstream
    ? { upstream: addressOf(upstream), upstreamLastIoSeconds: upstream.lastIoSeconds, syncInProgress: upstream.syncInProgress }
    : {};
}
