/** What SQLite's result codes mean. https://www.sqlite.org/rescode.html */
import { fail, HoldfastError } from '../../base/errors.ts';

const primary = { busy: 5, locked: 6, readOnly: 8, ioError: 10, corrupt: 11, full: 13, canNotOpen: 14, notADatabase: 26 } as const;
/** The shared-memory file can not grow: how a full disk shows before the first page is written. */
const ioErrorSharedMemorySize = 4_874;

interface SqliteError extends Error {
  readonly errcode: number;
}

function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && typeof (error as { errcode?: unknown }).errcode === 'number';
}

export function isBusy(error: unknown): boolean {
  if (!isSqliteError(error)) return false;
  const code = error.errcode & 0xff;
  return code === primary.busy || code === primary.locked;
}

/** `committing`: the error came from COMMIT itself, so that a failing disk leaves it open whether the change is there after a crash. */
export function stateError(error: unknown, path: string, committing = false): HoldfastError {
  if (error instanceof HoldfastError) return error;
  if (!isSqliteError(error))
    return fail('BUG_BROKEN_BELIEF', { message: `the state can not be used: ${String(error)}`, subject: path, cause: error });
  const parts = { message: `${path}: ${error.message}`, subject: path, details: { sqliteCode: error.errcode }, cause: error };
  if (error.errcode === ioErrorSharedMemorySize) return fail('STATE_FULL', parts);
  switch (error.errcode & 0xff) {
    case primary.busy:
    case primary.locked:
      return fail('STATE_LOCKED', parts);
    case primary.full:
      return fail('STATE_FULL', parts);
    case primary.corrupt:
    case primary.notADatabase:
      return fail('STATE_DAMAGED', parts);
    case primary.ioError:
      if (committing)
        return fail('SYSTEM_OUTCOME_UNKNOWN', { ...parts, hint: 'The disk of the state directory fails; look at the system log.' });
      return fail('STATE_DAMAGED', { ...parts, hint: 'The disk of the state directory fails; look at the system log.' });
    case primary.readOnly:
    case primary.canNotOpen:
      return fail('SYSTEM_REFUSED', { ...parts, hint: 'Look at the owner and the permissions of the state directory.' });
    default:
      return fail('BUG_BROKEN_BELIEF', parts);
  }
}
