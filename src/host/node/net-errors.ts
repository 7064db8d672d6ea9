/** What the network's errors mean. Invariant: every one gets a `details.cause`, for a refusal is evidence at once and silence is not. */
import { fail, type HoldfastError } from '../../base/errors.ts';

export type NetCause = 'refused' | 'reset' | 'timeout' | 'unreachable' | 'name' | 'tls' | 'other';

const causes: Readonly<Record<string, NetCause>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ENOTFOUND: 'name',
  EAI_AGAIN: 'name',
  EAI_NODATA: 'name',
  EPROTO: 'tls',
  HOSTNAME_MISMATCH: 'tls',
};
const tlsCode = /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|INVALID_CA|ERROR_IN_CERT)/;

export function netCauseOf(error: NodeJS.ErrnoException): NetCause {
  const code = error.code ?? '';
  return causes[code] ?? (tlsCode.test(code) ? 'tls' : 'other');
}

/** `target` is what people know it by: `10.0.1.5:5432`. `sent`: bytes of the request had left when it happened. */
export function netError(
  error: NodeJS.ErrnoException,
  target: string,
  options: { readonly sent?: boolean; readonly path?: boolean } = {},
): HoldfastError {
  // Where nobody ever listened on a unix socket, or its server removed it, there is no file: the same evidence as a refusal.
  const cause: NetCause = options.path === true && error.code === 'ENOENT' ? 'refused' : netCauseOf(error);
  const parts = {
    message: `${target}: ${words[cause] ?? error.message}${error.code === undefined ? '' : ` (${error.code})`}`,
    subject: target,
    details: { cause, ...(options.sent === undefined ? {} : { sent: options.sent }) },
    cause: error,
  };
  if (cause === 'timeout') return fail('TIMED_OUT', parts);
  if (error.code?.startsWith('HPE_') === true)
    return fail('SYSTEM_WRONG_ANSWER', { ...parts, message: `${target}: the answer is not HTTP (${error.code})` });
  if (cause === 'tls')
    return fail('SYSTEM_UNREACHABLE', {
      ...parts,
      message: `${target}: ${error.message}`,
      hint: 'Look at the certificate of the system and the authority that the spec trusts.',
    });
  return fail('SYSTEM_UNREACHABLE', parts);
}

export function netTimeout(target: string, timeoutMs: number, sent?: boolean): HoldfastError {
  return fail('TIMED_OUT', {
    message: `${target}: no answer within ${timeoutMs} ms`,
    subject: target,
    details: { cause: 'timeout', ...(sent === undefined ? {} : { sent }) },
  });
}

export function netInterrupted(target: string, reason: unknown): HoldfastError {
  return fail('INTERRUPTED', { message: `${target}: interrupted`, subject: target, cause: reason });
}

const words: Readonly<Partial<Record<NetCause, string>>> = {
  refused: 'connection refused',
  reset: 'connection reset',
  timeout: 'no answer in time',
  unreachable: 'no way to the host',
  name: 'the name is not known',
};
