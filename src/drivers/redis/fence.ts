/**
 * fence: a former primary can no longer acknowledge writes, also after a restart, and keeps its data.
 *
 *   it answers                    -> the write barrier is raised and made to last; a write probe is refused      revoked
 *   it answers, as a replica      -> its role is made to last                                                    demoted
 *   refused, and it needs replicas -> every other site is cut from it, so that a restarted one finds none        nothing-listens
 *   hands                         -> its file is barred, then it is stopped; nothing listens on its host          stopped
 *   silent, and it needs replicas -> every other site is cut from it; the time is waited for which it may still
 *                                    count the last word of a replica                                            cannot-acknowledge
 *   else                          -> FENCE_NOT_PROVEN
 *
 * Invariant: no way erases data, and each can be repeated. The note that names the way is kept only after its last effect, so that a crash in between leads to the whole
 * way being walked again. A site that answers again after a proof by absence is fenced anew, by the barrier.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProof, FenceProofKind, Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { allCut } from './cut-replicas.ts';
import { absenceProof } from './fence-absent.ts';
import { fileSays, isBarred, nothingListens } from './process-control.ts';
import { type RedisSiteParts, type Server, type ServerView, tryServer } from './server.ts';
import { positionOf } from './server-state.ts';
import { barrierSettings, readBarrier } from './write-barrier.ts';

interface FenceNote {
  readonly way: FenceProofKind;
  readonly sinceMs: number;
  readonly evidence: string;
  readonly position?: JsonObject;
  readonly configFile?: string;
}

export function fenceVerb(parts: RedisSiteParts): Verb {
  return {
    inspect: (_want, step) => inspect(parts, step),
    apply: (want, step) => apply(parts, want, step),
  };
}

function noteOf(step: StepContext): FenceNote | undefined {
  return step.note as unknown as FenceNote | undefined;
}

function proofOf(note: FenceNote, view?: ServerView): FenceProof {
  const position = view ? positionOf(view.state, view.epoch) : (note.position as FenceProof['position']);
  return { proof: note.way, evidence: note.evidence, sinceMs: note.sinceMs, ...(position ? { position } : {}) };
}

async function inspect(parts: RedisSiteParts, step: StepContext): Promise<Inspection> {
  const note = noteOf(step);
  const seen = await tryServer(parts, parts.context.region, step.signal, async (server) => ({
    view: await server.read(),
    probe: await server.probeWrite(),
    address: server.address,
  }));
  if ('absence' in seen) return await inspectAbsent(parts, note, step, seen);
  const { view, probe, address } = seen.answer;
  if (view.state.loading) return { state: 'pending', why: 'it still reads its data set' };
  if (probe.taken) return { state: 'absent', why: 'it takes writes' };
  if (view.state.role === 'slave')
    return note?.way === 'demoted'
      ? { state: 'done', output: proofOf(note, view) }
      : { state: 'absent', why: 'nothing says that it stays a replica' };
  const barred = view.settings !== undefined && readBarrier(view.settings.minReplicasToWrite).barrier === 'fence';
  if (!barred || probe.refusal !== 'NOREPLICAS')
    return { state: 'absent', why: `it refuses writes now (${probe.refusal}), and is not barred` };
  // A note of another way belongs to when it was absent: now that it answers, only the barrier counts.
  if (note?.way === 'revoked') return { state: 'done', output: proofOf(note, view) };
  if (await fileSays(parts, step.signal, isBarred, view.state.configFile))
    return { state: 'done', output: proofOf(foundInPlace(parts, 'revoked', barrierEvidence(address)), view) };
  return { state: 'absent', why: 'it refuses writes now, and nothing says that it will after a restart' };
}

async function inspectAbsent(
  parts: RedisSiteParts,
  note: FenceNote | undefined,
  step: StepContext,
  seen: { readonly absence: string; readonly why: string },
): Promise<Inspection> {
  const absent: Inspection = { state: 'absent', why: `it does not answer: ${seen.why}` };
  // Both outlast its end: they were made durable before the note was kept.
  if (note?.way === 'revoked' || note?.way === 'demoted') return { state: 'done', output: proofOf(note) };
  if (note?.way === 'nothing-listens' || note?.way === 'cannot-acknowledge') {
    if (note.way === 'nothing-listens' && seen.absence !== 'refused') return absent;
    return (await allCut(parts, step.signal)) ? { state: 'done', output: proofOf(note) } : absent;
  }
  const stopped = (await fileSays(parts, step.signal, isBarred, note?.configFile)) && (await nothingListens(parts, step.signal));
  if (!stopped) return absent;
  return { state: 'done', output: proofOf(note ?? foundInPlace(parts, 'stopped', 'nothing listens, and its configuration file bars it')) };
}

function foundInPlace({ context }: RedisSiteParts, way: FenceProofKind, evidence: string): FenceNote {
  return { way, sinceMs: context.host.clock.nowMs(), evidence };
}

function barrierEvidence(address: string): string {
  return `${address} answers every write with NOREPLICAS, also after a restart`;
}

async function apply(parts: RedisSiteParts, want: JsonObject, step: StepContext): Promise<void> {
  const seen = await tryServer(parts, parts.context.region, step.signal, (server) => fenceAnswering(parts, server));
  if ('answer' in seen) return await step.keepNote(seen.answer as unknown as JsonObject);
  if (want.clean === true)
    throw fail('SYSTEM_UNREACHABLE', {
      message: `it can't be fenced in an orderly way: ${seen.why}`,
      hint: 'A planned change needs the source to answer. If it is lost, run holdfast failover.',
    });
  await step.keepNote((await absenceProof(parts, want, step, seen)) as unknown as JsonObject);
}

async function fenceAnswering(parts: RedisSiteParts, server: Server): Promise<FenceNote> {
  const { clock } = parts.context.host;
  const view = await server.readFully();
  if (view.state.role === 'slave') {
    if (!view.state.upstream?.readOnly) await server.set([['replica-read-only', 'yes']]);
    await requireLasting(server);
    return { way: 'demoted', sinceMs: clock.nowMs(), evidence: `${server.address} is a read-only replica, also after a restart` };
  }
  await server.set(barrierSettings('fence', view.settings));
  const sinceMs = clock.nowMs();
  await requireLasting(server);
  const after = await server.read();
  return {
    way: 'revoked',
    sinceMs,
    evidence: barrierEvidence(server.address),
    position: positionOf(after.state, after.epoch),
  };
}

async function requireLasting(server: Server): Promise<void> {
  let lasts: boolean;
  try {
    lasts = await server.makeLast();
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind !== 'refused') throw error;
    throw fail('FENCE_NOT_PROVEN', {
      message: `${server.address} refuses writes now, and its configuration file can't be written: ${error.message}`,
      hint: 'Let the server write its configuration file, or stop it by hand and confirm with --fenced-by NAME.',
      cause: error,
    });
  }
  if (!lasts)
    throw fail('FENCE_NOT_PROVEN', {
      message: `${server.address} refuses writes now, and runs without a configuration file: a restart would end that`,
      hint: 'Stop it by hand and confirm with --fenced-by NAME; start it with a configuration file from now on.',
    });
}
