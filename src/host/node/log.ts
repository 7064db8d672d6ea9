/**
 * The log: one JSON object a line, `event` first among its words.
 *
 * Invariant: logging never delays and never breaks what it tells of. Lines are written in the background; where the reader hangs, lines beyond a bounded buffer are
 * dropped rather than waited for. What is in the buffer when the process dies by a signal is lost; a normal exit writes it out.
 * A `Secret`, and any text under a name that smells of one, is written as `[redacted]`.
 */
import pino from 'pino';
import type { JsonObject } from '../../base/json.ts';
import { Secret } from '../../base/secret.ts';
import type { Log } from '../host.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Above this many characters waiting to be written, new lines are dropped. */
const waitingMaxCharacters = 8 * 1_024 * 1_024;
const secretName = /passw|secret|token|authori[sz]ation|credential|private.?key|api.?key/i;
const depthMax = 8;

export function nodeLog(options: { readonly level?: LogLevel; readonly to?: string } = {}): Log {
  const to = options.to ?? 'stderr';
  if (to === 'silent') return silentLog;
  const destination = pino.destination({
    dest: to === 'stderr' ? 2 : to,
    sync: false,
    maxLength: waitingMaxCharacters,
    mkdir: true,
    append: true,
  });
  destination.on('error', () => {
    // A full disk or a reader that went away: what the log tells of must go on, and there is no other place to tell it.
  });
  process.once('exit', () => {
    try {
      destination.flushSync();
    } catch {
      // The destination was never opened or is gone: nothing can be written any more.
    }
  });
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return pinoLog(logger);
}

function pinoLog(logger: pino.Logger): Log {
  const write =
    (level: LogLevel) =>
    (event: string, fields?: JsonObject): void => {
      if (!logger.isLevelEnabled(level)) return;
      if (fields === undefined) logger[level](event);
      else logger[level](redact(fields, 0) as object, event);
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    with: (fields) => pinoLog(logger.child(redact(fields, 0) as pino.Bindings)),
  };
}

function redact(value: unknown, depth: number): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Secret) return value.toString();
  if (depth >= depthMax) return '[too deep]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  const clean: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    clean[name] = typeof member === 'string' && secretName.test(name) ? '[redacted]' : redact(member, depth + 1);
  }
  return clean;
}

function nothing(): void {
  // a silent log says nothing
}

const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, with: () => silentLog };
