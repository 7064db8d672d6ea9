/** What went wrong on a connection, told apart by what it says about the server's health. Decided by error codes, never by the words of a message. */
import type { ErrorCode } from '../../base/error-catalogue.ts';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { EvidenceKind } from '../../contracts/observation.ts';

interface Meaning {
  readonly evidence: EvidenceKind;
  readonly code: ErrorCode;
}

const socketMeanings: Readonly<Record<string, EvidenceKind>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'connection-lost',
  EPIPE: 'connection-lost',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
};

/** SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function meaningOfState(state: string): Meaning {
  // The server is starting up or shutting down: there, but not able to serve.
  if (state === '57P03') return { evidence: 'wrong-answer', code: 'SYSTEM_UNREACHABLE' };
  if (state === '57P01' || state === '57P02' || state === '57P05' || state.startsWith('08')) {
    return { evidence: 'connection-lost', code: 'SYSTEM_UNREACHABLE' };
  }
  // A server that is full, or out of some other resource, is alive: this says nothing about its clients' fate.
  if (state.startsWith('53')) return { evidence: 'error', code: 'SYSTEM_UNREACHABLE' };
  if (state.startsWith('28') || state === '3D000' || state === '42501') {
    return { evidence: 'not-allowed', code: 'SYSTEM_WRONG_CREDENTIALS' };
  }
  if (state === '55000') return { evidence: 'answered', code: 'SYSTEM_WRONG_ROLE' };
  if (state === '57014') return { evidence: 'timeout', code: 'TIMED_OUT' };
  return { evidence: 'error', code: 'SYSTEM_REFUSED' };
}

export function sqlStateOf(thrown: unknown): string | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E') ? code : undefined;
}

function meaningOf(thrown: unknown): Meaning {
  const state = sqlStateOf(thrown);
  if (state !== undefined) return meaningOfState(state);
  const code = (thrown as { code?: unknown } | undefined)?.code;
  const evidence = typeof code === 'string' ? socketMeanings[code] : undefined;
  // The client library gives no code for a connection that ended under it.
  return { evidence: evidence ?? 'connection-lost', code: 'SYSTEM_UNREACHABLE' };
}

/** `changes`: the request may have had its effect although no answer came. */
export function clientError(thrown: unknown, where: string, changes = false): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const { evidence, code } = meaningOf(thrown);
  const words = thrown instanceof Error && thrown.message !== '' ? thrown.message : String((thrown as { code?: string }).code ?? thrown);
  const state = sqlStateOf(thrown);
  const silent = evidence === 'connection-lost' || evidence === 'timeout';
  const message = evidence === 'refused' ? `connection refused by ${where}` : `${where}: ${words}`;
  return fail(changes && silent ? 'SYSTEM_OUTCOME_UNKNOWN' : code, {
    message,
    cause: thrown,
    details: { evidence, ...(state === undefined ? {} : { sqlState: state }) },
  });
}

export function evidenceOf(error: HoldfastError): EvidenceKind {
  const evidence = error.details['evidence'];
  if (typeof evidence === 'string') return evidence as EvidenceKind;
  return error.code === 'TIMED_OUT' ? 'timeout' : 'error';
}
