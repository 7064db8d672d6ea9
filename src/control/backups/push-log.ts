/**
 * Archives one finished log file, for a server's own archive command. Resolves only when the file is durable in the repository, or was there already with the very same content; anything
 * else is an error, so that the server keeps the file and tries again. Dying on the way leaves it archived whole, or not at all.
 */
import { basename } from 'node:path';
import type { BackupRepository } from '../../backups/backup-repository.ts';
import { fail } from '../../base/errors.ts';
import type { DriverCatalog } from '../../contracts/driver.ts';
import type { Host } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import type { Spec } from '../../spec/spec.ts';

export interface PushParts {
  readonly spec: Spec;
  readonly catalog: DriverCatalog;
  readonly host: Host;
  /** The same one each time, or a new one: who calls closes it. */
  openRepository(repository: RepositorySpec): Promise<BackupRepository>;
}

export interface PushRequest {
  readonly component: string;
  /** Absolute. */
  readonly path: string;
  readonly repository?: string;
}

export interface Pushed {
  readonly name: string;
  readonly component: string;
  readonly repository: string;
  readonly identity: string;
  readonly outcome: 'kept' | 'same';
  readonly bytes: number;
}

export async function pushLog(parts: PushParts, request: PushRequest): Promise<Pushed> {
  const { spec, catalog, host } = parts;
  const component = spec.components.get(request.component);
  if (!component)
    throw fail('NOT_FOUND', {
      subject: request.component,
      message: `there is no component "${request.component}"`,
      hint: `There are: ${[...spec.components.keys()].join(', ')}.`,
    });
  const archived = (component.backup ?? []).filter((backup) => backup.schedule === undefined);
  const entry = archived.find((backup) => request.repository === undefined || backup.to === request.repository);
  const repository = entry && spec.repositories?.get(entry.to);
  if (!repository)
    throw fail('NOT_FOUND', {
      subject: component.name,
      message: `the spec archives no log of ${component.name}${request.repository === undefined ? '' : ` into ${request.repository}`}`,
      hint: `Add { what: wal, continuous: true } to backup of ${component.name}.`,
    });
  const identify = catalog.get(component.driver)?.backups?.identifyLog;
  if (!identify)
    throw fail('NO_SUCH_VERB', { subject: component.name, message: `${component.driver} has no log that can be pushed file by file` });
  const identity = await identify(host, request.path);
  const [opened, bytes] = await Promise.all([parts.openRepository(repository), host.files.readBytes(request.path)]);
  const name = basename(request.path);
  const outcome = await (await opened.openArchive(component.name, identity)).push(name, bytes);
  return { name, component: component.name, repository: repository.name, identity, outcome, bytes: bytes.length };
}
