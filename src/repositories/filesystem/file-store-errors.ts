/** What the system says of a repository's file, in the words of a store. */
import { fail, HoldfastError } from '../../base/errors.ts';

const notAllowed = ['EACCES', 'EPERM', 'EROFS'];
const full = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** The system's own word for what went wrong: `ENOENT`. Undefined where the error is not the file system's. */
export function causeOf(error: unknown): string | undefined {
  if (!(error instanceof HoldfastError)) return undefined;
  return typeof error.details.cause === 'string' ? error.details.cause : undefined;
}

export function fileStoreError(error: unknown, root: string): unknown {
  const cause = causeOf(error);
  if (cause === undefined || !(error instanceof HoldfastError)) return error;
  const parts = { message: error.message, subject: root, details: error.details, cause: error };
  if (full.includes(cause)) return fail('STORE_FULL', parts);
  if (notAllowed.includes(cause))
    return fail('STORE_NOT_ALLOWED', { ...parts, hint: 'Look at the owner and the permissions of the directory.' });
  // The disk, or the network that it is behind, is in trouble (EIO, ESTALE, ETIMEDOUT, EMFILE ...): it may pass.
  return fail('STORE_UNREACHABLE', { ...parts, hint: 'Look at whether the file system of the repository is well.' });
}
