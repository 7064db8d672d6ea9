/** What the system says of a file, as an error of the catalogue. */
import { fail, type HoldfastError } from '../../base/errors.ts';

export async function mapped<T>(path: string, doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error as NodeJS.ErrnoException, path, doing);
  }
}

function fileError(error: NodeJS.ErrnoException, path: string, doing: string): HoldfastError {
  const parts = {
    message: `can not ${doing} ${path}: ${error.message}`,
    subject: path,
    details: { cause: error.code ?? 'other' },
    cause: error,
  };
  if (error.code === 'ENOENT') return fail('NOT_FOUND', { ...parts, hint: 'Look at whether the path is right.' });
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return fail('STATE_FULL', { ...parts, hint: 'Free space on that disk.' });
  if (error.code === 'EEXIST') return fail('FILE_EXISTS', parts);
  return fail('SYSTEM_REFUSED', { ...parts, hint: 'Look at the owner and the permissions of the path.' });
}
