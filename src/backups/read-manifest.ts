import { decodeManifest, type Manifest } from './manifest.ts';
import { manifestObject } from './object-names.ts';
import { findObject } from './put-object.ts';
import type { RepositoryParts } from './repository-parts.ts';

/** The manifest of a backup, checked; undefined where there is none. */
export async function readManifest(parts: RepositoryParts, component: string, backupId: string): Promise<Manifest | undefined> {
  const { facts, keys, store } = parts;
  const content = await findObject(store, manifestObject(component, backupId));
  if (content === undefined) return undefined;
  return decodeManifest(content, { repositoryId: facts.id, platform: facts.platform, suite: facts.suite, component, backupId, keys });
}
