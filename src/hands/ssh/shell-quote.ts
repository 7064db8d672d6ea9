/** Words for a POSIX shell. Invariant: the shell reads back exactly the words given, whatever is in them (save a NUL, which no argument can hold). */
import { assert } from '../../base/assert.ts';

const plain = /^[A-Za-z0-9_./:=@%+-]+$/;

export function shellQuote(word: string): string {
  assert(!word.includes('\0'), 'an argument holds no NUL');
  return plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export function shellCommand(words: readonly string[]): string {
  return words.map(shellQuote).join(' ');
}
