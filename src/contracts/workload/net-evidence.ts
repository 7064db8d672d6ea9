/**
 * From a failed network call to evidence. Only a live host that says no (`refused`, `reset`) makes a site `down`; silence and missing ways are `unknown`: they may as well be
 * the observer's own trouble.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Evidence, EvidenceKind, Health, Reading } from '../observation.ts';

const kindByCause: Readonly<Record<string, EvidenceKind>> = {
  refused: 'refused',
  reset: 'connection-lost',
  timeout: 'timeout',
  unreachable: 'unreachable',
  // A name that does not resolve says nothing of the host behind it.
  name: 'unreachable',
  // A certificate that we do not trust may be our own wrong `ca`.
  tls: 'error',
};

export function evidenceOfNetError(thrown: unknown, target: string): Evidence {
  if (!(thrown instanceof HoldfastError)) {
    // The signal's own reason: whoever ended the probe did so for want of an answer.
    if (thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError'))
      return { kind: 'timeout', detail: `no answer from ${target} before the probe was ended` };
    throw thrown;
  }
  if (thrown.kind === 'bug' || thrown.kind === 'invalid') throw thrown;
  if (thrown.code === 'SYSTEM_WRONG_ANSWER') return { kind: 'wrong-answer', detail: `${target}: ${thrown.message}` };
  if (thrown.code === 'INTERRUPTED') return { kind: 'timeout', detail: `no answer from ${target} before the probe was ended` };
  const cause = thrown.code === 'TIMED_OUT' ? 'timeout' : String(thrown.details.cause ?? 'other');
  return { kind: kindByCause[cause] ?? 'error', detail: `${target}: ${thrown.message}` };
}

const healthByKind: Readonly<Record<EvidenceKind, Health>> = {
  answered: 'up',
  'wrong-answer': 'down',
  refused: 'down',
  'connection-lost': 'down',
  timeout: 'unknown',
  unreachable: 'unknown',
  'not-allowed': 'unknown',
  error: 'unknown',
};

export function readingOf(evidence: Evidence): Reading {
  return { health: healthByKind[evidence.kind], evidence };
}
