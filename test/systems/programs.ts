/**
 * Where the servers' programs are on this machine. Debian puts servers in directories that are not on a user's PATH.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryDirectory = fileURLToPath(new URL('../../', import.meta.url));
/** What is fetched or built once and kept: `.cache/systems` in the repository. */
export const systemsCacheDirectory = join(repositoryDirectory, '.cache', 'systems');

const debianPostgresqlDirectory = '/usr/lib/postgresql';

/** The full path of a program, or undefined when the machine has none. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin'];
  return directories
    .filter(Boolean)
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

export function requireProgram(name: string): string {
  const found = findProgram(name);
  if (found === undefined) {
    throw new Error(`${name} is not installed: run "sh tools/bootstrap/bootstrap.sh --systems"`);
  }
  return found;
}

const systemPython = '/usr/bin/python3';

/** The system's Python, where it can import faiss. */
export function findFaissPython(): string | undefined {
  return spawnSync(systemPython, ['-I', '-c', 'import faiss'], { stdio: 'ignore', timeout: 60_000 }).status === 0
    ? systemPython
    : undefined;
}

/** The library that lets a program see another wall clock (Debian package libfaketime), for programs with threads. */
export function findFaketime(): string | undefined {
  return listDirectory('/usr/lib')
    .map((architecture) => join('/usr/lib', architecture, 'faketime', 'libfaketimeMT.so.1'))
    .find((path) => existsSync(path));
}

/** The directory with postgres and initdb of that major version, or undefined. Without a version: the oldest there is. */
export function findPostgresqlPrograms(version?: number): { directory: string; version: number } | undefined {
  return postgresqlVersions().find((each) => version === undefined || each.version === version);
}

/** A gateway that answers as S3 does, built once from its Go module. */
export function findVersitygw(): string | undefined {
  return newestInCache('versitygw', 'versitygw');
}

/** The directory with the Python packages of moto; it is run by the machine's own Python. */
export function findMoto(): { readonly python: string; readonly packages: string } | undefined {
  const python = findProgram('python3');
  const server = newestInCache('moto', 'moto/server.py');
  return python === undefined || server === undefined ? undefined : { python, packages: join(server, '..', '..') };
}

/** The directory that the npm package with the engine of ClickHouse was put in. */
export function findChdb(): string | undefined {
  const module = newestInCache('chdb', 'node_modules/chdb/index.js');
  return module === undefined ? undefined : join(module, '..', '..', '..');
}

/** How a node of OpenSearch is started: the Java, and where its classes are. */
export function findOpensearch(): { readonly java: string; readonly classPath: string } | undefined {
  const java = findProgram('java');
  const launcher = newestInCache('opensearch', 'classes/OpensearchNode.class');
  if (java === undefined || launcher === undefined) return undefined;
  const classes = join(launcher, '..');
  return { java, classPath: `${classes}:${join(classes, '..', 'lib', '*')}` };
}

/** The file in the directory `NAME-VERSION` of what is fetched once; of several the one fetched last by name. */
function newestInCache(name: string, file: string): string | undefined {
  return listDirectory(systemsCacheDirectory)
    .filter((entry) => entry.startsWith(`${name}-`))
    .sort()
    .map((entry) => join(systemsCacheDirectory, entry, file))
    .findLast((path) => existsSync(path));
}

function postgresqlVersions(): { directory: string; version: number }[] {
  const found: { directory: string; version: number }[] = [];
  for (const name of listDirectory(debianPostgresqlDirectory)) {
    found.push({ version: Number(name), directory: join(debianPostgresqlDirectory, name, 'bin') });
  }
  for (const name of listDirectory(systemsCacheDirectory)) {
    const match = /^postgresql-(\d+)$/.exec(name);
    if (match !== null) found.push({ version: Number(match[1]), directory: join(systemsCacheDirectory, name, 'bin') });
  }
  return found
    .filter(({ directory }) => isExecutable(join(directory, 'postgres')) && isExecutable(join(directory, 'initdb')))
    .sort((a, b) => a.version - b.version);
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // nothing was ever put there
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
