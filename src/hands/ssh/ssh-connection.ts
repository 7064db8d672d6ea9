/**
 * One shared connection to one host, kept by an OpenSSH master process behind a socket.
 *
 * Invariant: a command is given only to a connection that answered within `freshMs`; one that was idle longer answers a probe first. So a master whose peer died is
 * found out before anything is sent: it is dropped, and the connection is made anew, once. A dropped master is asked to end, and its socket is never used again
 * (each connection has a socket of its own).
 *
 * The sockets lie in a directory that only this user can enter, under /tmp because a socket's path must stay below 104 bytes. When this process dies, the master
 * lives on for `persistSeconds` without a user, then ends; the empty directory stays.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { HandsOptions } from '../../contracts/hands.ts';
import type { Host, ProcessResult } from '../../host/host.ts';
import { makeControlDirectory } from './control-directory.ts';
import { connectError, connectTimeout } from './ssh-errors.ts';

export type SshOptions = Extract<HandsOptions, { kind: 'ssh' }>;

/** How long an answer vouches for the connection. */
const freshMs = 3_000;
const connectTimeoutMs = 10_000;
/** A probe over a standing connection takes a few milliseconds and one way there and back. */
const probeTimeoutMs = 3_000;
/** The host allows only so many sessions on one connection; ssh says so, and goes on over a connection of its own. */
const sessionRefused = /^mux_client_request_session: session request failed: [^\n]*\n/;
const persistSeconds = 60;
/** With the connection idle under a long command: how soon a dead peer ends it (interval x count). */
const aliveIntervalSeconds = 5;
const aliveCountMax = 3;
const dropTimeoutMs = 2_000;

export class SshConnection {
  readonly #options: SshOptions;
  readonly #host: Host;
  readonly #name: string;
  #directory: Promise<string> | undefined;
  #generation = 0;
  /** By the monotonic clock; undefined: no connection that could be reused. */
  #answeredMs: number | undefined;
  #connecting: Promise<void> | undefined;

  constructor(options: SshOptions, host: Host, name: string) {
    this.#options = options;
    this.#host = host;
    this.#name = name;
  }

  /** Makes sure that the connection answers. Throws HANDS_* when it can't be made; nothing was sent then. */
  async ready(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#host;
    if (this.#answeredMs !== undefined && clock.monotonicMs() - this.#answeredMs < freshMs) return;
    // Shared by all who wait, so no single one's signal may end it.
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    await withLimit(this.#connecting, this.#host, timeoutMs, signal, this.#name);
  }

  /** One command line over the connection. */
  async run(
    line: string,
    more: { stdin?: Uint8Array; input?: AsyncIterable<Uint8Array>; timeoutMs: number; signal?: AbortSignal; maxOutputBytes?: number },
  ): Promise<ProcessResult> {
    const result = await this.#ssh(['-o', 'ControlMaster=no'], line, more);
    if (result.exitCode !== 255) this.#answeredMs = this.#host.clock.monotonicMs();
    return { ...result, stderr: result.stderr.replace(sessionRefused, '') };
  }

  /** Something went wrong over it: the next command asks it for an answer first. Others that are under way are left alone. */
  doubt(): void {
    if (this.#answeredMs !== undefined) this.#answeredMs = Number.NEGATIVE_INFINITY;
  }

  async close(): Promise<void> {
    await this.#drop();
    if (this.#directory !== undefined) await this.#host.files.remove(await this.#directory);
    this.#directory = undefined;
  }

  async #connect(): Promise<void> {
    if (this.#answeredMs !== undefined) {
      if (await this.#attempt(probeTimeoutMs)) return;
      await this.#drop();
    }
    if (!(await this.#attempt(connectTimeoutMs + 1_000))) throw connectTimeout(this.#name, connectTimeoutMs);
  }

  /** Over the master that is there, or by making one. False: no answer in time. */
  async #attempt(timeoutMs: number): Promise<boolean> {
    try {
      const result = await this.#ssh(['-o', 'ControlMaster=auto', '-o', `ControlPersist=${persistSeconds}`], 'exit 0', { timeoutMs });
      if (result.exitCode !== 0) throw connectError(result.stderr, this.#name);
      this.#answeredMs = this.#host.clock.monotonicMs();
      return true;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'TIMED_OUT') return false;
      throw error;
    }
  }

  async #drop(): Promise<void> {
    if (this.#directory === undefined) return;
    const args = ['-O', 'exit', ...(await this.#arguments())];
    this.#generation += 1;
    this.#answeredMs = undefined;
    try {
      await this.#host.processes.run({ program: 'ssh', args, timeoutMs: dropTimeoutMs });
    } catch (error) {
      // A master that does not even answer on its own socket: nobody will speak to it again, and it ends by itself once its peer is found dead.
      if (!(error instanceof HoldfastError)) throw error;
    }
  }

  async #ssh(
    control: readonly string[],
    line: string,
    more: { stdin?: Uint8Array; input?: AsyncIterable<Uint8Array>; timeoutMs: number; signal?: AbortSignal; maxOutputBytes?: number },
  ): Promise<ProcessResult> {
    return this.#host.processes.run({ program: 'ssh', args: [...control, ...(await this.#arguments()), line], ...more });
  }

  async #arguments(): Promise<readonly string[]> {
    this.#directory ??= makeControlDirectory(this.#host);
    const { host, port, user, identityFile, knownHostsFile } = this.#options;
    // Whatever the user's own configuration says (a jump host, a proxy) holds; what this relies on is said here, and comes first.
    const settings = {
      BatchMode: 'yes',
      StrictHostKeyChecking: 'yes',
      IdentitiesOnly: 'yes',
      UpdateHostKeys: 'no',
      ConnectTimeout: connectTimeoutMs / 1_000,
      ConnectionAttempts: 1,
      ServerAliveInterval: aliveIntervalSeconds,
      ServerAliveCountMax: aliveCountMax,
      ControlPath: `${await this.#directory}/${this.#generation}`,
      ClearAllForwardings: 'yes',
      ForwardAgent: 'no',
      ForwardX11: 'no',
      PermitLocalCommand: 'no',
      RemoteCommand: 'none',
      RequestTTY: 'no',
      EscapeChar: 'none',
      LogLevel: 'ERROR',
      ...(knownHostsFile === undefined ? {} : { UserKnownHostsFile: knownHostsFile, GlobalKnownHostsFile: '/dev/null' }),
      ...(identityFile === undefined ? {} : { IdentityFile: identityFile }),
    };
    const words = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    return [...words, '-p', String(port), '-l', user, '--', host];
  }
}

/** The work goes on without the one who no longer waits. */
async function withLimit(work: Promise<void>, host: Host, timeoutMs: number, signal: AbortSignal | undefined, name: string): Promise<void> {
  const over = new AbortController();
  const tooLong = async (): Promise<never> => {
    await host.clock.sleep(timeoutMs, over.signal);
    throw fail('TIMED_OUT', { message: `${name}: no connection within ${timeoutMs} ms`, subject: name, details: { cause: 'timeout' } });
  };
  const aborted = (): void => over.abort(fail('INTERRUPTED', { message: `${name}: interrupted`, subject: name, cause: signal?.reason }));
  if (signal?.aborted) aborted();
  else signal?.addEventListener('abort', aborted, { once: true });
  try {
    await Promise.race([work, tooLong()]);
  } finally {
    signal?.removeEventListener('abort', aborted);
    over.abort();
  }
}
