/**
 * Hands on another host, by the system's OpenSSH client.
 *
 * Invariant: no password prompt, no unknown host key, no secret in a command line at either end, no command sent twice: one whose connection ended after it was
 * sent is SYSTEM_OUTCOME_UNKNOWN, for whoever asked to inspect.
 *
 * On time-out and abort the remote process group is killed by a second command; should that not get through, the watchdog there kills it when the time is over.
 * When this process dies, remote commands run on until then at most.
 */
import { asHoldfastError, fail, HoldfastError } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsResult } from '../../contracts/hands.ts';
import type { Host } from '../../host/host.ts';
import { readRemoteResult, remoteCommandLine, remoteInput, remoteInputStream, remoteKillLine } from './remote-command.ts';
import { SshConnection, type SshOptions } from './ssh-connection.ts';
import { commandError } from './ssh-errors.ts';

const killTimeoutMs = 3_000;
const checkTimeoutMs = 10_000;
/** Room for what ssh and the remote script say besides the program. */
const ownOutputBytes = 4_096;
const outputMaxBytesDefault = 1_048_576;

export function sshHands(options: SshOptions, host: Host): Hands {
  return new SshHands(options, host);
}

class SshHands implements Hands {
  readonly name: string;
  readonly #as: string | undefined;
  readonly #host: Host;
  readonly #connection: SshConnection;
  /** Kills under way: nobody waits for them but `close`. */
  readonly #kills = new Set<Promise<void>>();
  #closed = false;

  constructor(options: SshOptions, host: Host) {
    this.name = `ssh ${options.user}@${options.host}${options.as === undefined ? '' : ` as ${options.as}`}`;
    this.#as = options.as;
    this.#host = host;
    this.#connection = new SshConnection(options, host, this.name);
  }

  async run(command: HandsCommand): Promise<HandsResult> {
    if (this.#closed) throw fail('INTERRUPTED', { message: 'the hands are closed', subject: this.name });
    if (command.signal?.aborted)
      throw fail('INTERRUPTED', { message: `${this.name}: interrupted`, subject: this.name, cause: command.signal.reason });
    const startedMs = this.#host.clock.monotonicMs();
    await this.#connection.ready(command.timeoutMs, command.signal);
    const leftMs = Math.max(1, command.timeoutMs - (this.#host.clock.monotonicMs() - startedMs));
    const nonce = Buffer.from(this.#host.random.bytes(12)).toString('hex');
    const result = await this.#send({ ...command, timeoutMs: leftMs }, nonce);
    const read = readRemoteResult(result, command, nonce, { hands: this.name, as: this.#as });
    if (read instanceof HoldfastError) throw read;
    if (read !== undefined) return withinLimit(read, command);
    this.#connection.doubt();
    throw commandError(result.stderr, this.name);
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.run({ program: 'true', args: [], timeoutMs: checkTimeoutMs, signal });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#kills);
    await this.#connection.close();
  }

  async #send(command: HandsCommand, nonce: string): Promise<HandsResult> {
    try {
      return await this.#connection.run(remoteCommandLine(command, nonce, this.#as), {
        ...(command.input === undefined ? { stdin: remoteInput(command) } : { input: remoteInputStream(command, command.input) }),
        timeoutMs: command.timeoutMs,
        maxOutputBytes: (command.maxOutputBytes ?? outputMaxBytesDefault) + ownOutputBytes,
        ...(command.signal === undefined ? {} : { signal: command.signal }),
      });
    } catch (error) {
      const mapped = asHoldfastError(error, this.name);
      if (mapped.code !== 'TIMED_OUT' && mapped.code !== 'INTERRUPTED') {
        // A stream that failed: what has come of it must not be worked on over there.
        if (command.input !== undefined) this.#killLater(nonce);
        throw mapped;
      }
      this.#killLater(nonce);
      throw fail(mapped.code, {
        message: `${this.name}: ${command.program} ${mapped.code === 'TIMED_OUT' ? 'did not end in time' : 'was interrupted'}`,
        subject: this.name,
        cause: mapped,
      });
    }
  }

  /** The answer to the one who asked does not wait for this. */
  #killLater(nonce: string): void {
    const kill = this.#kill(nonce).finally(() => this.#kills.delete(kill));
    this.#kills.add(kill);
  }

  async #kill(nonce: string): Promise<void> {
    try {
      const { exitCode } = await this.#connection.run(remoteKillLine(nonce), { timeoutMs: killTimeoutMs });
      if (exitCode !== 0) this.#connection.doubt();
    } catch (error) {
      // It did not get through: the watchdog over there does it.
      if (!(error instanceof HoldfastError)) throw error;
      this.#connection.doubt();
    }
  }
}

function withinLimit(result: HandsResult, command: HandsCommand): HandsResult {
  const limitBytes = command.maxOutputBytes ?? outputMaxBytesDefault;
  const cut = (text: string): string => (text.length * 3 <= limitBytes ? text : Buffer.from(text).subarray(0, limitBytes).toString('utf8'));
  return { ...result, stdout: cut(result.stdout), stderr: cut(result.stderr) };
}
