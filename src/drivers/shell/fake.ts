/**
 * Hands whose host knows a few simulated commands: each program name has a function in place of the real thing. For the simulator, and for whoever writes a spec with
 * commands and has no host to try them on.
 */
import { fail } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsResult } from '../../contracts/hands.ts';

export type FakeCommand = (command: HandsCommand) => HandsResult | Promise<HandsResult>;

export class FakeCommandHost implements Hands {
  readonly name = 'simulated host';
  readonly commands = new Map<string, FakeCommand>();
  /** While false, nothing can be run: the host is cut off. */
  reachable = true;
  /** Every command line that was run, in order. */
  readonly ran: HandsCommand[] = [];

  async run(command: HandsCommand): Promise<HandsResult> {
    await this.check(command.signal);
    this.ran.push(command);
    const known = this.commands.get(command.program);
    if (!known) throw fail('HANDS_NO_PROGRAM', { message: `${command.program} is not installed on ${this.name}` });
    return known(command);
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.reachable) throw fail('HANDS_UNREACHABLE', { message: `${this.name} can not be reached` });
  }

  async close(): Promise<void> {
    // Holds nothing open.
  }
}
