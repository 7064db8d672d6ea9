/**
 * protect, on the primary: the standbys stream, as told from both ends; then the primary is told how many of them it must have to take writes.
 *
 * Invariant: the setting is raised only once the standbys are there, so that it never stops a primary that was working.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { isLive, regionAt } from './observe.ts';
import { type RedisSiteParts, type Server, tryServer, withServer } from './server.ts';
import { linkOf, type ServerState } from './server-state.ts';
import { readBarrier } from './write-barrier.ts';

export function protectVerb(parts: RedisSiteParts): Verb {
  const { region } = parts.context;
  return {
    inspect: (want, step) => withServer(parts, region, step.signal, (server) => inspect(parts, server, want, step)),
    apply: (want, step) => withServer(parts, region, step.signal, (server) => apply(parts, server, want, step)),
  };
}

function wantedSettings({ context }: RedisSiteParts, want: JsonObject): readonly (readonly [string, string])[] {
  const count = context.options['min-replicas-to-write'] ?? (want.mode === 'synchronous' ? 1 : 0);
  return [
    ['min-replicas-max-lag', String(context.options['min-replicas-max-lag'] / 1_000)],
    ['min-replicas-to-write', String(count)],
  ];
}

async function inspect(parts: RedisSiteParts, server: Server, want: JsonObject, step: StepContext): Promise<Inspection> {
  const { state, settings } = await server.readFully();
  if (state.role === 'slave') return { state: 'unknown', why: `${server.address} is a replica: a primary is protected` };
  if (readBarrier(settings.minReplicasToWrite).barrier !== 'none')
    return { state: 'unknown', why: `${server.address} is fenced or frozen` };
  const standbys = Array.isArray(want.standbys) ? want.standbys.map(String) : [];
  for (const standby of standbys) {
    const missing = await whatIsMissing(parts, state, standby, step);
    if (missing) return { state: 'pending', why: missing };
  }
  const [[, maxLag], [, count]] = wantedSettings(parts, want) as [readonly [string, string], readonly [string, string]];
  const set = String(settings.minReplicasMaxLagSeconds) === maxLag && String(settings.minReplicasToWrite) === count;
  if (!set || (step.note as { lasts?: boolean } | undefined)?.lasts === undefined)
    return { state: 'absent', why: `the standbys stream, and min-replicas-to-write ${count} is not set for good` };
  return { state: 'done', output: { inSync: standbys } };
}

/** Undefined when both ends say that the standby streams. */
async function whatIsMissing(parts: RedisSiteParts, primary: ServerState, region: string, step: StepContext): Promise<string | undefined> {
  const { context } = parts;
  const seen = await tryServer(parts, region, step.signal, (server) => server.read());
  if (!('answer' in seen)) return `${region} does not answer: ${seen.why}`;
  const { state } = seen.answer;
  if (state.upstream === undefined) return `${region} is not a replica`;
  if (state.replid !== primary.replid || linkOf(state) !== 'up') return `the link of ${region} is ${linkOf(state)}`;
  const maxLagSeconds = context.options['min-replicas-max-lag'] / 1_000;
  const live = primary.replicas.filter((replica) => isLive(replica, maxLagSeconds));
  // Behind an address translation the primary sees another address than ours: then one live replica per standby has to do.
  const named = live.filter((replica) => regionAt(context, replica.host, replica.port) === region);
  const unnamed = live.filter((replica) => regionAt(context, replica.host, replica.port) === undefined);
  if (named.length === 0 && unnamed.length === 0) return `the primary has not heard from ${region} within ${maxLagSeconds} s`;
  return undefined;
}

async function apply(parts: RedisSiteParts, server: Server, want: JsonObject, step: StepContext): Promise<void> {
  await server.set(wantedSettings(parts, want));
  const lasts = await server.makeLast();
  if (!lasts)
    throw fail('SYSTEM_REFUSED', {
      message: `${server.address} runs without a configuration file: its protection would end with a restart`,
      hint: 'Start it with a configuration file that it may write.',
    });
  await step.keepNote({ lasts });
}
