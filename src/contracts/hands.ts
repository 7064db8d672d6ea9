/**
 * How commands run where a site lives. A driver asks its site's hands to run a program; it never knows whether they are local or ssh.
 * A program and its arguments are never joined into a shell line by the caller; secrets travel in the environment, never in arguments.
 */
import type { Secret } from '../base/secret.ts';

/** Which hands a site has. `as` names the user to become there, when the login (for local: this process) is root. */
export type HandsOptions =
  | { readonly kind: 'local'; readonly as?: string }
  | {
      readonly kind: 'ssh';
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly identityFile?: string;
      readonly knownHostsFile?: string;
      readonly as?: string;
    };

export interface HandsCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | Secret>>;
  readonly stdin?: string | Uint8Array;
  /** Instead of `stdin`, for what is too large to be held: read no faster than the program takes it, on whichever machine that is. A stream that fails ends the program, and its error is thrown. */
  readonly input?: AsyncIterable<Uint8Array>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The program starts a server that must live on after the command has ended. */
  readonly leaveChildren?: boolean;
  readonly maxOutputBytes?: number;
}

export interface HandsResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Hands {
  /** For people: `local`, `ssh root@10.0.1.5`. */
  readonly name: string;
  /**
   * Runs to the end; a non-zero exit is a result. Errors: HANDS_UNREACHABLE, HANDS_HOST_KEY, HANDS_KEY_REJECTED, HANDS_NO_PROGRAM, HANDS_WRONG_USER, TIMED_OUT,
   * INTERRUPTED; SYSTEM_OUTCOME_UNKNOWN when the connection ended under a command that had been sent.
   */
  run(command: HandsCommand): Promise<HandsResult>;
  /** Proves that a command can be run there now. Throws as `run` does. */
  check(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
