/**
 * promote: this site takes writes, also after a restart, and waits for no replica that is not there.
 *
 * Invariants: refused under a lower epoch than the one recorded in the data. The epoch is written as the first write of the new master, so an unrecorded epoch means that
 * the promotion did not end, and all of it may be done again: each of its commands is harmless when repeated.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { newDatasetName } from './canary.ts';
import { type RedisSiteParts, type Server, type ServerView, withServer } from './server.ts';
import { linkOf, positionOf } from './server-state.ts';
import { readBarrier } from './write-barrier.ts';

export function promoteVerb(parts: RedisSiteParts): Verb {
  const { region } = parts.context;
  return {
    inspect: (want, step) => withServer(parts, region, step.signal, (server) => inspect(server, want, step)),
    apply: (want, step) => withServer(parts, region, step.signal, (server) => apply(parts, server, want, step)),
  };
}

async function inspect(server: Server, want: JsonObject, step: StepContext): Promise<Inspection> {
  const view = await server.readFully();
  const epoch = Number(want.epoch);
  if (view.epoch > epoch) throw refusal(server, view, epoch);
  if (view.state.role === 'slave') return { state: 'absent', why: 'it is a replica' };
  if (view.epoch < epoch) return { state: 'absent', why: `it is a master, and epoch ${epoch} is not recorded` };
  if (readBarrier(view.settings.minReplicasToWrite).barrier !== 'none') return { state: 'absent', why: 'it refuses writes' };
  if ((step.note as { lasts?: boolean } | undefined)?.lasts === undefined)
    return { state: 'absent', why: 'nothing says that it stays a master after a restart' };
  const probe = await server.probeWrite();
  if (!probe.taken) return { state: 'absent', why: `it refuses writes (${probe.refusal})` };
  return { state: 'done', output: { position: positionOf(view.state, view.epoch), timeline: view.epoch } };
}

async function apply(parts: RedisSiteParts, server: Server, want: JsonObject, step: StepContext): Promise<void> {
  const { context, keys } = parts;
  const epoch = Number(want.epoch);
  const view = await server.readFully();
  if (view.epoch > epoch) throw refusal(server, view, epoch);
  requireData(server, view);
  // On a replica the setting has no effect: it is in place before the first write can be asked for.
  await server.set([['min-replicas-to-write', String(replicasToWaitFor(parts, want, view))]]);
  if (view.state.role === 'slave') await server.command('REPLICAOF', 'NO', 'ONE');
  await server.command('SET', keys.epoch, String(epoch));
  await server.command('SET', keys.dataset, newDatasetName(parts), 'NX');
  const lasts = await server.makeLast();
  if (!lasts)
    context.host.log.warn('redis-promotion-does-not-last', {
      component: context.component,
      region: context.region,
      why: 'the server runs without a configuration file',
    });
  await step.keepNote({ lasts });
}

/** Replicas of its own that are wanted and there already; those of the former master come only when they are made to follow. */
function replicasToWaitFor({ context }: RedisSiteParts, want: JsonObject, { state, settings }: ServerView): number {
  const standbys = Array.isArray(want.standbys) ? want.standbys.length : 0;
  const configured = context.options['min-replicas-to-write'] ?? (settings ? readBarrier(settings.minReplicasToWrite).former : 0);
  return Math.min(standbys, state.replicas.length, configured);
}

/** A replica whose first copy has not ended holds nothing, or not yet all. */
function requireData(server: Server, { state }: ServerView): void {
  const copying = state.upstream?.syncInProgress === true && state.keys === 0;
  if (!state.loading && !copying) return;
  throw fail('SYSTEM_WRONG_ROLE', {
    message: state.loading
      ? `${server.address} still reads its data set`
      : `${server.address} has not got its first copy of the data (link ${linkOf(state)})`,
    hint: 'Wait until it has its data, or choose another target.',
  });
}

function refusal(server: Server, view: ServerView, epoch: number): HoldfastError {
  return fail('SYSTEM_REFUSED', {
    message: `${server.address} was promoted under epoch ${view.epoch}: an order of epoch ${epoch} comes too late`,
    hint: 'A newer execution has changed the active region: abort this one.',
    details: { knownEpoch: view.epoch, epoch },
  });
}
