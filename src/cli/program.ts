/** The command line: which commands there are, what they take, and how their ends become exit codes. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { parseDurationMs } from '../base/durations.ts';
import { asHoldfastError, fail, HoldfastError } from '../base/errors.ts';
import { type ListenAddress, parseListenAddress } from '../base/listen-address.ts';
import type { PlanRequest } from '../control/make-plan.ts';
import { faultsOf } from '../spec/load-spec.ts';
import { addBackupCommands } from './backup-commands.ts';
import { type BreakGlassOptions, breakGlass } from './commands/break-glass.ts';
import { ask, type ChangeOptions, change, goOn } from './commands/change.ts';
import { type Bind, CommandContext, type ExitCode } from './commands/context.ts';
import { init } from './commands/init.ts';
import * as look from './commands/look.ts';
import { resumeRegion } from './commands/resume-region.ts';
import { type ServeOptions, serve } from './commands/serve.ts';
import type { GlobalOptions } from './session.ts';
import { addStateCommands } from './state-commands.ts';
import { paletteOf } from './terminal.ts';
import type { Wiring } from './wiring.ts';

const regionHelp = 'the region that this machine stands in, where there are several controllers (default: $HOLDFAST_REGION)';

const repeat = (value: string, before: readonly string[] | undefined) => [...(before ?? []), value];

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('give a whole number above 0');
  return number;
}

function listenAddressOf(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (!address) throw new InvalidArgumentError('give a port, or HOST:PORT');
  return address;
}

function lossOf(text: string): number | 'any' {
  if (text === 'any') return 'any';
  try {
    return parseDurationMs(text);
  } catch {
    throw new InvalidArgumentError('give a duration such as 30s or 5m, or the word any');
  }
}

/** Runs one command line. Resolves to the exit code; prints errors itself. */
export async function runCommandLine(argv: readonly string[], wiring: Wiring): Promise<ExitCode> {
  let context = new CommandContext(wiring, { json: argv.includes('--json') });
  const program = new Command('holdfast')
    .description('Disaster recovery for platforms: watches, fails over and back, and measures what it cost.')
    .version(wiring.version)
    .option('--spec <file>', 'spec file; repeat for several (default: $HOLDFAST_SPEC or holdfast.yaml)', repeat)
    .option('--state <directory>', 'where the state is kept (default: $HOLDFAST_STATE or .holdfast)')
    .option('--json', 'answer with one JSON object as the last line')
    .option('--by <name>', 'who you are, for the record (default: the login name)')
    .addOption(
      new Option('--log-level <level>', 'how much to log on standard error').choices(['debug', 'info', 'warn', 'error']).default('warn'),
    )
    .showHelpAfterError('(holdfast --help lists the commands)')
    .configureOutput({ writeOut: (text) => wiring.terminal.out(text.trimEnd()), writeErr: (text) => wiring.terminal.err(text.trimEnd()) })
    .exitOverride();
  const bind =
    <A extends unknown[]>(act: (context: CommandContext, ...args: A) => Promise<void> | void) =>
    async (...all: unknown[]) => {
      const command = all.at(-1) as Command;
      context = new CommandContext(wiring, command.optsWithGlobals<GlobalOptions>());
      await act(context, ...(all.slice(0, -1) as A));
    };
  addLookCommands(program, bind);
  addPlanCommands(program, bind);
  addChangeCommands(program, bind);
  addExecutionCommands(program, bind);
  addBackupCommands(program, bind);
  addStateCommands(program, bind);
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return context.exitCode;
  } catch (thrown) {
    return explainFailure(thrown, context);
  }
}

function addLookCommands(program: Command, bind: Bind): void {
  program
    .command('init')
    .description('write a first spec, by asking or from flags')
    .option('--output <file>', 'where to write it', 'holdfast.yaml')
    .option('--name <name>', 'name of the platform')
    .option('--active <region>', 'region that serves now')
    .option('--standby <region>', 'region that takes over')
    .option('--witness <region>', 'region that only watches')
    .option('--rto <duration>', 'for how long the platform may be gone')
    .option('--rpo <duration>', 'how much of the newest data may be lost')
    .option('--automatic', 'a failover may start without a person')
    .option('--component <name=driver>', 'a component; repeat for several', repeat)
    .option('--set <component.region.key=value>', 'an option of a component or of its site; repeat', repeat)
    .action(bind(init));
  program
    .command('validate')
    .description('check the spec and name every fault with its line')
    .option('--no-secrets', 'do not look whether the secrets are set')
    .action(bind(look.validate));
  program
    .command('schema')
    .description('print the JSON Schema of the spec, for editors')
    .action(bind((context) => look.schema(context)));
  program
    .command('check')
    .description('would we survive losing a region now? (exit code 3: no)')
    .option('--region <region>', regionHelp)
    .action(bind(look.check));
  program
    .command('status')
    .description('how everything is (exit code 3: at risk)')
    .option('--watch', 'keep showing')
    .option('--region <region>', regionHelp)
    .action(bind(look.status));
  program
    .command('why')
    .description('what was decided, what was not, and what would change it')
    .option('--limit <count>', 'how many earlier decisions', wholeNumber, 10)
    .option('--region <region>', regionHelp)
    .action(bind(look.why));
  program
    .command('serve')
    .description('watch, decide and act until ended')
    .option('--region <region>', regionHelp)
    .option('--metrics <[host:]port>', 'answer /metrics, /healthz and /readyz there (host: 127.0.0.1 unless given)', listenAddressOf)
    .action(bind((context, options: ServeOptions) => serve(context, options)));
}

function addPlanCommands(program: Command, bind: Bind): void {
  const plan = program.command('plan').description('print a plan without running it');
  plan
    .command('failover')
    .option('--from <region>', 'the region that is lost (default: the active one)')
    .option('--to <region>')
    .option('--accept-loss <duration|any>', 'accept this much loss', lossOf)
    .action(
      bind((context, options: { from?: string; to?: string; acceptLoss?: number | 'any' }) =>
        look.plan(context, { kind: 'failover', ...options, because: 'asked for by holdfast plan' }),
      ),
    );
  plan
    .command('switchover')
    .option('--to <region>')
    .action(
      bind((context, options: { to?: string }) =>
        look.plan(context, { kind: 'switchover', ...options, because: 'asked for by holdfast plan' }),
      ),
    );
  plan.command('failback').action(bind((context) => look.plan(context, { kind: 'failback', because: 'asked for by holdfast plan' })));
  plan
    .command('reprotect')
    .option('--region <region>')
    .action(
      bind((context, options: { region?: string }) =>
        look.plan(context, { kind: 'reprotect', ...options, because: 'asked for by holdfast plan' }),
      ),
    );
  for (const each of plan.commands)
    each.exitOverride().copyInheritedSettings(program).description(`the plan that holdfast ${each.name()} would run`);
}

interface Confirmable {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly reason?: string;
}

function changeOptions(command: Command): Command {
  return command
    .option('--yes', 'do not ask')
    .option('--dry-run', 'print the plan and stop')
    .option('--reason <text>', 'why, for the record');
}

interface ChangeFlags extends Confirmable {
  readonly from?: string;
  readonly to?: string;
  readonly region?: string;
  readonly acceptLoss?: number | 'any';
  readonly approver?: readonly string[];
  readonly fencedBy?: string;
}

function runChange(kind: PlanRequest['kind'], context: CommandContext, options: ChangeFlags): Promise<void> {
  const because = options.reason ?? `asked for by ${context.options.by ?? context.wiring.person}`;
  const { from, to, region, acceptLoss } = options;
  return change(context, { kind, from, to, region, acceptLoss, because } as PlanRequest, options satisfies ChangeOptions);
}

function addChangeCommands(program: Command, bind: Bind): void {
  const run = (kind: PlanRequest['kind']) => bind((context, options: ChangeFlags) => runChange(kind, context, options));
  changeOptions(program.command('failover').description('move away from a region that is lost; may lose what had not been replicated'))
    .option('--from <region>', 'the region that is lost (default: the active one)')
    .option('--to <region>', 'where to go (default: the standby region)')
    .option('--accept-loss <duration|any>', 'accept this much loss beyond the budget; needs approvers', lossOf)
    .option('--approver <name>', 'who approves; repeat for several', repeat)
    .option('--fenced-by <name>', 'who vouches that the former primary can no longer acknowledge writes, where nothing else proves it')
    .option('--break-glass', 'the shared state is gone for good: go on from the spec, a local journal and the word of a person')
    .option('--epoch <number>', 'with --break-glass: the newest epoch that anybody knows of', wholeNumber)
    .action(
      bind((context, options: BreakGlassOptions & { breakGlass?: boolean }) =>
        options.breakGlass ? breakGlass(context, options) : runChange('failover', context, options),
      ),
    );
  changeOptions(program.command('switchover').description('move to the other region, losing nothing'))
    .option('--to <region>')
    .action(run('switchover'));
  changeOptions(program.command('failback').description('move back to the region that the spec calls active, losing nothing')).action(
    run('failback'),
  );
  changeOptions(
    program.command('reprotect').description('make a region that was lost the standby of the active one; keeps aside what it alone has'),
  )
    .option('--region <region>')
    .action(run('reprotect'));
}

function addExecutionCommands(program: Command, bind: Bind): void {
  program
    .command('executions [id]')
    .description('the executions, newest first; or one of them, step by step')
    .option('--limit <count>', 'how many', wholeNumber, 20)
    .action(bind((context, id: string | undefined, options: { limit: number }) => look.executions(context, id, options)));
  program
    .command('resume [id]')
    .description('go on with an execution that was paused or whose process died; or let a region that fenced itself serve again')
    .option('--fenced-by <name>', 'who vouches for the fence')
    .option('--region <region>', 'the active region, which fenced itself: its data stores are started again, under its lease')
    .action(
      bind((context, id: string | undefined, options: ChangeOptions & { region?: string }) =>
        options.region === undefined ? goOn(context, id, options) : resumeRegion(context, options.region),
      ),
    );
  program
    .command('pause [id]')
    .description('start no further step')
    .option('--reason <text>')
    .action(bind((context, id: string | undefined, options: { reason?: string }) => ask(context, id, { kind: 'pause', ...options })));
  program
    .command('abort [id]')
    .description('end an execution where it is')
    .option('--reason <text>')
    .action(bind((context, id: string | undefined, options: { reason?: string }) => ask(context, id, { kind: 'abort', ...options })));
  program
    .command('rollback [id]')
    .description('undo the steps of an execution that can be undone, in reverse order')
    .option('--reason <text>')
    .action(bind((context, id: string | undefined, options: { reason?: string }) => ask(context, id, { kind: 'roll-back', ...options })));
  program
    .command('retry [id]')
    .description('try the failed steps again')
    .option('--step <step>', 'only this one')
    .action(
      bind((context, id: string | undefined, options: { step?: string }) =>
        ask(context, id, { kind: 'retry', ...(options.step === undefined ? {} : { stepId: options.step }) }),
      ),
    );
  program
    .command('skip [id]')
    .description('leave a failed step out')
    .requiredOption('--step <step>')
    .requiredOption('--reason <text>')
    .action(
      bind((context, id: string | undefined, options: { step: string; reason: string }) =>
        ask(context, id, { kind: 'skip', stepId: options.step, reason: options.reason }),
      ),
    );
  program
    .command('approve [id]')
    .description('approve what waits for approval')
    .option('--comment <text>')
    .action(bind((context, id: string | undefined, options: { comment?: string }) => ask(context, id, { kind: 'approve', ...options })));
  program
    .command('fenced [id]')
    .description('vouch that a former primary can no longer acknowledge writes')
    .requiredOption('--component <name>')
    .requiredOption('--region <region>')
    .option('--comment <text>')
    .action(
      bind((context, id: string | undefined, options: { component: string; region: string; comment?: string }) =>
        ask(context, id, { kind: 'fence-word', ...options }),
      ),
    );
}

function explainFailure(thrown: unknown, context: CommandContext): ExitCode {
  const { terminal } = context.wiring;
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return 0;
    // The text of the fault has been printed already; who reads JSON gets it as the last line too.
    if (context.options.json) terminal.out(JSON.stringify({ error: fail('USAGE', { message: thrown.message.replace(/^error: /, '') }) }));
    return 2;
  }
  const error = asHoldfastError(thrown);
  if (context.options.json) terminal.out(JSON.stringify({ error }));
  else if (faultsOf(error).length === 0) {
    const palette = paletteOf(terminal);
    terminal.err(`${palette.bad('error')} ${error.code}${error.subject ? ` (${error.subject})` : ''}: ${error.message}`);
    terminal.err(`  ${error.hint}`);
  }
  if (!(thrown instanceof HoldfastError) && thrown instanceof Error && thrown.stack) terminal.err(thrown.stack);
  return error.kind === 'invalid' ? 2 : error.code === 'TARGET_NOT_READY' ? 3 : 1;
}
