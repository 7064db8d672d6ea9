/**
 * What a service of AWS, the SDK or the network says, as one of our errors: by name and status, never by words. Only the service's own name and message are taken over: the SDK's errors
 * carry requests, which carry signatures.
 */
import type { ErrorCode } from '../../base/error-catalogue.ts';
import { fail, HoldfastError } from '../../base/errors.ts';

interface Thrown {
  readonly name?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number };
}

/** The service did nothing and wishes to be asked later. */
export const slowDownNames: ReadonlySet<string> = new Set([
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'RequestLimitExceeded',
  'PriorRequestNotComplete',
  'TooManyRequestsException',
  'SlowDown',
]);

const credentialNames: ReadonlySet<string> = new Set([
  'InvalidClientTokenId',
  'InvalidAccessKeyId',
  'UnrecognizedClientException',
  'SignatureDoesNotMatch',
  'InvalidSignatureException',
  'MissingAuthenticationToken',
  'ExpiredToken',
  'ExpiredTokenException',
  'RequestExpired',
  'RequestTimeTooSkewed',
  'CredentialsProviderError',
  'AccessDenied',
  'AccessDeniedException',
]);

/** Names that the SDK gives to answers in which it found none. */
const namelessNames: ReadonlySet<string> = new Set(['UnknownError', 'Unknown', 'Error', 'SyntaxError', 'TypeError', '']);

export interface AwsCall {
  /** For people: `list the records of Z123`. */
  readonly doing: string;
  /** It changes something: an answer that does not come, or makes no sense, is an unknown outcome. */
  readonly changes: boolean;
}

export function awsFailure(thrown: unknown, { doing, changes }: AwsCall): HoldfastError {
  if (thrown instanceof HoldfastError) return networkFailure(thrown, doing, changes);
  const error = (thrown ?? {}) as Thrown;
  const name = error.name ?? '';
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode;
  const words = (error.message ?? '').replaceAll(/\s+/g, ' ').slice(0, 300);
  const made = (code: ErrorCode, hint?: string): HoldfastError =>
    fail(code, {
      message: `${doing}: ${[status, name, words].filter((part) => part !== undefined && part !== '').join(' ')}`,
      details: { service: name, ...(status === undefined ? {} : { status }) },
      ...(hint === undefined ? {} : { hint }),
    });
  if (credentialNames.has(name)) return made('SYSTEM_WRONG_CREDENTIALS', 'Look at the access key, its secret, and what its policy allows.');
  if (slowDownNames.has(name) || status === 429)
    return made('SYSTEM_NOT_SERVING', 'The service asks us to slow down; it limits a whole account.');
  const answered = status !== undefined && status >= 300 && status < 500;
  if (changes && !answered) return made('SYSTEM_OUTCOME_UNKNOWN');
  if (status !== undefined && status >= 500) return made('SYSTEM_NOT_SERVING');
  if (namelessNames.has(name) || !answered)
    return made(
      'SYSTEM_WRONG_ANSWER',
      'What answers there does not answer as the service does: look at endpoint, and at proxies in between.',
    );
  return made('SYSTEM_REFUSED');
}

function networkFailure(error: HoldfastError, doing: string, changes: boolean): HoldfastError {
  const neverSent = error.details.sent === false || ['refused', 'name', 'unreachable', 'tls'].includes(String(error.details.cause));
  const lost = ['SYSTEM_UNREACHABLE', 'TIMED_OUT', 'INTERRUPTED', 'SYSTEM_WRONG_ANSWER'].includes(error.code);
  if (!changes || !lost || neverSent) return error;
  return fail('SYSTEM_OUTCOME_UNKNOWN', { message: `${doing}: ${error.message}`, cause: error });
}
