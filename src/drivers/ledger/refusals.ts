/** What a ledger's refusals, and those of the connection to it, mean. Pure. */
import { fail, type HoldfastError } from '../../base/errors.ts';

/** As gRPC reports it. */
export interface Failure {
  readonly code?: number;
  readonly details?: string;
  readonly message?: string;
}

export const grpcCode = {
  cancelled: 1,
  unknown: 2,
  invalid: 3,
  timeout: 4,
  notFound: 5,
  denied: 7,
  precondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

const neverSent = /^(No connection established|Name resolution failed)/;
const tlsWords = /certificate|self.signed|handshake|SSL|TLS|wrong version number|unable to (get|verify)/i;
/** HTTP spoken by something that is no gRPC server: a proxy, a web page, another protocol. */
const notGrpc = /HTTP status code|content-type|Protocol error|HTTP\/2|Parse Error|deserializ|failed to decode|ERR_HTTP2/i;
const broken = /ECONNRESET|Connection dropped|socket hang up|GOAWAY|Stream removed|ECONNABORTED|EPIPE/;

function causeOf(text: string): string {
  if (/ECONNREFUSED/.test(text)) return 'refused';
  if (/ENOTFOUND|EAI_AGAIN|Name resolution/.test(text)) return 'name';
  if (/EHOSTUNREACH|ENETUNREACH/.test(text)) return 'unreachable';
  if (/ETIMEDOUT/.test(text)) return 'timeout';
  return broken.test(text) ? 'reset' : 'other';
}

export interface Asked {
  readonly subject: string;
  readonly call: string;
  readonly change: boolean;
}

export function ledgerError(failure: Failure, { subject, call, change }: Asked): HoldfastError {
  const text = failure.details || failure.message || 'it gave no reason';
  const code = failure.code ?? grpcCode.unknown;
  const parts = { subject, message: `${call}: ${text}`, details: { grpc: code } };
  const sent = !neverSent.test(text);
  if (!sent && tlsWords.test(text))
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      details: { grpc: code, cause: 'tls' },
      hint: 'Does the url begin with https where the ledger speaks TLS, and is the certificate of the authority in ca?',
    });
  if (notGrpc.test(text) && code !== grpcCode.invalid) return fail('SYSTEM_WRONG_ANSWER', parts);
  if (!sent) return fail('SYSTEM_UNREACHABLE', { ...parts, details: { grpc: code, cause: causeOf(text) } });
  if (code === grpcCode.timeout || code === grpcCode.cancelled)
    return change ? fail('SYSTEM_OUTCOME_UNKNOWN', parts) : fail('TIMED_OUT', { ...parts, details: { grpc: code, cause: 'timeout' } });
  if (broken.test(text))
    return change
      ? fail('SYSTEM_OUTCOME_UNKNOWN', parts)
      : fail('SYSTEM_UNREACHABLE', { ...parts, details: { grpc: code, cause: 'reset' } });
  if (code === grpcCode.unauthenticated || code === grpcCode.denied) return fail('SYSTEM_WRONG_CREDENTIALS', parts);
  if (code === grpcCode.unavailable) return fail('SYSTEM_NOT_SERVING', parts);
  return fail('SYSTEM_REFUSED', parts);
}
