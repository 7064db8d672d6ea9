/**
 * A program whose streams are used while it runs.
 *
 * Invariant: it does not outlive its time-out nor its signal: its whole group is killed then. A program that is not read from stops by itself at a full pipe; nothing is buffered
 * here but the end of its stderr.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { RunningProcess } from '../host.ts';
import { interrupted, killGroup, type ProgramRequest, safeEnvironment, spawnError, timedOut } from './program.ts';

const stderrMaxBytes = 65_536;

export async function startProcess(request: ProgramRequest & { readonly withInput?: boolean }): Promise<RunningProcess> {
  if (request.signal?.aborted) throw interrupted(request);
  const child = spawn(request.program, [...request.args], {
    detached: true,
    cwd: request.cwd,
    env: safeEnvironment(request.env),
    stdio: [request.withInput === true ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  let failure: Error | undefined;
  const end = (error: Error): void => {
    failure ??= error;
    killGroup(child, 'SIGKILL');
  };
  const timer = setTimeout(() => end(timedOut(request)), Math.min(request.timeoutMs, 2_147_483_647));
  const onAbort = (): void => end(interrupted(request));
  request.signal?.addEventListener('abort', onAbort, { once: true });
  const stderr = keepEnd(child);
  child.stdin?.on('error', () => {
    // The program ended or closed its input before it had read all: its exit tells whether that matters.
  });
  const ended = new Promise<{ exitCode: number; stderr: string }>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(spawnError(request, error)));
    child.once('close', (code, signal) => {
      killGroup(child, 'SIGKILL');
      if (failure) reject(failure);
      else resolve({ exitCode: code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0), stderr: stderr() });
    });
  }).finally(() => {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', onAbort);
  });
  // Whoever only reads hears of the failure when it asks how it ended.
  ended.catch(() => {});
  if (child.pid === undefined) await ended;
  return {
    pid: child.pid as number,
    stdout: child.stdout as AsyncIterable<Uint8Array>,
    ended,
    write: async (bytes) => {
      const input = child.stdin;
      if (!input || input.destroyed) return;
      if (!input.write(bytes)) await Promise.race([once(input, 'drain'), ended]);
    },
    endInput: () => void child.stdin?.end(),
    signal: (name) => killGroup(child, name),
  };
}

function keepEnd(child: ChildProcess): () => string {
  let kept = Buffer.alloc(0);
  child.stderr?.on('data', (piece: Buffer) => {
    kept = Buffer.concat([kept, piece]).subarray(-stderrMaxBytes);
  });
  return () => kept.toString('utf8');
}
