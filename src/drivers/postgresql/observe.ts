/**
 * One look at a server over one kept connection, in one round trip.
 *
 * Invariant: `up` means that it answered just now; a replication link is `up` only with proof of life, because a dead link and an idle one look alike in its positions.
 * A probe ends within the probe's time limit whatever the server does.
 */
import { asHoldfastError, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { EvidenceKind, Health, Reading, ReplicationReading } from '../../contracts/observation.ts';
import type { Access } from './access.ts';
import { evidenceOf } from './client-errors.ts';
import { findFaults } from './faults.ts';
import { parseLsn, positionAt } from './lsn.ts';
import type { ServerStatus } from './ports.ts';
import { computeSynchronousState } from './synchronous.ts';

const healthOf: Readonly<Record<EvidenceKind, Health>> = {
  answered: 'up',
  'wrong-answer': 'down',
  refused: 'down',
  'connection-lost': 'down',
  timeout: 'down',
  unreachable: 'down',
  'not-allowed': 'unknown',
  error: 'unknown',
};

export async function observe(access: Access, signal: AbortSignal): Promise<Reading> {
  const { probeTimeoutMs, host } = access.context;
  const over = new AbortController();
  // One limit for connecting, asking and asking again together.
  const cancelTimer = host.clock.after(probeTimeoutMs, () => over.abort());
  const limit = { timeoutMs: probeTimeoutMs, signal: AbortSignal.any([signal, over.signal]) };
  let status: ServerStatus;
  try {
    status = await access.read('probe', limit, (connection) => connection.readStatus(limit));
  } catch (thrown) {
    const error = asHoldfastError(thrown, access.subject);
    if (error.kind === 'bug') throw error;
    return readingOfFailure(error);
  } finally {
    cancelTimer();
  }
  return readingOf(status, access);
}

function readingOfFailure(error: HoldfastError): Reading {
  const kind = evidenceOf(error);
  return { health: healthOf[kind], evidence: { kind, detail: error.message } };
}

function readingOf(status: ServerStatus, access: Access): Reading {
  const { host, port } = access.address();
  const synchronous = computeSynchronousState(status);
  const readOnly = status.settings.default_transaction_read_only === 'on';
  const position = positionAt(status.systemIdentifier, status.timeline, parseLsn(status.lsn));
  return {
    health: 'up',
    evidence: { kind: 'answered', detail: `${host}:${port} answers as a ${status.inRecovery ? 'standby' : 'primary'}` },
    role: status.inRecovery ? 'standby' : 'primary',
    writable: !status.inRecovery && !readOnly && (!synchronous.configured || synchronous.effective),
    position,
    identity: status.systemIdentifier,
    replication: status.inRecovery ? replicationOfStandby(status, access) : replicationOfPrimary(status, synchronous.configured),
    faults: findFaults(status, access),
    facts: {
      version: status.version,
      timeline: status.timeline,
      // Whoever fences this server when it is dead needs to know whose word it waits for.
      synchronousStandbys: synchronous.names,
      synchronousNeeded: synchronous.needed,
      synchronousCommit: status.settings.synchronous_commit,
      ...(status.replayLsn === null ? {} : { replayed: status.replayLsn }),
      ...(status.settings.data_directory === null ? {} : { dataDirectory: status.settings.data_directory }),
    } satisfies JsonObject,
  };
}

/** @param synchronous by its settings: while its standby is away it waits, and acknowledges nothing alone either */
function replicationOfPrimary(status: ServerStatus, synchronous: boolean): ReplicationReading {
  return {
    synchronous,
    standbys: status.standbys.map(({ member, state, syncState, lagBytes, lagMs }) => ({
      member,
      link: state === null ? 'unknown' : state === 'streaming' ? 'up' : 'down',
      inSync: state === 'streaming' && (syncState === 'sync' || syncState === 'quorum'),
      ...(lagBytes === null ? {} : { lagBytes }),
      ...(lagMs === null ? {} : { lagMs }),
    })),
  };
}

function replicationOfStandby(status: ServerStatus, access: Access): ReplicationReading {
  const { receiver } = status;
  if (!receiver) return { upstream: { link: 'down' } };
  const region = access.otherRegions().find((each) => {
    const address = access.address(each);
    return address.host === receiver.host && address.port === receiver.port;
  });
  const heardAgeMs = receiver.lastMessageAgeMs;
  return {
    upstream: {
      link: linkOf(receiver, access),
      ...(region === undefined ? {} : { region }),
      ...(heardAgeMs === null ? {} : { heardAgeMs: Math.max(0, heardAgeMs) }),
    },
  };
}

function linkOf(receiver: NonNullable<ServerStatus['receiver']>, access: Access): 'up' | 'down' | 'unknown' {
  if (receiver.status !== 'streaming') return 'down';
  const ageMs = receiver.lastMessageAgeMs;
  return ageMs !== null && ageMs <= access.context.options['stale-link'] ? 'up' : 'unknown';
}
