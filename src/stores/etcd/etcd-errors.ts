/** What etcd's refusals mean. https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go */
import { fail, HoldfastError } from '../../base/errors.ts';

export const grpcCode = {
  cancelled: 1,
  invalid: 3,
  timeout: 4,
  notFound: 5,
  denied: 7,
  exhausted: 8,
  precondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/**
 * A call that failed. `sent` says whether the member may have acted on it: only then is the outcome of a change unknown. What etcd refuses by name has been
 * looked at and not done.
 */
export class CallFailure extends Error {
  readonly code: number;
  readonly sent: boolean;

  constructor(code: number, message: string, sent: boolean) {
    super(message);
    this.name = 'CallFailure';
    this.code = code;
    this.sent = sent;
  }
}

const neverSent = /^(No connection established|Name resolution failed)/;
/** These come before a request is handed to the cluster, or from looking at it. */
const notDone =
  /no leader|too many requests|not capable|database space exceeded|request is too large|too many operations|duplicate key|permission denied|invalid auth token|revision of auth store is old|authentication|user name is empty|required revision|lease not found|lease already exists/;

export function callFailure(thrown: unknown): CallFailure {
  const { code, details, message } = thrown as { code?: number; details?: string; message?: string };
  const text = details !== undefined && details !== '' ? details : String(message ?? thrown);
  if (typeof code !== 'number') return new CallFailure(grpcCode.unavailable, text, true);
  return new CallFailure(code, text, !neverSent.test(text) && !notDone.test(text));
}

const tokenWords = /invalid auth token|revision of auth store is old/;
/** The token is over, or of before the last change of users and roles: another one will do. */
export const needsToken = ({ message }: CallFailure): boolean => tokenWords.test(message);

/** Worth asking another member, which may see more of the cluster. */
export function isOfMember({ code, message }: CallFailure): boolean {
  if (code === grpcCode.unavailable || code === grpcCode.timeout || code === grpcCode.cancelled) return true;
  // An unknown code (2), an internal fault (13): of the connection, or of a proxy in between.
  return code === 2 || code === 13 || /too many requests/.test(message);
}

const tlsWords = /certificate|self.signed|handshake|SSL|TLS|alert|unable to (get|verify)/i;
const credentialWords = /authentication failed|user name is empty|authentication is not enabled|invalid auth token|user name not found/;

/** As people and callers are told. `change`: what the call was to do, where it was a change. */
export function storeError(thrown: unknown, subject: string, change?: 'change'): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const failure = thrown instanceof CallFailure ? thrown : callFailure(thrown);
  const { code, message } = failure;
  const parts = { message: `etcd: ${message}`, subject, cause: thrown };
  if (/database space exceeded/.test(message)) return fail('STATE_FULL', { ...parts, hint: fullHint });
  if (/request is too large|too many operations|larger than max/.test(message)) return fail('STATE_TOO_LARGE', parts);
  if (code === grpcCode.denied || /permission denied/.test(message))
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      hint: 'Who asks (state.etcd.user, or the name in the certificate) needs a role with read and write permission on the whole prefix of the platform.',
    });
  if (credentialWords.test(message))
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      hint: 'Look at state.etcd.user and its password in the spec, and at etcdctl user list.',
    });
  if (failure.sent && change !== undefined && isOfMember(failure)) return fail('SYSTEM_OUTCOME_UNKNOWN', parts);
  if (!failure.sent && tlsWords.test(message))
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      hint: 'Look at state.etcd.ca and certificate: is one of them expired, or not of this cluster?',
    });
  if (isOfMember(failure)) return fail('STATE_UNREACHABLE', parts);
  return fail('SYSTEM_REFUSED', parts);
}

export const fullHint =
  "The database has reached the members' quota: etcdctl compact, etcdctl defrag on each member, then etcdctl alarm disarm; or a larger --quota-backend-bytes. What is held stays held meanwhile.";
