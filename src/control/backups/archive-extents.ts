/** What each archived log in a store reaches from and to, by the names of its objects alone: no key is needed, and nothing is fetched. Reads only. */
import { archivesPrefix, decodeName, encodeName, parseLogObject } from '../../backups/object-names.ts';
import type { ArchiveExtent } from '../../backups/retention-archives.ts';
import type { RepositoryBackend } from '../../contracts/repository-backend.ts';

interface Extent {
  oldest: string;
  newest: string;
  newestAtMs: number;
}

export async function readArchiveExtents(backend: Pick<RepositoryBackend, 'list'>, component?: string): Promise<readonly ArchiveExtent[]> {
  const found = new Map<string, Extent & { readonly component: string; readonly identity: string }>();
  const prefix = component === undefined ? archivesPrefix : `${archivesPrefix}${encodeName(component)}/`;
  for await (const { name, modifiedMs } of backend.list(prefix)) {
    const [encodedComponent, encodedIdentity, encodedLog] = name.slice(archivesPrefix.length).split('/');
    if (encodedComponent === undefined || encodedIdentity === undefined || encodedLog === undefined) continue;
    const log = parseLogObject(encodedLog).name;
    // What has a dot beside its name tells of the log (its history, a label) and is no part of it.
    if (log.includes('.')) continue;
    const key = `${encodedComponent}/${encodedIdentity}`;
    const known = found.get(key);
    if (!known)
      found.set(key, {
        component: decodeName(encodedComponent),
        identity: decodeName(encodedIdentity),
        oldest: log,
        newest: log,
        newestAtMs: modifiedMs,
      });
    else {
      if (log < known.oldest) known.oldest = log;
      if (log > known.newest) known.newest = log;
      known.newestAtMs = Math.max(known.newestAtMs, modifiedMs);
    }
  }
  return [...found.values()];
}
