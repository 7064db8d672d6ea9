/** What running a program to its end and talking to one while it runs have in common. */
import type { ChildProcess } from 'node:child_process';
import { fail, type HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { ProcessRequest } from '../host.ts';

export type ProgramRequest = Omit<ProcessRequest, 'stdin' | 'maxOutputBytes' | 'leaveChildren'>;

const safePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The environment of every program: little, the same everywhere, and without the secrets of this process. */
export function safeEnvironment(added: ProcessRequest['env']): Record<string, string> {
  // A pipe of Node's is a socket, and bash takes a socket for a remote login and runs ~/.bashrc, unless it is told that it is not the outermost shell.
  const env: Record<string, string> = { PATH: safePath, HOME: process.env.HOME ?? '/', LANG: 'C.UTF-8', TZ: 'UTC', SHLVL: '1' };
  for (const [name, value] of Object.entries(added ?? {})) env[name] = value instanceof Secret ? value.reveal() : value;
  return env;
}

export function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nobody of the group is left (ESRCH), or its last one has become another user's (EPERM): nothing more can be done from here.
  }
}

export function spawnError(request: ProgramRequest, error: NodeJS.ErrnoException): HoldfastError {
  const parts = {
    message: `${request.program} can not be started: ${error.message}`,
    subject: request.program,
    details: { cause: error.code ?? 'other' },
    cause: error,
  };
  if (error.code === 'ENOENT' && request.cwd !== undefined)
    return fail('HANDS_NO_PROGRAM', { ...parts, hint: `Look at whether the program and the directory ${request.cwd} exist.` });
  if (error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ENOEXEC' || error.code === 'ENOTDIR')
    return fail('HANDS_NO_PROGRAM', parts);
  return fail('COMMAND_FAILED', parts);
}

export function timedOut(request: ProgramRequest): HoldfastError {
  return fail('TIMED_OUT', {
    message: `${request.program} did not end within ${request.timeoutMs} ms and was killed`,
    subject: request.program,
    details: { cause: 'timeout' },
  });
}

export function interrupted(request: ProgramRequest): HoldfastError {
  return fail('INTERRUPTED', { message: `${request.program} was interrupted`, subject: request.program, cause: request.signal?.reason });
}
