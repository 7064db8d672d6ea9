/**
 * What an S3 service, the SDK or the network says, in the words of a store. Only the service's own code and message are taken over: the SDK's errors carry requests, which carry
 * signatures.
 */
import type { ErrorCode } from '../../base/error-catalogue.ts';
import { fail, type HoldfastError } from '../../base/errors.ts';

/** What the decisions here and in the store are made by. */
export interface S3Failure {
  readonly error: HoldfastError;
  readonly status: number | undefined;
  /** The service's own code: `NoSuchBucket`. */
  readonly serviceCode: string;
  /** Certain that the service did nothing: it was never reached, or said no. */
  readonly untouched: boolean;
}

interface Thrown {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly Code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number };
}

interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string;
}

const byServiceCode: Readonly<Record<string, Meaning>> = {
  NoSuchBucket: { code: 'STORE_MISSING_PLACE' },
  PermanentRedirect: { code: 'STORE_MISSING_PLACE', hint: 'The bucket is in another region: name that one under "region".' },
  AuthorizationHeaderMalformed: { code: 'STORE_MISSING_PLACE', hint: 'The bucket is in another region: name that one under "region".' },
  IllegalLocationConstraintException: {
    code: 'STORE_MISSING_PLACE',
    hint: 'The bucket is in another region: name that one under "region".',
  },
  NoSuchKey: { code: 'STORE_NO_OBJECT' },
  // What the SDK calls an answer without a body, to a head.
  NotFound: { code: 'STORE_NO_OBJECT' },
  NoSuchVersion: { code: 'STORE_NO_OBJECT' },
  InvalidAccessKeyId: { code: 'STORE_NOT_ALLOWED', hint: 'The service knows no such access key: look at "access-key-id".' },
  // As versitygw says it.
  XAdminUserNotFound: { code: 'STORE_NOT_ALLOWED', hint: 'The service knows no such access key: look at "access-key-id".' },
  SignatureDoesNotMatch: { code: 'STORE_NOT_ALLOWED', hint: 'The secret does not belong to the access key: look at "secret-access-key".' },
  ExpiredToken: { code: 'STORE_NOT_ALLOWED', hint: 'The temporary credentials have expired: get new ones.' },
  RequestTimeTooSkewed: { code: 'STORE_NOT_ALLOWED', hint: 'The clock of this machine is wrong: set it.' },
  CredentialsProviderError: {
    code: 'STORE_NOT_ALLOWED',
    hint: 'No credentials were found: write "access-key-id" and "secret-access-key", or set the AWS environment variables.',
  },
  QuotaExceeded: { code: 'STORE_FULL' },
  QuotaExceededException: { code: 'STORE_FULL' },
  XMinioStorageFull: { code: 'STORE_FULL' },
  EntityTooLarge: { code: 'STORE_FULL', hint: 'The service does not take an object of this size.' },
  ObjectLockConfigurationNotFoundError: { code: 'STORE_NO_LOCK' },
  InvalidBucketObjectLockConfiguration: { code: 'STORE_NO_LOCK' },
  ObjectLocked: { code: 'STORE_LOCKED' },
  NotImplemented: { code: 'STORE_UNSOUND', hint: 'The service can not do what a repository needs.' },
  RequestTimeout: { code: 'STORE_UNREACHABLE' },
  SlowDown: { code: 'STORE_UNREACHABLE', hint: 'The service asks us to slow down.' },
};

/** Codes of Node and of the resolver for "it was never reached". */
const neverConnected = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'];
const certificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/;

export function s3Failure(thrown: unknown, doing: string, subject: string): S3Failure {
  const error = (thrown ?? {}) as Thrown;
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode;
  const serviceCode = error.Code ?? error.name ?? '';
  const words = (error.message ?? '').replaceAll(/\s+/g, ' ').slice(0, 300);
  const made = (code: ErrorCode, hint?: string): HoldfastError =>
    fail(code, {
      message: `${doing}: ${[status, serviceCode === 'Error' ? (error.code ?? '') : serviceCode, words].filter((part) => part !== undefined && part !== '').join(' ')}`,
      subject,
      ...(hint === undefined ? {} : { hint }),
      details: { ...(status === undefined ? {} : { status }), serviceCode },
    });
  if (status === undefined || (status >= 200 && status < 300)) return withoutAnswer(error, serviceCode, words, made);
  // A service error that may be told over and over (500, 502, 504) says nothing of whether the request was carried out.
  if (status >= 500 && status !== 501 && status !== 507)
    return { error: made('STORE_UNREACHABLE', byServiceCode[serviceCode]?.hint), status, serviceCode, untouched: false };
  return { error: meaningOf(status, serviceCode, words, made), status, serviceCode, untouched: true };
}

function meaningOf(
  status: number,
  serviceCode: string,
  words: string,
  made: (code: ErrorCode, hint?: string) => HoldfastError,
): HoldfastError {
  const known = byServiceCode[serviceCode];
  if (known !== undefined) return made(known.code, known.hint);
  if (/^KMS\./.test(serviceCode) || /\bkms\b/i.test(words))
    return made('STORE_NO_KEY_SERVICE', 'Look at the key named under "encryption": whether it exists, is enabled, and may be used by us.');
  if (/object ?lock/i.test(`${serviceCode} ${words}`)) return made('STORE_NO_LOCK');
  if (status === 429) return made('STORE_UNREACHABLE', 'The service asks us to slow down.');
  if (status === 507) return made('STORE_FULL');
  return made('STORE_NOT_ALLOWED');
}

/** The network, the SDK, or something that answers and is no S3 service. */
function withoutAnswer(
  error: Thrown,
  serviceCode: string,
  words: string,
  made: (code: ErrorCode, hint?: string) => HoldfastError,
): S3Failure {
  const code = error.code ?? '';
  const failure = (made: HoldfastError, untouched: boolean): S3Failure => ({ error: made, status: undefined, serviceCode, untouched });
  const known = byServiceCode[serviceCode];
  if (known !== undefined) return failure(made(known.code, known.hint), true);
  if (/region is missing/i.test(words)) return failure(made('STORE_MISSING_PLACE', 'Name the region of the bucket under "region".'), true);
  if (certificate.test(code))
    return failure(made('STORE_UNREACHABLE', 'The certificate of the service is not trusted by this machine.'), true);
  const untouched = neverConnected.includes(code) || /establish(?:ing)? a connection/.test(words);
  return failure(made('STORE_UNREACHABLE'), untouched);
}
