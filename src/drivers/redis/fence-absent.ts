/**
 * Proofs for a former primary that does not answer us.
 *
 * Invariant: a proof without its host's word rests on what it was last seen to need: more replicas than can still give it theirs. Every replica that it knew counts as
 * able to, unless it is one of our sites and was seen cut.
 *
 * The limit of `cannot-acknowledge`: Redis counts its replicas once a second. A server that was cut off and went on running has counted; one that was paused (a stopped process, a
 * suspended machine) has not, and acknowledges for up to a second after it wakes. Nobody outside can tell the two apart without hands. What it took then is found by salvage.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProofKind, StepContext } from '../../contracts/verbs.ts';
import { type CutSite, cutReplicas } from './cut-replicas.ts';
import { targetOf } from './options.ts';
import { addressOf } from './port.ts';
import { barrierIn, nothingListens, siteConfigFile, stopServer } from './process-control.ts';
import type { Absence, RedisSiteParts } from './server.ts';

export interface AbsenceProof {
  readonly way: FenceProofKind;
  readonly sinceMs: number;
  readonly evidence: string;
  readonly position?: JsonObject;
  readonly configFile?: string;
}

/** Beyond the configured lag: its seconds are cut off when it compares, and it compares once a second. */
const lagSlackMs = 2_500;

interface Needs {
  readonly minReplicas: number;
  readonly maxLagMs: number;
  /** Every replica that it was last seen to have: a region, or the address of one that is none of ours by name. */
  readonly standbys: readonly string[];
  readonly position: JsonObject | undefined;
}

function needsOf(want: JsonObject): Needs | undefined {
  const known = want.lastKnown as JsonObject | undefined;
  const minReplicas = Number(known?.minReplicasToWrite ?? 0);
  const maxLagSeconds = Number(known?.minReplicasMaxLagSeconds ?? 0);
  if (known === undefined || !Array.isArray(known.standbys) || !(minReplicas >= 1) || !(maxLagSeconds >= 1)) return undefined;
  return {
    minReplicas,
    maxLagMs: maxLagSeconds * 1_000,
    standbys: known.standbys.map(String),
    position: known.position as JsonObject | undefined,
  };
}

export async function absenceProof(
  parts: RedisSiteParts,
  want: JsonObject,
  step: StepContext,
  seen: { readonly absence: Absence; readonly why: string },
): Promise<AbsenceProof> {
  const needs = needsOf(want);
  const failures: string[] = [];
  if (seen.absence === 'refused' && needs) {
    const proof = await byNeed(parts, needs, step, 'nothing-listens', seen.why, failures);
    if (proof) return proof;
  }
  const proof =
    seen.absence === 'silent' && needs
      ? await firstOf(step.signal, [
          (signal) => byHands(parts, want, signal, failures),
          (signal) => byNeed(parts, needs, { signal, progress: step.progress }, 'cannot-acknowledge', seen.why, failures),
        ])
      : await byHands(parts, want, step.signal, failures);
  if (proof) return proof;
  if (needs === undefined) failures.push('it was not seen to need a replica for its writes (min-replicas-to-write)');
  throw fail('FENCE_NOT_PROVEN', { message: `${seen.why}; ${failures.join('; ')}` });
}

/** Works on several proofs at a time: the first one counts and ends the others. A host that does not answer us most likely does not answer its hands either. */
async function firstOf(
  signal: AbortSignal,
  ways: readonly ((signal: AbortSignal) => Promise<AbsenceProof | undefined>)[],
): Promise<AbsenceProof | undefined> {
  const proven = new AbortController();
  const both = AbortSignal.any([signal, proven.signal]);
  const attempts = ways.map(async (way) => {
    const proof = await way(both);
    if (proof === undefined) throw fail('FENCE_NOT_PROVEN');
    return proof;
  });
  try {
    return await Promise.any(attempts);
  } catch (error) {
    const reasons = error instanceof AggregateError ? error.errors : [error];
    const unexpected = reasons.find((reason) => !(reason instanceof HoldfastError && reason.code === 'FENCE_NOT_PROVEN'));
    if (unexpected !== undefined) throw unexpected;
    return undefined;
  } finally {
    proven.abort(new Error('another proof came first'));
  }
}

async function byNeed(
  parts: RedisSiteParts,
  needs: Needs,
  step: Pick<StepContext, 'signal' | 'progress'>,
  way: 'nothing-listens' | 'cannot-acknowledge',
  why: string,
  failures: string[],
): Promise<AbsenceProof | undefined> {
  const { clock } = parts.context.host;
  const cut = await cutReplicas(parts, step.signal);
  const uncut = countUncut(parts, needs.standbys, cut);
  if (cut.length === 0 || needs.minReplicas <= uncut) {
    failures.push(
      `it needs ${needs.minReplicas} replica(s) for a write, and ${cut.length === 0 ? 'none' : `all but ${uncut}`} of those that it had could be cut from it`,
    );
    return undefined;
  }
  const regions = cut.map(({ region }) => region).join(', ');
  const waitMs = way === 'cannot-acknowledge' ? needs.maxLagMs + lagSlackMs : 0;
  if (waitMs > 0) {
    step.progress(`waiting ${waitMs} ms until it can no longer count on ${regions}`);
    await clock.sleep(waitMs, step.signal);
  }
  return {
    way,
    sinceMs: clock.nowMs(),
    evidence: `${why}; it needs ${needs.minReplicas} replica(s) for a write, and ${regions} no longer follow(s) it${waitMs > 0 ? `, for ${waitMs} ms now; should it only have been paused, it may acknowledge for up to 1 s after it wakes` : ''}`,
    ...(needs.position ? { position: needs.position } : {}),
  };
}

/** Replicas that may still give it their word. Those known by address alone are taken to be the sites that followed it and were not known by name. */
function countUncut({ context }: RedisSiteParts, standbys: readonly string[], cut: readonly CutSite[]): number {
  const named = standbys.filter((member) => context.sites.has(member));
  const uncutNamed = named.filter((member) => !cut.some(({ region }) => region === member)).length;
  const nameless = standbys.length - named.length;
  const takenForThem = cut.filter(({ region, followed }) => followed && !named.includes(region)).length;
  return uncutNamed + Math.max(0, nameless - takenForThem);
}

async function byHands(
  parts: RedisSiteParts,
  want: JsonObject,
  signal: AbortSignal,
  failures: string[],
): Promise<AbsenceProof | undefined> {
  const { context } = parts;
  if (context.hands === undefined) {
    failures.push('the site has no hands to stop it');
    return undefined;
  }
  try {
    const file = siteConfigFile(parts, signal, want.lastKnown as JsonObject | undefined);
    await file.change(barrierIn);
    if (!(await nothingListens(parts, signal))) await stopServer(parts, signal);
    if (!(await nothingListens(parts, signal))) {
      failures.push('it still listens after its stop command');
      return undefined;
    }
    const evidence = `nothing listens at ${addressOf(targetOf(context.site))} on its host, and ${file.path} makes it refuse writes when it starts`;
    const position = (want.lastKnown as JsonObject | undefined)?.position as JsonObject | undefined;
    return { way: 'stopped', sinceMs: context.host.clock.nowMs(), evidence, configFile: file.path, ...(position ? { position } : {}) };
  } catch (error) {
    if (signal.aborted || !(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    failures.push(`by hands: ${error.message}`);
    return undefined;
  }
}
