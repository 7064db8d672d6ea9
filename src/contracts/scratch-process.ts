/**
 * A server that runs only for a proof or a look into an artefact.
 *
 * Invariant: it does not outlive this process, however this ends. A small shell holds it: the shell reads a pipe that nobody writes to, and when the pipe closes (on `stop`, or
 * because the kernel closed it for a process that was killed) it ends the server. Programs and arguments are the shell's parameters, never part of its text.
 */
import { fail, HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Host, RunningProcess } from '../host/host.ts';

const keeper = `
"$@" </dev/null &
server=$!
exec 3<&0
{ read -r line <&3; kill -TERM "$server" 2>/dev/null; } &
watcher=$!
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

const runMaxMs = 7 * 86_400_000;
const stopGraceMs = 20_000;
const pollMs = 25;

export interface ScratchServer {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | Secret>>;
  readonly cwd?: string;
  /** How it is called in messages: `redis-server on the copy`. */
  readonly name: string;
  /** Resolves to true once it can be used, to false while it comes up; what it throws otherwise ends the wait. */
  isReady(): Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly signal: AbortSignal;
  /** The end of its own words, for messages. */
  readLog(): Promise<string>;
}

export interface ScratchProcess {
  readonly pid: number;
  readonly isRunning: boolean;
  /** In an orderly way, then by force. Harmless when repeated. */
  stop(): Promise<void>;
}

/** Starts it and waits until it is ready; where that fails it is stopped, and the error (BACKUP_TOOL_FAILED) has the end of its log. */
export async function startScratchProcess(host: Host, server: ScratchServer): Promise<ScratchProcess> {
  if (host.processes.start === undefined)
    throw fail('HANDS_NO_PROGRAM', {
      message: `${server.name} can't be started on this machine`,
      hint: 'Restore on a machine with programs.',
    });
  const running = await host.processes.start({
    program: 'sh',
    args: ['-c', keeper, 'holdfast-keeper', server.program, ...server.args],
    timeoutMs: runMaxMs,
    signal: server.signal,
    withInput: true,
    ...(server.env === undefined ? {} : { env: server.env }),
    ...(server.cwd === undefined ? {} : { cwd: server.cwd }),
  });
  const scratch = new Scratch(host, running);
  try {
    await waitUntilReady(host, server, scratch);
    return scratch;
  } catch (error) {
    await scratch.stop();
    if (server.signal.aborted || !(error instanceof HoldfastError) || error.code !== 'BACKUP_TOOL_FAILED') throw error;
    throw fail('BACKUP_TOOL_FAILED', { message: `${error.message}: ${(await server.readLog()).trim().slice(-1_500)}`, cause: error });
  }
}

async function waitUntilReady(host: Host, server: ScratchServer, scratch: Scratch): Promise<void> {
  const { clock } = host;
  const untilMs = clock.monotonicMs() + server.readyTimeoutMs;
  for (;;) {
    server.signal.throwIfAborted();
    if (!scratch.isRunning) throw fail('BACKUP_TOOL_FAILED', { message: `${server.name} ended while it was starting` });
    if (await server.isReady()) return;
    if (clock.monotonicMs() > untilMs)
      throw fail('BACKUP_TOOL_FAILED', { message: `${server.name} was not ready after ${server.readyTimeoutMs} ms` });
    await clock.sleep(pollMs, server.signal);
  }
}

class Scratch implements ScratchProcess {
  readonly #host: Host;
  readonly #process: RunningProcess;
  readonly #ended: Promise<void>;
  #running = true;

  constructor(host: Host, process: RunningProcess) {
    this.#host = host;
    this.#process = process;
    const over = (): void => {
      this.#running = false;
    };
    this.#ended = process.ended.then(over, over);
    void drain(process.stdout);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#process.endInput();
    const cancel = this.#host.clock.after(stopGraceMs, () => this.#process.signal('SIGKILL'));
    await this.#ended;
    cancel();
  }
}

async function drain(stdout: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const piece of stdout) void piece;
  } catch {
    // The pipe broke because the server ended; its log has what it said.
  }
}
