/** What the OpenSSH client's words mean. It has one exit code (255) for all of its own failures, so only the words tell them apart. */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';

interface Meaning {
  readonly words: RegExp;
  readonly code: 'HANDS_HOST_KEY' | 'HANDS_KEY_REJECTED' | 'HANDS_UNREACHABLE';
  readonly cause: string;
}

const meanings: readonly Meaning[] = [
  { words: /REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for .* has changed/, code: 'HANDS_HOST_KEY', cause: 'changed' },
  { words: /No .*host key is known|Host key verification failed|REVOKED HOST KEY/, code: 'HANDS_HOST_KEY', cause: 'unknown' },
  { words: /Permission denied \(|Too many authentication failures/, code: 'HANDS_KEY_REJECTED', cause: 'rejected' },
  { words: /Connection refused/, code: 'HANDS_UNREACHABLE', cause: 'refused' },
  { words: /timed out|Timeout, server .* not responding/i, code: 'HANDS_UNREACHABLE', cause: 'timeout' },
  { words: /Could not resolve hostname/, code: 'HANDS_UNREACHABLE', cause: 'name' },
  { words: /No route to host|Network is unreachable|Host is down/, code: 'HANDS_UNREACHABLE', cause: 'unreachable' },
  { words: /Connection (?:reset|closed)|kex_exchange_identification|Broken pipe/, code: 'HANDS_UNREACHABLE', cause: 'reset' },
];

/** Before anything was sent. */
export function connectError(stderr: string, hands: string): HoldfastError {
  const meaning = meanings.find(({ words }) => words.test(stderr));
  const details: Record<string, Json> = { cause: meaning?.cause ?? 'other' };
  return fail(meaning?.code ?? 'HANDS_UNREACHABLE', { message: `${hands}: ${lastLine(stderr)}`, subject: hands, details });
}

/** After the command was given to a connection. What ssh says first, before any output of a program, was said while it connected anew: then nothing was sent. */
export function commandError(stderr: string, hands: string): HoldfastError {
  if (/^(?:ssh: |@@@|No [^\n]*host key|Host key|kex_exchange|[^\n]*: Permission denied \()/.test(stderr))
    return connectError(stderr, hands);
  return fail('SYSTEM_OUTCOME_UNKNOWN', {
    message: `${hands}: the connection ended while the command ran${stderr.trim() === '' ? '' : `: ${lastLine(stderr)}`}`,
    subject: hands,
    details: { cause: 'reset' },
  });
}

export function connectTimeout(hands: string, timeoutMs: number): HoldfastError {
  return fail('HANDS_UNREACHABLE', {
    message: `${hands}: no connection within ${timeoutMs} ms`,
    subject: hands,
    details: { cause: 'timeout' },
  });
}

function lastLine(stderr: string): string {
  return stderr.trim().split(/\r?\n/).at(-1)?.trim() ?? '';
}
