/**
 * PostgreSQL's own programs on this machine, in the version that a backup needs, run as a user that they accept (they refuse root).
 *
 * Every program dies with this process (`setpriv --pdeathsig`): a server of a restored copy must not live on where nobody knows of it.
 */
import { dirname } from 'node:path';
import { fail } from '../../../base/errors.ts';
import type { Host, ProcessResult } from '../../../host/host.ts';

export interface Programs {
  readonly major: number;
  readonly directory: string;
  /** The user that owns the data; undefined: the one that we are. */
  readonly owner: string | undefined;
  /** Put before each command. */
  readonly prefix: readonly string[];
}

/** Debian and its kin, Red Hat and its kin, what is built from source, Homebrew. */
const places = [
  (major: number) => `/usr/lib/postgresql/${major}/bin`,
  (major: number) => `/usr/pgsql-${major}/bin`,
  (major: number) => `/usr/local/pgsql-${major}/bin`,
  () => '/usr/local/pgsql/bin',
  () => '/usr/local/bin',
  () => '/usr/bin',
];
const askTimeoutMs = 20_000;
const ownersWanted = ['postgres', 'nobody'];

export async function findProgramDirectory(
  host: Host,
  major: number,
  wanted: string | undefined,
  program: string,
): Promise<string | undefined> {
  for (const directory of wanted === undefined ? places.map((place) => place(major)) : [wanted]) {
    if (!(await host.files.exists(`${directory}/${program}`))) continue;
    const { stdout } = await host.processes.run({ program: `${directory}/${program}`, args: ['--version'], timeoutMs: askTimeoutMs });
    if (Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]) === major) return directory;
  }
  return undefined;
}

export async function openPrograms(host: Host, major: number, wanted: string | undefined): Promise<Programs> {
  const directory = await findProgramDirectory(host, major, wanted, 'postgres');
  if (directory === undefined) throw missingPrograms(major, wanted);
  const { owner, become } = await findOwner(host);
  return { major, directory, owner, prefix: ['setpriv', '--pdeathsig', 'QUIT', ...become, '--'] };
}

export function missingPrograms(major: number, wanted: string | undefined): Error {
  return fail('HANDS_NO_PROGRAM', {
    message: `PostgreSQL ${major} is not installed on this machine${wanted === undefined ? '' : ` (in ${wanted})`}`,
    hint: `A backup of PostgreSQL ${major} is restored by the programs of the same major version: install its server, or name their directory as restore-bin-directory.`,
    subject: 'postgres',
  });
}

async function findOwner(host: Host): Promise<{ readonly owner: string | undefined; readonly become: readonly string[] }> {
  const uid = (await host.processes.run({ program: 'id', args: ['-u'], timeoutMs: askTimeoutMs })).stdout.trim();
  if (uid !== '0') return { owner: undefined, become: [] };
  for (const name of ownersWanted) {
    const { exitCode, stdout } = await host.processes.run({ program: 'id', args: ['-g', name], timeoutMs: askTimeoutMs });
    if (exitCode === 0) return { owner: name, become: [`--reuid=${name}`, `--regid=${stdout.trim()}`, '--init-groups'] };
  }
  throw fail('HANDS_WRONG_USER', {
    message: 'PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody',
    hint: 'Restore as another user than root, or add the user postgres.',
  });
}

export async function runProgram(
  host: Host,
  programs: Programs,
  program: string,
  args: readonly string[],
  limit: { readonly timeoutMs: number; readonly signal: AbortSignal; readonly maxOutputBytes?: number; readonly stdin?: string },
): Promise<ProcessResult> {
  const path = `${programs.directory}/${program}`;
  return host.processes.run({ program: 'setpriv', args: [...programs.prefix.slice(1), path, ...args], cwd: '/', ...limit });
}

/** The directories above a path let the owner of the programs through; else what lies there could never be started. */
export async function assertReachable(host: Host, programs: Programs, path: string): Promise<void> {
  if (programs.owner === undefined) return;
  const { exitCode } = await host.processes.run({
    program: 'setpriv',
    args: [...programs.prefix.slice(1), 'test', '-x', dirname(path)],
    cwd: '/',
    timeoutMs: askTimeoutMs,
  });
  if (exitCode === 0) return;
  throw fail('HANDS_WRONG_USER', {
    message: `the user ${programs.owner}, who runs PostgreSQL here, can not enter ${dirname(path)}`,
    hint: `Choose a directory that ${programs.owner} can reach, or open those above it (chmod o+x).`,
    subject: path,
  });
}

/** Gives a file or directory, with all that is in it, to the owner of the programs. */
export async function giveToOwner(host: Host, { owner }: Programs, path: string): Promise<void> {
  if (owner === undefined) return;
  const { exitCode, stderr } = await host.processes.run({ program: 'chown', args: ['-RP', `${owner}:`, path], timeoutMs: 600_000 });
  if (exitCode !== 0) throw fail('BACKUP_TOOL_FAILED', { message: `chown: ${stderr.trim()}` });
}
