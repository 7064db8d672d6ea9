/**
 * One machine of a simulated region: processes that find each other by sockets in the file system, files that outlive them, and clocks of its own. Killed processes close their connections;
 * those that stand still answer nothing until they go on.
 */
import { fail } from '../../src/base/errors.ts';
import type { Files, Listener, Processes, TcpConnection } from '../../src/host/host.ts';
import { fakeHost } from '../fakes/host.ts';
import type { SimulatedProcess } from './simulated-process.ts';

interface Listening {
  readonly process: SimulatedProcess;
  readonly onConnection: (connection: TcpConnection) => void;
}

class End implements TcpConnection {
  other: End | undefined;
  readonly #process: SimulatedProcess;
  readonly #data: ((data: Uint8Array) => void)[] = [];
  readonly #closed: (() => void)[] = [];
  #over = false;

  constructor(process: SimulatedProcess) {
    this.#process = process;
    process.onEnd(() => this.close());
  }

  write(data: Uint8Array | string): void {
    if (this.#over || this.#process.isDead) return;
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    this.other?.receive(bytes);
  }

  receive(data: Uint8Array): void {
    this.#process.later(() => {
      if (!this.#over) for (const listener of this.#data) listener(data);
    });
  }

  onData(listener: (data: Uint8Array) => void): void {
    this.#data.push(listener);
  }

  onClose(listener: () => void): void {
    this.#closed.push(listener);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#process.later(() => {
      for (const listener of this.#closed) listener();
    });
    this.other?.close();
  }
}

export class SimulatedMachine {
  readonly files: Files = fakeHost().files;
  readonly #listening = new Map<string, Listening>();
  readonly #processes = new Map<string, SimulatedProcess>();
  #pids = 100;
  /** Starts the program of a guard at that socket. */
  startGuard: (path: string) => void = () => {};

  add(process: SimulatedProcess): number {
    this.#pids += 1;
    this.#processes.set(String(this.#pids), process);
    return this.#pids;
  }

  get living(): readonly SimulatedProcess[] {
    return [...this.#processes.values()].filter((process) => !process.isDead);
  }

  killAll(): void {
    for (const process of this.living) process.kill();
  }

  processesOf(pid: number): Processes {
    return {
      self: String(pid),
      isGone: (self) => this.#processes.get(self)?.isDead ?? true,
      run: async ({ program, args = [] }) => {
        if (program === 'kill') this.#processes.get(String(args[1]))?.kill();
        // The guard's program, its socket and its log come last.
        else if (program === 'sh') this.startGuard(String(args.at(-2)));
        else throw new Error(`the simulated machine has no ${program}`);
        return { exitCode: 0, stdout: '', stderr: '', stdoutBytes: new Uint8Array() } as never;
      },
    };
  }

  async connect(process: SimulatedProcess, path: string): Promise<TcpConnection> {
    const listening = this.#listening.get(path);
    if (!listening || listening.process.isDead) throw fail('SYSTEM_UNREACHABLE', { message: `nobody listens at ${path}` });
    const [near, far] = [new End(process), new End(listening.process)];
    near.other = far;
    far.other = near;
    listening.process.later(() => listening.onConnection(far));
    return near;
  }

  async listen(process: SimulatedProcess, path: string, onConnection: Listening['onConnection']): Promise<Listener> {
    const before = this.#listening.get(path);
    if (before && !before.process.isDead) throw fail('SYSTEM_REFUSED', { message: `another process listens at ${path}` });
    const own: Listening = { process, onConnection };
    this.#listening.set(path, own);
    return {
      close: async () => {
        if (this.#listening.get(path) === own) this.#listening.delete(path);
      },
    };
  }
}
