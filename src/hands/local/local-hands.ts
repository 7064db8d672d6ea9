/**
 * Hands beside the site: programs run on this machine.
 *
 * Invariant: a command runs as the user that the spec names, or not at all; secrets travel in the environment only. As Host.processes, a command's process group
 * ends with it, on time-out and on abort (save with `leaveChildren`); a program that starts a session of its own is out of reach. When this process dies, commands
 * under way live on.
 */
import { fail } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsOptions, HandsResult } from '../../contracts/hands.ts';
import type { Host } from '../../host/host.ts';

type LocalOptions = Extract<HandsOptions, { kind: 'local' }>;

interface Account {
  readonly name: string;
  readonly home: string;
  /** Words before the program that make it that user's. */
  readonly prefix: readonly string[];
}

const lookupTimeoutMs = 5_000;
const checkTimeoutMs = 10_000;
/** setpriv's own words when it has become the user and then finds no program: https://man7.org/linux/man-pages/man1/setpriv.1.html */
const notExecuted = /^setpriv: failed to execute /;

export function localHands(options: LocalOptions, host: Host): Hands {
  const name = options.as === undefined ? 'local' : `local as ${options.as}`;
  let account: Promise<Account> | undefined;
  let closed = false;

  const run = async (command: HandsCommand): Promise<HandsResult> => {
    if (closed) throw fail('INTERRUPTED', { message: 'the hands are closed', subject: name });
    if (options.as === undefined) return host.processes.run(command);
    account ??= readAccount(options.as, host);
    const become = await account.catch((error: unknown) => {
      account = undefined; // the next command looks again
      throw error;
    });
    return runAs(become, command, host);
  };
  return {
    name,
    run,
    check: async (signal) => void (await run({ program: 'true', args: [], timeoutMs: checkTimeoutMs, signal })),
    close: async () => {
      closed = true;
    },
  };
}

async function runAs(account: Account, command: HandsCommand, host: Host): Promise<HandsResult> {
  const [first, ...words] = [...account.prefix, command.program, ...command.args];
  const result = await host.processes.run({
    ...command,
    program: first as string,
    args: words,
    // Where this process stands may be closed to that user.
    cwd: '/',
    env: { HOME: account.home, USER: account.name, LOGNAME: account.name, ...command.env },
  });
  if (account.prefix.length > 0 && (result.exitCode === 127 || result.exitCode === 126) && notExecuted.test(result.stderr)) {
    throw fail('HANDS_NO_PROGRAM', {
      message: `${command.program} can not be started as ${account.name}: ${result.stderr.trim()}`,
      subject: command.program,
    });
  }
  return result;
}

async function readAccount(user: string, host: Host): Promise<Account> {
  const ask = async (program: string, ...args: string[]): Promise<string | undefined> => {
    const { exitCode, stdout } = await host.processes.run({ program, args, timeoutMs: lookupTimeoutMs });
    return exitCode === 0 ? stdout.trim() : undefined;
  };
  const [entry, ownId] = await Promise.all([ask('getent', 'passwd', user), ask('id', '-u')]);
  const [name, , userId, groupId, , home] = entry?.split(':') ?? [];
  if (name === undefined || userId === undefined || groupId === undefined) {
    throw fail('HANDS_WRONG_USER', { message: `this machine has no user "${user}"`, subject: user });
  }
  const account = { name, home: home === undefined || home === '' ? '/' : home };
  if (userId === ownId) return { ...account, prefix: [] };
  if (ownId !== '0')
    throw fail('HANDS_WRONG_USER', { message: `only root can become "${user}"; this process runs as user ${ownId}`, subject: user });
  return { ...account, prefix: ['setpriv', `--reuid=${userId}`, `--regid=${groupId}`, '--init-groups', '--'] };
}
