/**
 * repository create, show, check. The recovery key of an encrypted repository is shown once, and the repository is made only after it was typed back (or, for scripts, written to a file
 * and read back from there): a key that nobody has is found out now, not on the bad day.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { RepositoryOpener } from '../../control/backups/repository-opener.ts';
import { RepositoryOpener as Opener } from '../../control/backups/repository-opener.ts';
import type { Host } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import type { Spec } from '../../spec/spec.ts';
import { loadSpecOrExplain, openHost } from '../session.ts';
import { table } from '../terminal.ts';
import type { CommandContext } from './context.ts';

interface Opened {
  readonly host: Host;
  readonly spec: Spec;
  readonly opener: RepositoryOpener;
}

/** The spec with the repositories' own secrets only: the machine that looks after backups need not know the passwords of databases. */
export async function open(context: CommandContext, secrets: 'repositories' | 'stores' | false): Promise<Opened> {
  const host = openHost(context.options, context.wiring);
  const spec = await loadSpecOrExplain(context.options, context.wiring, host, secrets);
  return { host, spec, opener: new Opener({ catalog: context.wiring.repositories, host, platform: spec.name }) };
}

export function choose(spec: Spec, name: string | undefined): RepositorySpec {
  const names = [...(spec.repositories?.keys() ?? [])];
  const chosen = name ?? (names.length === 1 ? names[0] : undefined);
  const found = chosen === undefined ? undefined : spec.repositories?.get(chosen);
  if (found) return found;
  if (names.length === 0)
    throw fail('NOT_FOUND', {
      message: 'the spec has no repositories',
      hint: 'Name one below repositories: { main: { driver: filesystem, path: /srv/backups } }.',
    });
  if (name === undefined) throw fail('USAGE', { message: `the spec has several repositories: ${names.join(', ')}`, hint: 'Name one.' });
  throw fail('NOT_FOUND', { subject: name, message: `the spec has no repository "${name}"`, hint: `There are: ${names.join(', ')}.` });
}

export async function createRepository(
  context: CommandContext,
  name: string | undefined,
  options: { readonly recoveryKeyFile?: string },
): Promise<void> {
  const { terminal, signal } = context.wiring;
  // A key file is made here, so it can't be asked for before; a passphrase is read like any other secret.
  const bare = choose((await open(context, false)).spec, name);
  const { host, spec, opener } = await open(context, bare.encryption?.kind === 'key' ? 'stores' : 'repositories');
  const repository = choose(spec, name);
  if (repository.encryption !== undefined && options.recoveryKeyFile === undefined && !terminal.interactive)
    throw fail('KEY_NOT_PROVEN', {
      subject: repository.name,
      message: 'the recovery key has to be shown to somebody, and nobody is there',
      hint: 'Run this in a terminal, or give --recovery-key-file PATH and bring that file to a safe place.',
    });
  const keyFile = repository.encryption?.kind === 'key' ? await requireKeyFile(repository, host) : undefined;
  const made = await opener.create(repository, (key) => confirmKey(context, host, key, options.recoveryKeyFile), signal);
  try {
    if (keyFile !== undefined) await made.addSlot({ kind: 'machine' }, (key) => keepInFile(host, keyFile, key));
    const lines = [
      `${repository.name} is made: ${made.name}${made.encrypted ? ', encrypted' : ', not encrypted'}`,
      ...(made.encrypted
        ? []
        : [context.palette.warn('Who can read it can read the backups: add "encryption" unless that is meant, in an empty place.')]),
      ...(options.recoveryKeyFile === undefined || !made.encrypted
        ? []
        : [`The recovery key is in ${options.recoveryKeyFile}: bring it to a place that outlives this machine, and remove it here.`]),
      ...(keyFile === undefined ? [] : [`The key by which this machine opens it is in ${keyFile}.`]),
    ];
    context.answer(lines.join('\n'), {
      repository: repository.name,
      place: made.name,
      id: made.id,
      encrypted: made.encrypted,
      capabilities: made.capabilities,
      ...(options.recoveryKeyFile === undefined ? {} : { recoveryKeyFile: options.recoveryKeyFile }),
    });
  } finally {
    await made.close();
  }
}

/** Where the spec says that the machine's key is: a file that is not there yet. */
async function requireKeyFile(repository: RepositorySpec, host: Host): Promise<string> {
  const source = repository.encryption?.kind === 'key' ? repository.encryption.secret.source : '';
  if (!source.startsWith('file:'))
    throw fail('USAGE', {
      subject: repository.name,
      message: 'the key of a repository is made together with it, and kept in a file',
      hint: 'Write key: { file: PATH }, or give a passphrase.',
    });
  const path = source.slice('file:'.length);
  if (await host.files.exists(path))
    throw fail('USAGE', { subject: path, message: `${path} is there already`, hint: 'Name another file: a key is never written over.' });
  return path;
}

async function keepInFile(host: Host, path: string, key: string): Promise<string> {
  await host.files.writeAtomically(path, `${key}\n`, { mode: 0o600 });
  return (await host.files.readText(path)).trim();
}

export async function confirmKey(context: CommandContext, host: Host, key: string, file: string | undefined): Promise<string> {
  const { terminal } = context.wiring;
  if (file !== undefined) {
    if (await host.files.exists(file))
      throw fail('USAGE', { subject: file, message: `${file} is there already`, hint: 'Name another file: a key is never written over.' });
    return keepInFile(host, file, key);
  }
  terminal.err('The recovery key of this repository, shown only now:\n');
  terminal.err(`    ${key}\n`);
  terminal.err('Write it down where it outlives this machine and this spec. Without it, a lost passphrase loses every backup.');
  const typed = await terminal.ask('Type it back, to be sure: ');
  if (typed === undefined || typed.trim() === '')
    throw fail('KEY_NOT_PROVEN', { message: 'the recovery key was not typed back; no repository was made' });
  return typed.trim();
}

export async function showRepository(context: CommandContext, name: string | undefined): Promise<void> {
  const { spec, opener } = await open(context, 'stores');
  const repository = choose(spec, name);
  const { repository: opened } = await opener.open(repository, true);
  try {
    const [slots, catalogue] = [await opened.slots(), await opened.readCatalogue()];
    const rows = slots.map(({ slot, kind, createdAtMs }) => [
      '  ',
      slot,
      kind,
      typeof createdAtMs === 'number' ? `since ${formatInstant(createdAtMs)}` : '',
    ]);
    const text = [
      `${context.palette.strong(repository.name)}  ${opened.name}  ${opened.encrypted ? 'encrypted' : 'not encrypted'}`,
      `  id       ${opened.id}`,
      `  backups  ${catalogue.entries.length}`,
      ...(rows.length === 0 ? [] : ['  key slots', table(rows)]),
      ...opened.capabilities.notes.map((note) => `  ${note}`),
    ];
    context.answer(text.join('\n'), {
      repository: repository.name,
      place: opened.name,
      id: opened.id,
      encrypted: opened.encrypted,
      backups: catalogue.entries.length,
      slots: slots.map(({ slot, kind }) => ({ slot, kind })),
      capabilities: opened.capabilities,
    });
  } finally {
    await opened.close();
  }
}

/** Tries the store anew, opens it with the key, reads the catalogue. Exit code 3 where something stands in the way of the next backup. */
export async function checkRepository(context: CommandContext, name: string | undefined): Promise<void> {
  const { spec, opener } = await open(context, 'repositories');
  const chosen = name === undefined ? [...(spec.repositories?.values() ?? [])] : [choose(spec, name)];
  if (chosen.length === 0) choose(spec, name);
  const results = [];
  for (const repository of chosen) results.push(await checkOne(opener, repository, context.wiring.signal));
  const { palette } = context;
  const text = results.map((result) =>
    result.ok
      ? `${palette.good('ok')}       ${result.repository}: ${result.place}, ${result.backups} backups`
      : `${palette.bad('problem')}  ${result.repository}: ${result.problems.map(({ message }) => message).join('; ')}\n           ${palette.dim(result.problems[0]?.hint ?? '')}`,
  );
  context.answer(text.join('\n'), { repositories: results });
  if (results.some((result) => !result.ok)) context.exitCode = 3;
}

async function checkOne(opener: RepositoryOpener, repository: RepositorySpec, signal: AbortSignal) {
  const problems: { code: string; message: string; hint: string }[] = [];
  try {
    const { repository: opened } = await opener.open(repository);
    try {
      const capabilities = await opened.check(signal);
      const { entries, unreadable } = await opened.readCatalogue();
      for (const { object, why } of unreadable)
        problems.push({
          code: 'REPOSITORY_DAMAGED',
          message: `${object} can not be read: ${why}`,
          hint: 'Nothing is pruned while there are any.',
        });
      return {
        repository: repository.name,
        ok: problems.length === 0,
        place: opened.name,
        backups: entries.length,
        capabilities,
        problems,
      };
    } finally {
      await opened.close();
    }
  } catch (thrown) {
    const { code, message, hint } = asHoldfastError(thrown);
    problems.push({ code, message, hint });
    return { repository: repository.name, ok: false, problems };
  }
}
