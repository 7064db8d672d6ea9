/**
 * A simulated host that keeps detached programs as a real one does: one process per pid file at most, a bar that an older epoch can't pass, and pids that are given to
 * others. It reads the positional parameters of the script that `detached-program.ts` hands to `sh -c`; with what the script does is what the conformance suite compares it.
 */
import { fail } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsResult } from '../../contracts/hands.ts';
import { exitBarred, exitStopped, scriptName } from './detached-program.ts';

interface FakeProcess {
  readonly pid: number;
  readonly command: readonly string[];
}

export class FakeProcessHost implements Hands {
  readonly name = 'simulated host';
  reachable = true;
  /** How many programs were really started. */
  starts = 0;
  readonly #processes = new Map<string, FakeProcess>();
  readonly #bars = new Map<string, number>();
  #nextPid = 1_000;

  /** Pid files whose program runs now. */
  running(): readonly string[] {
    return [...this.#processes.keys()];
  }

  /** The program dies by itself. */
  kill(pidFile: string): void {
    this.#processes.delete(pidFile);
  }

  async run(command: HandsCommand): Promise<HandsResult> {
    await this.check(command.signal);
    const [, , name, mode, pidFile, epoch, ...rest] = command.args;
    if (command.program !== 'sh' || name !== scriptName || pidFile === undefined)
      throw fail('HANDS_NO_PROGRAM', { message: `${command.program} is not installed on ${this.name}` });
    if (mode === 'start') return this.#start(pidFile, Number(epoch), rest.slice(2));
    if (mode === 'stop') return this.#stop(pidFile, Number(epoch), rest[1] === 'bar');
    const running = this.#processes.get(pidFile);
    return running ? ended(0, `running as process ${running.pid}`) : ended(exitStopped, 'not running');
  }

  #start(pidFile: string, epoch: number, command: readonly string[]): HandsResult {
    const barredSince = this.#bars.get(pidFile) ?? 0;
    if (epoch < barredSince) return ended(exitBarred, '', `barred since epoch ${barredSince}`);
    const already = this.#processes.get(pidFile);
    if (already) return ended(0, `already running as process ${already.pid}`);
    this.starts += 1;
    this.#nextPid += 1;
    this.#processes.set(pidFile, { pid: this.#nextPid, command });
    return ended(0, `started as process ${this.#nextPid}`);
  }

  #stop(pidFile: string, epoch: number, bar: boolean): HandsResult {
    if (bar) this.#bars.set(pidFile, Math.max(epoch, this.#bars.get(pidFile) ?? 0));
    this.#processes.delete(pidFile);
    return ended(0, 'not running');
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.reachable) throw fail('HANDS_UNREACHABLE', { message: `${this.name} can not be reached` });
  }

  async close(): Promise<void> {
    // Holds nothing open.
  }
}

function ended(exitCode: number, stdout: string, stderr = ''): HandsResult {
  return { exitCode, stdout, stderr };
}
