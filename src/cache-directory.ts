import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where compiled code and the like are kept: in the user's own cache, never in a directory that others may write to, for what lies there is run. Where it can't be written, the program
 * starts without it, only slower.
 */
export function cacheDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'holdfast');
}
