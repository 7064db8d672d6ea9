/**
 * A Host for tests: files and secrets in memory, a clock that moves only by `advance`, chance from a seed. Network and processes throw, so that a test which
 * reaches for them says so instead of passing by luck.
 */
import { fail } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Clock, FileStreams, Files, Host, Log, Net, Processes, Random, SecretSource } from '../../src/host/host.ts';

export interface FakeHostParts {
  /** Environment variables that hold secrets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Path -> text. Directories are what the paths imply. */
  readonly files?: Readonly<Record<string, string>>;
  readonly seed?: number;
  readonly nowMs?: number;
}

export interface FakeClock extends Clock {
  /** Moves the time and fires what is due, in order; what a fired callback goes on to do happens before the next one is fired. */
  advance(durationMs: number): Promise<void>;
  /** Timers and sleeps that have not fired. */
  readonly waiting: number;
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: JsonObject;
}

export interface FakeHost extends Host {
  readonly clock: FakeClock;
  readonly logLines: readonly LogLine[];
}

/** Lets everything run that is ready to run now. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

export function fakeClock(startMs: number): FakeClock {
  let nowMs = startMs;
  let count = 0;
  const timers = new Map<number, { readonly dueMs: number; readonly callback: () => void }>();
  const after = (durationMs: number, callback: () => void) => {
    count += 1;
    const id = count;
    timers.set(id, { dueMs: nowMs + Math.max(0, durationMs), callback });
    return () => void timers.delete(id);
  };
  /** Timers are kept in the order in which they were set: of those due at one instant the first one is meant. */
  const firstDue = (untilMs: number) => {
    let first: [number, { readonly dueMs: number; readonly callback: () => void }] | undefined;
    for (const each of timers) if (each[1].dueMs <= untilMs && (first === undefined || each[1].dueMs < first[1].dueMs)) first = each;
    return first;
  };
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    after,
    sleep: (durationMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const stop = () => {
          cancel();
          reject(signal?.reason);
        };
        const cancel = after(durationMs, () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        });
        signal?.addEventListener('abort', stop, { once: true });
      }),
    async advance(durationMs) {
      const untilMs = nowMs + durationMs;
      await settle();
      for (let due = firstDue(untilMs); due !== undefined; due = firstDue(untilMs)) {
        const [id, timer] = due;
        timers.delete(id);
        nowMs = timer.dueMs;
        timer.callback();
        await settle();
      }
      nowMs = untilMs;
    },
    get waiting() {
      return timers.size;
    },
  };
}

/** Small and good enough for tests (mulberry32): the same seed gives the same numbers. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { next, bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)) };
}

function memoryFiles(initial: Readonly<Record<string, string>>): Files {
  const contents = new Map<string, Uint8Array>(Object.entries(initial).map(([path, text]) => [path, new TextEncoder().encode(text)]));
  const directories = new Set<string>();
  const readBytes = async (path: string) => {
    const bytes = contents.get(path);
    if (bytes === undefined)
      throw fail('NOT_FOUND', { message: `can not read ${path}: there is no such file`, subject: path, details: { cause: 'ENOENT' } });
    return bytes;
  };
  const below = (path: string) =>
    [...contents.keys(), ...directories].filter((known) => known.startsWith(path.endsWith('/') ? path : `${path}/`));
  return {
    readBytes,
    readText: async (path) => new TextDecoder().decode(await readBytes(path)),
    writeAtomically: async (path, content) =>
      void contents.set(path, typeof content === 'string' ? new TextEncoder().encode(content) : content.slice()),
    exists: async (path) => contents.has(path) || directories.has(path) || below(path).length > 0,
    makeDirectory: async (path) => void directories.add(path),
    list: async (path) =>
      [
        ...new Set(below(path).map((known) => known.slice(path.endsWith('/') ? path.length : path.length + 1).split('/')[0] as string)),
      ].sort(),
    remove: async (path) => {
      for (const known of [path, ...below(path)]) {
        contents.delete(known);
        directories.delete(known);
      }
    },
  };
}

function memorySecrets(env: Readonly<Record<string, string>>, files: Files): SecretSource {
  return {
    async fromEnvironment(name) {
      const value = Object.hasOwn(env, name) ? env[name] : undefined;
      if (!value)
        throw fail('SECRET_MISSING', { message: `the environment variable ${name} is not set or is empty`, subject: `env:${name}` });
      return new Secret(value, `env:${name}`);
    },
    async fromFile(path) {
      const text = (await files.exists(path)) ? (await files.readText(path)).replace(/\r?\n$/, '') : '';
      if (text === '') throw fail('SECRET_MISSING', { message: `the file ${path} is missing or empty`, subject: `file:${path}` });
      return new Secret(text, `file:${path}`);
    },
  };
}

function memoryLog(lines: LogLine[], carried: JsonObject = {}): Log {
  const at =
    (level: LogLine['level']) =>
    (event: string, fields: JsonObject = {}) =>
      void lines.push({ level, event, fields: { ...carried, ...fields } });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => memoryLog(lines, { ...carried, ...fields }),
  };
}

const absent = (what: string) => async (): Promise<never> => {
  throw fail('BUG_BROKEN_BELIEF', { message: `the fake host has no ${what}: a test that needs it must bring its own` });
};

/** Large files are the real machine's: a test that reads or writes them brings the real ones. */
export function absentFileStreams(): FileStreams {
  const none = absent('file streams');
  return {
    stat: none,
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: none }) }),
    openWriter: none,
    createOnce: none,
    directMemory: (bytes) => new Uint8Array(bytes),
    readInto: none,
    sync: none,
    syncFileSystem: none,
    walk: () => ({ [Symbol.asyncIterator]: () => ({ next: none }) }),
    rename: none,
    link: none,
    symbolicLink: none,
    readLink: none,
    setMode: none,
    freeBytes: none,
    removeEmptyDirectory: none,
  };
}

export function fakeHost(parts: FakeHostParts = {}): FakeHost {
  const files = memoryFiles(parts.files ?? {});
  const logLines: LogLine[] = [];
  const net: Net = {
    connectTcp: absent('network'),
    connectUnix: absent('network'),
    http: absent('network'),
    udpExchange: absent('network'),
  };
  const processes: Processes = { run: absent('processes') };
  return {
    clock: fakeClock(parts.nowMs ?? Date.UTC(2026, 0, 1)),
    random: seededRandom(parts.seed ?? 1),
    files,
    fileStreams: absentFileStreams(),
    net,
    processes,
    log: memoryLog(logLines),
    secrets: memorySecrets(parts.env ?? {}, files),
    logLines,
  };
}
