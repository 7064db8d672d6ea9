/**
 * freeze: the primary takes no new writes, reversibly; thaw: it takes them again.
 *
 * Invariants: a freeze does not end by itself, neither with time nor with a restart, so that the position it gives stays the last one. thaw also lifts a fence (it is how a
 * planned change is taken back before the promotion), but never one over which another site was promoted.
 * When the process dies: the barrier holds the setting from before, and thaw finds it there.
 */
import { fail } from '../../base/errors.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { type RedisSiteParts, tryServer, withServer } from './server.ts';
import { positionOf } from './server-state.ts';
import { barrierSettings, readBarrier } from './write-barrier.ts';

interface LastingNote {
  readonly lasts: boolean;
}

function wasMadeToLast(step: StepContext): boolean {
  return (step.note as LastingNote | undefined)?.lasts === true;
}

export function freezeVerb(parts: RedisSiteParts): Verb {
  const { region } = parts.context;
  return {
    inspect: (_want, step) =>
      withServer(parts, region, step.signal, async (server): Promise<Inspection> => {
        const { state, settings, epoch } = await server.readFully();
        if (state.role === 'slave') return { state: 'unknown', why: `${server.address} is a replica: there is nothing to freeze` };
        if (readBarrier(settings.minReplicasToWrite).barrier === 'none' || !wasMadeToLast(step))
          return { state: 'absent', why: 'it takes writes' };
        const probe = await server.probeWrite();
        if (probe.taken) return { state: 'absent', why: 'it takes writes' };
        return { state: 'done', output: { position: positionOf(state, epoch) } };
      }),
    apply: (_want, step) =>
      withServer(parts, region, step.signal, async (server) => {
        const { settings } = await server.readFully();
        if (readBarrier(settings.minReplicasToWrite).barrier === 'none') await server.set(barrierSettings('freeze', settings));
        // Without a configuration file there is no more to have than until the next restart: observe() reports that as a fault.
        await server.makeLast();
        await step.keepNote({ lasts: true });
      }),
  };
}

export function thawVerb(parts: RedisSiteParts): Verb {
  const { region } = parts.context;
  return {
    inspect: (_want, step) =>
      withServer(parts, region, step.signal, async (server): Promise<Inspection> => {
        const { state, settings } = await server.readFully();
        if (state.role === 'slave') return { state: 'unknown', why: `${server.address} is a replica by now: it must not take writes` };
        if (readBarrier(settings.minReplicasToWrite).barrier !== 'none') return { state: 'absent', why: 'it refuses writes' };
        return wasMadeToLast(step)
          ? { state: 'done', output: {} }
          : { state: 'absent', why: 'nothing says that it will take writes after a restart' };
      }),
    apply: (_want, step) =>
      withServer(parts, region, step.signal, async (server) => {
        const { settings, epoch } = await server.readFully();
        await requireNoSuccessor(parts, epoch, step.signal);
        const { barrier, former } = readBarrier(settings.minReplicasToWrite);
        if (barrier !== 'none') await server.set([['min-replicas-to-write', String(former)]]);
        // Without a configuration file there is no more to have than until the next restart: observe() reports that as a fault.
        await server.makeLast();
        await step.keepNote({ lasts: true });
      }),
  };
}

async function requireNoSuccessor(parts: RedisSiteParts, epoch: number, signal: AbortSignal): Promise<void> {
  const { context } = parts;
  for (const region of context.sites.keys()) {
    if (region === context.region) continue;
    const seen = await tryServer(parts, region, signal, (server) => server.read());
    if ('answer' in seen && seen.answer.state.role === 'master' && seen.answer.epoch > epoch)
      throw fail('SYSTEM_WRONG_ROLE', {
        subject: `${context.component} in ${context.region}`,
        message: `${region} was promoted under epoch ${seen.answer.epoch}: this site must not take writes again`,
        hint: 'Run holdfast reprotect, so that it follows.',
      });
  }
}
