/** Keys and values as fdbcli reads and prints them: what is no plain character is `\xNN`. */

/** For an argument of a command: no space, quote, semicolon or backslash of it means anything to fdbcli. */
export function toArgument(text: string): string {
  let written = '';
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    written += /[\w/:.,=-]/.test(character) ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return written;
}

const pair = /^`(.*)' is `(.*)'$/;

/** The rows of `get` and `getrange`, as they are printed: two equal ones are the same bytes. */
export function readPairs(printed: string): readonly { readonly key: string; readonly value: string }[] {
  const found: { key: string; value: string }[] = [];
  for (const line of printed.split('\n')) {
    const match = pair.exec(line);
    if (match) found.push({ key: match[1] as string, value: match[2] as string });
  }
  return found;
}
