/**
 * wal-push: archives one finished log file, for a server's own archive command. It needs neither the state nor the passwords of databases, only the repository and its key. Where a
 * controller serves, `bin/holdfast-wal-push` lets that one do it, which is quicker.
 */
import { resolve } from 'node:path';
import type { Repository } from '../../backups/repository.ts';
import { pushLog } from '../../control/backups/push-log.ts';
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
  const opener = new RepositoryOpener({ catalog: wiring.repositories, host, platform: spec.name });
  let opened: Repository | undefined;
  const openRepository: Parameters<typeof pushLog>[0]['openRepository'] = async (repository) => {
    opened = (await opener.open(repository)).repository;
    return opened;
  };
  try {
    const pushed = await pushLog({ spec, catalog: wiring.catalog, host, openRepository }, { ...options, path: resolve(path) });
    context.answer(
      `${pushed.name} of ${pushed.component} is ${pushed.outcome === 'kept' ? 'kept' : 'there already, with the same content'} in ${pushed.repository}`,
      pushed,
    );
  } finally {
    await opened?.close();
  }
}
