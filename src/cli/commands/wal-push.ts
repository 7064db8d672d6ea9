/**
 * wal-push: archives one finished log file, for a server's own archive command. It ends well only when the file is durable in the repository, or was there already with the very same
 * content; anything else is a failure, so that the server keeps the file and tries again. It needs neither the state nor the passwords of databases, only the repository and its key.
 */
import { basename, resolve } from 'node:path';
import { fail } from '../../base/errors.ts';
import { RepositoryOpener } from '../../control/backups/repository-opener.ts';
import { loadSpecOrExplain, openHost } from '../session.ts';
import type { CommandContext } from './context.ts';

export async function walPush(
  context: CommandContext,
  path: string,
  options: { readonly component: string; readonly repository?: string },
): Promise<void> {
  const { wiring } = context;
  const host = openHost(context.options, wiring);
  const spec = await loadSpecOrExplain(context.options, wiring, host, 'repositories');
  const component = spec.components.get(options.component);
  if (!component)
    throw fail('NOT_FOUND', {
      subject: options.component,
      message: `there is no component "${options.component}"`,
      hint: `There are: ${[...spec.components.keys()].join(', ')}.`,
    });
  const archived = (component.backup ?? []).filter((backup) => backup.schedule === undefined);
  const entry = archived.find((backup) => options.repository === undefined || backup.to === options.repository);
  const repository = entry && spec.repositories?.get(entry.to);
  if (!repository)
    throw fail('NOT_FOUND', {
      subject: component.name,
      message: `the spec archives no log of ${component.name}${options.repository === undefined ? '' : ` into ${options.repository}`}`,
      hint: `Add { what: wal, continuous: true } to backup of ${component.name}.`,
    });
  const identify = wiring.catalog.get(component.driver)?.backups?.identifyLog;
  if (!identify)
    throw fail('NO_SUCH_VERB', { subject: component.name, message: `${component.driver} has no log that can be pushed file by file` });
  const file = resolve(path);
  const identity = await identify(host, file);
  const { repository: opened } = await new RepositoryOpener({ catalog: wiring.repositories, host, platform: spec.name }).open(repository);
  try {
    const name = basename(file);
    const bytes = await host.files.readBytes(file);
    const outcome = await (await opened.openArchive(component.name, identity)).push(name, bytes);
    context.answer(
      `${name} of ${component.name} is ${outcome === 'kept' ? 'kept' : 'there already, with the same content'} in ${repository.name}`,
      {
        name,
        component: component.name,
        repository: repository.name,
        identity,
        outcome,
        bytes: bytes.length,
      },
    );
  } finally {
    await opened.close();
  }
}
