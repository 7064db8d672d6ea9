/** From an error reply to a HoldfastError; `details.reply` keeps the first word of the reply, which is what Redis promises to keep stable. */
import type { ErrorCode } from '../../base/error-catalogue.ts';
import { fail, HoldfastError } from '../../base/errors.ts';

const codeByWord: Readonly<Record<string, ErrorCode>> = {
  WRONGPASS: 'SYSTEM_WRONG_CREDENTIALS',
  NOAUTH: 'SYSTEM_WRONG_CREDENTIALS',
  NOPERM: 'SYSTEM_WRONG_CREDENTIALS',
  DENIED: 'SYSTEM_WRONG_CREDENTIALS',
  READONLY: 'SYSTEM_WRONG_ROLE',
  // These pass by themselves: the data set is being read, a script runs, the first copy is under way.
  LOADING: 'SYSTEM_UNREACHABLE',
  BUSY: 'SYSTEM_UNREACHABLE',
  MASTERDOWN: 'SYSTEM_UNREACHABLE',
};

export function errorOfReply(text: string, command: string): HoldfastError {
  const word = /^[A-Z]+/.exec(text)?.[0] ?? 'ERR';
  return fail(codeByWord[word] ?? 'SYSTEM_REFUSED', {
    message: `${command}: ${text}`,
    details: { reply: word, ...(word === 'LOADING' ? { cause: 'loading' } : {}) },
  });
}

/** The first word of the error reply that this error came from. */
export function replyWordOf(thrown: unknown): string | undefined {
  return thrown instanceof HoldfastError && typeof thrown.details.reply === 'string' ? thrown.details.reply : undefined;
}
