/**
 * Data directories made ready once and copied, because initdb takes about a second and tests want many clusters.
 *
 * The template lies in `.cache/systems/pg-template-...`. Invariant: a template is complete or absent. It is built under a
 * name of its own and renamed into place, so processes that build at the same time, or die meanwhile, do no harm.
 * All copies share the system identifier and the passwords of the template; a cluster with `freshIdentity` shares neither.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemsCacheDirectory } from './programs.ts';
import { runProgram } from './run-program.ts';
import { removeDirectory, temporaryDirectory } from './temporary-directory.ts';

/** The roles of every test cluster: a superuser, one that may only replicate, and the owner of database `app`. */
export type PostgresRole = 'holdfast' | 'replicator' | 'app';
export type PostgresPasswords = Readonly<Record<PostgresRole, string>>;

/** The system user that owns a cluster's files and runs its programs. */
export interface ClusterOwner {
  /** Undefined: the current user. */
  readonly user: string | undefined;
  /** Put before a command so that it runs as the owner. */
  readonly commandPrefix: readonly string[];
}

export interface PreparedData {
  readonly passwords: PostgresPasswords;
}

interface Programs {
  readonly directory: string;
  readonly version: number;
}

const passwordsFileName = 'passwords.json';

/** PostgreSQL refuses to run as root; then the first of these users that exists runs it. */
export async function findClusterOwner(): Promise<ClusterOwner> {
  if (process.getuid?.() !== 0) return { user: undefined, commandPrefix: [] };
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const entry = users.find(([name]) => name === wanted);
    if (entry === undefined) continue;
    const identity = [`--reuid=${wanted}`, `--regid=${entry[3]}`, '--init-groups'];
    return { user: wanted, commandPrefix: ['setpriv', ...identity, '--'] };
  }
  throw new Error('PostgreSQL cannot run as root, and this machine has neither a user postgres nor nobody');
}

/** Gives the file or directory, and what is in it, to the owner. */
export async function giveToOwner(path: string, owner: ClusterOwner): Promise<void> {
  if (owner.user !== undefined) await runProgram(['chown', '-R', `${owner.user}:`, path]);
}

/** Fills `dataDirectory`, which must not exist, in a directory that the owner may write to. */
export async function prepareData(
  dataDirectory: string,
  programs: Programs,
  owner: ClusterOwner,
  options: { readonly checksums: boolean; readonly freshIdentity: boolean },
): Promise<PreparedData> {
  if (options.freshIdentity) {
    const passwords = newPasswords();
    await initialise(dataDirectory, programs, owner, options.checksums, passwords);
    return { passwords };
  }
  const template = await ensureTemplate(programs, owner, options.checksums);
  await runProgram(['cp', '-a', '--reflink=auto', join(template, 'data'), dataDirectory]);
  return { passwords: await readPasswords(template) };
}

async function ensureTemplate(programs: Programs, owner: ClusterOwner, checksums: boolean): Promise<string> {
  const recipe = createHash('sha256')
    .update(await readFile(new URL(import.meta.url)))
    .digest('hex')
    .slice(0, 8);
  const traits = `${programs.version}-${owner.user ?? `uid${process.getuid?.()}`}${checksums ? '-checksums' : ''}`;
  const template = join(systemsCacheDirectory, `pg-template-${traits}-${recipe}`);
  if (existsSync(template)) return template;

  await mkdir(systemsCacheDirectory, { recursive: true });
  // The owner may be unable to reach the repository (it may lie in a closed home): build elsewhere, then move.
  const workshop = await temporaryDirectory('pg-template');
  const passwords = newPasswords();
  const built = join(workshop, 'built');
  await mkdir(built);
  await giveToOwner(workshop, owner);
  await initialise(join(built, 'data'), programs, owner, checksums, passwords);
  await writeFile(join(built, passwordsFileName), JSON.stringify(passwords), { mode: 0o600 });
  const candidate = `${template}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await runProgram(['cp', '-a', built, candidate]);
  try {
    await rename(candidate, template);
  } catch (error) {
    await removeDirectory(candidate);
    if (!existsSync(template)) throw error; // otherwise another process was first, and its template is as good
  }
  await removeDirectory(workshop);
  return template;
}

async function readPasswords(template: string): Promise<PostgresPasswords> {
  return JSON.parse(await readFile(join(template, passwordsFileName), 'utf8')) as PostgresPasswords;
}

function newPasswords(): PostgresPasswords {
  const make = () => randomBytes(12).toString('hex');
  return { holdfast: make(), replicator: make(), app: make() };
}

async function initialise(
  dataDirectory: string,
  programs: Programs,
  owner: ClusterOwner,
  checksums: boolean,
  passwords: PostgresPasswords,
): Promise<void> {
  const initdb = [...owner.commandPrefix, join(programs.directory, 'initdb'), '-D', dataDirectory];
  // PostgreSQL 18 turned checksums on by default and brought the word that turns them off.
  const checksumOption = checksums ? ['--data-checksums'] : programs.version >= 18 ? ['--no-data-checksums'] : [];
  const encoding = ['--encoding=UTF8', '--locale=C.UTF-8'];
  // Nobody may connect until the cluster's own rules are written; so no password is needed here either.
  await runProgram([...initdb, '--username=holdfast', '--auth=reject', '--no-sync', ...encoding, ...checksumOption]);
  // Single-user mode: one statement a line, and no server to start, to secure and to stop.
  const statements = [
    `ALTER ROLE holdfast PASSWORD '${passwords.holdfast}'`,
    `CREATE ROLE replicator LOGIN REPLICATION PASSWORD '${passwords.replicator}'`,
    `CREATE ROLE app LOGIN PASSWORD '${passwords.app}'`,
    'CREATE DATABASE app OWNER app',
  ];
  const single = [join(programs.directory, 'postgres'), '--single', '-F', '-D', dataDirectory];
  const { stderr } = await runProgram(
    [...owner.commandPrefix, ...single, '-c', 'exit_on_error=on', '-c', 'log_checkpoints=off', 'postgres'],
    { input: `${statements.join('\n')}\n` },
  );
  if (stderr.includes('ERROR')) throw new Error(`cannot create the roles of the template: ${stderr}`);
}
