/**
 * Programs of this machine, run to their end.
 *
 * Invariant: what was started is over when `run` settles: the program leads its own process group, and the whole group is killed on time-out, on abort and after
 * its end (save with `leaveChildren`). A descendant that starts a session of its own is out of reach; that is how servers detach. When this process dies, programs
 * under way live on: whoever resumes must inspect.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { asHoldfastError, type HoldfastError } from '../../base/errors.ts';
import type { Processes, ProcessRequest, ProcessResult } from '../host.ts';
import { isProcessGone, ownIdentity } from './process-identity.ts';
import { interrupted, killGroup, safeEnvironment, spawnError, timedOut } from './program.ts';
import { startProcess } from './running-process.ts';

const outputMaxBytesDefault = 1_048_576;
/** After a kill, how long the end is waited for: a process in uninterruptible sleep (a dead disk) does not end. */
const killedWaitMs = 2_000;
/** How long output is read on after the end of a program whose children hold the pipe. */
const heldPipeWaitMs = 20;

export function nodeProcesses(): Processes {
  const self = ownIdentity();
  return {
    run: (request) => new Promise((resolve, reject) => start(request, resolve, reject)),
    start: startProcess,
    ...(self === undefined ? {} : { self, isGone: isProcessGone }),
  };
}

function start(request: ProcessRequest, resolve: (result: ProcessResult) => void, reject: (error: unknown) => void): void {
  if (request.signal?.aborted) {
    reject(interrupted(request));
    return;
  }
  let child: ChildProcess;
  try {
    child = spawn(request.program, [...request.args], {
      detached: true,
      cwd: request.cwd,
      env: safeEnvironment(request.env),
      stdio: [request.stdin === undefined && request.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    reject(spawnError(request, error as NodeJS.ErrnoException));
    return;
  }
  const stdout = collect(child.stdout, request.maxOutputBytes ?? outputMaxBytesDefault);
  const stderr = collect(child.stderr, request.maxOutputBytes ?? outputMaxBytesDefault);
  let failure: HoldfastError | undefined;
  let waitAfterKill: NodeJS.Timeout | undefined;
  const end = (error: HoldfastError): void => {
    if (failure !== undefined) return;
    failure = error;
    killGroup(child);
    waitAfterKill = setTimeout(() => settle(() => reject(error)), killedWaitMs);
  };
  const timer = setTimeout(() => end(timedOut(request)), Math.min(request.timeoutMs, 2_147_483_647));
  const onAbort = (): void => end(interrupted(request));
  request.signal?.addEventListener('abort', onAbort, { once: true });
  if (request.input === undefined) feed(child, request.stdin);
  else void pump(child, request.input).catch((error: unknown) => end(asHoldfastError(error, request.program)));

  let settled = false;
  const settle = (how: () => void): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    clearTimeout(waitAfterKill);
    request.signal?.removeEventListener('abort', onAbort);
    how();
  };
  const finish = (code: number | null, signal: NodeJS.Signals | null): void =>
    settle(() => {
      if (failure !== undefined) reject(failure);
      else resolve({ exitCode: code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0), stdout: stdout(), stderr: stderr() });
    });

  child.once('error', (error: NodeJS.ErrnoException) => settle(() => reject(spawnError(request, error))));
  child.once('exit', (code, signal) => {
    if (request.leaveChildren !== true && failure === undefined) return;
    // What is already in the pipe is still read; `close` comes before this where no child holds it.
    setTimeout(() => {
      keepDraining(child);
      finish(code, signal);
    }, heldPipeWaitMs);
  });
  child.once('close', (code, signal) => {
    if (request.leaveChildren !== true) killGroup(child);
    finish(code, signal);
  });
}

function collect(stream: NodeJS.ReadableStream | null, maxBytes: number): () => string {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  stream?.on('data', (piece: Buffer) => {
    if (sizeBytes >= maxBytes) return; // read on, so that the program does not block on a full pipe
    pieces.push(piece.subarray(0, maxBytes - sizeBytes));
    sizeBytes += piece.length;
  });
  stream?.on('error', () => {
    // The pipe broke because the program ended: its exit tells the rest.
  });
  return () => Buffer.concat(pieces).toString('utf8');
}

function feed(child: ChildProcess, input: string | Uint8Array | undefined): void {
  child.stdin?.on('error', () => {
    // The program ended or closed its input before it had read all: its exit tells whether that matters.
  });
  child.stdin?.end(input);
}

/** No further than the program has come. Its early end is no error here: its exit tells. */
async function pump(child: ChildProcess, input: AsyncIterable<Uint8Array>): Promise<void> {
  const { stdin } = child;
  if (!stdin) return;
  stdin.on('error', () => {
    // As above.
  });
  for await (const bytes of input) {
    if (stdin.destroyed || !stdin.writable) return;
    if (stdin.write(bytes)) continue;
    await new Promise<void>((resolve) => {
      const over = (): void => {
        stdin.off('drain', over);
        stdin.off('close', over);
        resolve();
      };
      stdin.once('drain', over);
      stdin.once('close', over);
    });
  }
  stdin.end();
}

/** Children that live on keep the pipes: they are read and thrown away as long as we live, and do not keep this process alive. */
function keepDraining(child: ChildProcess): void {
  for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref?: () => void } | null)?.unref?.();
  child.unref();
}
