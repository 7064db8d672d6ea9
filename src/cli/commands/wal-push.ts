/**
 * wal-push: archives one finished log file, for a server's own archive command. It needs neither the state nor the passwords of databases, only the repository and its key. Where a
 * controller serves, `bin/holdfast-wal-push` lets that one do it, which is quicker.
 */
import { join, resolve } from 'node:path';
import type { Repository } from '../../backups/repository.ts';
import { asHoldfastError } from '../../base/errors.ts';
import { type Pushed, pushLog } from '../../control/backups/push-log.ts';
import { digestSpecs, makePushMemory, type PushMemory, pushMemoryName } from '../../control/backups/push-memory.ts';
import { RepositoryOpener } from '../../control/backups/repository-opener.ts';
import type { Host } from '../../host/host.ts';
import type { Spec } from '../../spec/spec.ts';
import { loadSpecOrExplain, openHost, specFiles } from '../session.ts';
import type { CommandContext } from './context.ts';

export async function walPush(
  context: CommandContext,
  path: string,
  options: { readonly component: string; readonly repository?: string },
): Promise<void> {
  const { wiring } = context;
  const host = openHost(context.options, wiring);
  const specPaths = specFiles(context.options, wiring).map((file) => resolve(file));
  const before = await digestSpecs(host, specPaths).catch(() => undefined);
  const spec = await loadSpecOrExplain(context.options, wiring, host, 'repositories');
  const opener = new RepositoryOpener({ catalog: wiring.repositories, host, platform: spec.name });
  let opened: Repository | undefined;
  const openRepository: Parameters<typeof pushLog>[0]['openRepository'] = async (repository) => {
    opened = (await opener.open(repository)).repository;
    return opened;
  };
  try {
    const pushed = await pushLog({ spec, catalog: wiring.catalog, host, openRepository }, { ...options, path: resolve(path) });
    await remember(context, host, { spec, specPaths, before, ...options }, pushed);
    context.answer(
      `${pushed.name} of ${pushed.component} is ${pushed.outcome === 'kept' ? 'kept' : 'there already, with the same content'} in ${pushed.repository}`,
      pushed,
    );
  } finally {
    await opened?.close();
  }
}

interface Learnt {
  readonly spec: Spec;
  readonly specPaths: readonly string[];
  /** Of the spec files, before they were loaded: what is remembered must be of these very bytes. */
  readonly before: PushMemory['specs'] | undefined;
  readonly component: string;
  readonly repository?: string;
}

/** For the next push (src/push-quickly.ts). Not being able to is no failure of this one. */
async function remember({ wiring }: CommandContext, host: Host, learnt: Learnt, pushed: Pushed): Promise<void> {
  const { spec, specPaths, before } = learnt;
  const component = spec.components.get(pushed.component);
  const repository = spec.repositories?.get(pushed.repository);
  if (wiring.cacheDirectory === undefined || wiring.workingDirectory === undefined || !before || !component || !repository) return;
  const from = { version: wiring.version, specs: before, platform: spec.name, component: component.name, driver: component.driver };
  const memory = makePushMemory(from, repository);
  if (memory === undefined) return;
  const key = { workingDirectory: wiring.workingDirectory, specs: specPaths, component: learnt.component, repository: learnt.repository };
  try {
    if (JSON.stringify(await digestSpecs(host, specPaths)) !== JSON.stringify(before)) return;
    const folder = join(wiring.cacheDirectory, 'wal-push');
    await host.files.makeDirectory(folder, { mode: 0o700 });
    await host.files.writeAtomically(join(folder, pushMemoryName(key)), JSON.stringify(memory), { mode: 0o600 });
  } catch (thrown) {
    host.log.info('wal-push.not-remembered', { message: asHoldfastError(thrown).message });
  }
}
