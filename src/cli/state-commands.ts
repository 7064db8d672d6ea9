/** The commands about the state itself: what they take, and how they are described. */
import { type Command, Option } from 'commander';
import { reconcileState } from './commands/break-glass.ts';
import type { Bind } from './commands/context.ts';
import * as state from './commands/state.ts';

export function addStateCommands(program: Command, bind: Bind): void {
  const commands = program
    .command('state')
    .description('the state of the control plane: where it lives, moving it, accepting one that went back');
  commands
    .command('show')
    .description('which store it is in, its revision and size, the members and their health, the leases and who holds them')
    .action(bind(state.show));
  commands
    .command('copy')
    .description('move the embedded state to where the state section of the spec says; nothing may run meanwhile')
    .addOption(new Option('--to <store>', 'where to').choices(['etcd']))
    .option('--abandon', 'take back a copy that was begun and has not ended')
    .option('--yes', 'do not ask')
    .action(bind(state.copy));
  commands
    .command('accept')
    .description('go on with a shared state that went back (restored from an older snapshot), or that is in another cluster')
    .requiredOption('--reason <text>', 'what happened, for the record')
    .option('--yes', 'do not ask')
    .action(bind(state.accept));
  commands
    .command('reconcile')
    .description('bring a failover that was done by --break-glass into the shared state; run it where that was run')
    .option('--yes', 'do not ask')
    .action(bind(reconcileState));
}
