/** The commands about backups: what they take, and how they are described. */
import { type Command, Option } from 'commander';
import { proofLevels } from '../contracts/backup.ts';
import * as backup from './commands/backup.ts';
import type { Bind } from './commands/context.ts';
import { copies, removeCopies } from './commands/copies.ts';
import { losses } from './commands/losses.ts';
import * as repository from './commands/repository.ts';
import * as repositoryKeys from './commands/repository-keys.ts';
import { restore } from './commands/restore.ts';
import { verify } from './commands/verify.ts';
import { walPush } from './commands/wal-push.ts';

export function addBackupCommands(program: Command, bind: Bind): void {
  addRepositoryCommands(program, bind);
  addBackupsCommands(program, bind);
  program
    .command('verify <component> [id]')
    .description('prove a backup: restore it beside and check what came back')
    .addOption(new Option('--level <level>', 'how deep (default: as the spec says, or P4)').choices(proofLevels))
    .option('--target <target>', 'newest, oldest, random, or an instant with its zone', 'newest')
    .option('--what <what>', 'which kind of backup')
    .option('--repository <name>', 'from which repository')
    .option('--sabotage [damage]', 'damage copies on purpose: their proofs must fail (some, all, or one damage)')
    .action(bind(verify));
  program
    .command('restore <component>')
    .description('bring a component back to an instant, into a directory of this machine or another; shown first')
    .option('--to <instant>', 'everything up to this instant, with its zone: 2026-11-20T10:00:00Z (default: as far as it goes)')
    .option('--lsn <position>', 'up to this position of the log')
    .option('--transaction <id>', 'up to this transaction')
    .option('--before <transaction>', 'up to just before this transaction: see holdfast losses')
    .option('--name <name>', 'up to this restore point')
    .option('--backup <id>', 'from this backup')
    .option('--repository <name>', 'from this repository')
    .requiredOption('--into <directory|scratch>', 'an empty or new directory; or scratch, for one that is made')
    .option('--on <region>', "on the machine of the component's site there, by its hands; recovered here first")
    .option('--dry-run', 'say what it would do, and stop')
    .option('--yes', 'do not ask')
    .action(bind(restore));
  const restored = program.command('copies').description('restored copies in scratch that nobody has removed yet').action(bind(copies));
  restored
    .command('remove [copy]')
    .description('remove a restored copy from scratch, or all that are old enough; never one in which a program works')
    .option('--older-than <duration>', 'every copy of this age: 2d')
    .action(bind(removeCopies));
  for (const each of restored.commands) each.exitOverride().copyInheritedSettings(program);
  program
    .command('losses <component>')
    .description('what was taken away (dropped tables, deleted rows), by the archived log, and how to get back to just before it')
    .option('--since <duration|instant>', 'how far back: 6h, or an instant with its zone', '1d')
    .option('--rows <number>', 'leave out what deleted fewer rows and dropped nothing', '100')
    .option('--repository <name>', 'from which repository')
    .action(bind(losses));
  program
    .command('wal-push <path>')
    .description('archive one finished log file; for archive_command')
    .requiredOption('--component <name>', 'whose log it is')
    .option('--repository <name>', 'into which repository (default: as the spec says)')
    .action(bind(walPush));
}

function addRepositoryCommands(program: Command, bind: Bind): void {
  const commands = program.command('repository').description('the places where backups are kept');
  commands
    .command('create [name]')
    .description('make a repository; shows its recovery key once, and asks for it back')
    .option('--recovery-key-file <path>', 'write the recovery key there instead of showing it (for scripts)')
    .action(bind(repository.createRepository));
  commands
    .command('show [name]')
    .description('where it is, its key slots, what its store can do')
    .action(bind((context, name: string | undefined) => repository.showRepository(context, name)));
  commands
    .command('check [name]')
    .description('try the store and the key (exit code 3: something is in the way)')
    .action(bind((context, name: string | undefined) => repository.checkRepository(context, name)));
  commands
    .command('add-key [name]')
    .description('let one more key open the repository: a recovery key (shown once), or a passphrase; no backup is touched')
    .option('--recovery-key-file <path>', 'write the recovery key there instead of showing it (for scripts)')
    .option('--passphrase-file <path>', 'a passphrase, in a file, instead of a recovery key')
    .option(
      '--key-service',
      'the key management service that the spec names; asks for a key that opens the repository now, or takes HOLDFAST_KEY',
    )
    .action(bind(repositoryKeys.addKey));
  commands
    .command('revoke-key <slot> [name]')
    .description('a key opens the repository no more; the last recovery key stays')
    .action(bind((context, slot: string, name: string | undefined) => repositoryKeys.revokeKey(context, slot, name)));
  for (const each of commands.commands) each.exitOverride().copyInheritedSettings(program);
}

function addBackupsCommands(program: Command, bind: Bind): void {
  program
    .command('backup <component>')
    .description('take a backup now')
    .option('--what <what>', 'which kind (default: the one that has a schedule)')
    .option('--repository <name>', 'into which repository')
    .option('--reason <text>', 'why, for the record')
    .action(bind(backup.backup));
  const commands = program
    .command('backups [component]')
    .description('the backups there are: what they lead back to, how far they are proven, what keeps them')
    .action(bind((context, component: string | undefined) => backup.backups(context, component)));
  commands
    .command('show <id>')
    .description('everything that is known of one backup, with each check of each proof')
    .action(bind((context, id: string) => backup.showBackup(context, id)));
  commands
    .command('prune')
    .description('what nothing keeps any more, and why; removes it only with --yes')
    .option('--repository <name>', 'only of this repository')
    .option('--yes', 'remove it')
    .action(bind(backup.pruneBackups));
  for (const each of commands.commands) each.exitOverride().copyInheritedSettings(program);
}
