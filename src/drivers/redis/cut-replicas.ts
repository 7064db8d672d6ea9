/**
 * Cutting the other sites from a primary that is not there: each is made to follow an address where nothing can listen (port 0). It keeps its data, its place in the
 * history and its role; it gives the former primary no word any more.
 *
 * Invariant: cut also after a restart, where the server has a configuration file.
 */
import { HoldfastError } from '../../base/errors.ts';
import { regionAt } from './observe.ts';
import { type RedisSiteParts, tryServer } from './server.ts';
import type { ServerState } from './server-state.ts';

/** Nothing can listen on port 0; a name would have the server wait for its resolver. */
export const nowhere = { host: '127.0.0.1', port: 0 } as const;

export function isCut(state: ServerState): boolean {
  return state.role === 'master' || state.upstream?.port === nowhere.port;
}

export interface CutSite {
  readonly region: string;
  /** It followed this very site, as its own settings told, or was cut already: it is one of the replicas that the primary knew. */
  readonly followed: boolean;
}

/** Cuts every other site that answers. Returns those that give no word any more. */
export async function cutReplicas(parts: RedisSiteParts, signal: AbortSignal): Promise<readonly CutSite[]> {
  const { context } = parts;
  const cut = await Promise.all(
    otherRegions(parts).map(async (region) => {
      const seen = await tryServer(parts, region, signal, async (server): Promise<CutSite | undefined> => {
        const { upstream } = (await server.read()).state;
        const followed =
          upstream !== undefined && (upstream.port === nowhere.port || regionAt(context, upstream.host, upstream.port) === context.region);
        if (upstream !== undefined && upstream.port !== nowhere.port) await server.command('REPLICAOF', nowhere.host, String(nowhere.port));
        if (!isCut((await server.read()).state)) return undefined;
        if (!(await lasts(server.makeLast()))) context.host.log.warn('redis-cut-does-not-last', { component: context.component, region });
        return { region, followed };
      });
      return 'answer' in seen && seen.answer ? [seen.answer] : [];
    }),
  );
  return cut.flat();
}

async function lasts(rewriting: Promise<boolean>): Promise<boolean> {
  try {
    return await rewriting;
  } catch (error) {
    if (error instanceof HoldfastError && error.kind === 'refused') return false;
    throw error;
  }
}

/** Whether the sites that answer now are all cut, one at least. */
export async function allCut(parts: RedisSiteParts, signal: AbortSignal): Promise<boolean> {
  const states = await Promise.all(
    otherRegions(parts).map((region) => tryServer(parts, region, signal, async (server) => (await server.read()).state)),
  );
  const answers = states.flatMap((seen) => ('answer' in seen ? [seen.answer] : []));
  return answers.length > 0 && answers.every(isCut);
}

function otherRegions({ context }: RedisSiteParts): readonly string[] {
  return [...context.sites.keys()].filter((region) => region !== context.region);
}
