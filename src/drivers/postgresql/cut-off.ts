/**
 * The proof that needs nothing of a dead region: a primary that acknowledges a write only with a standby's word, and standbys that will never give it again.
 *
 * Each standby that the primary may have counted on forgets its primary_conninfo (durably, so a restart of it changes nothing) and is then seen without a receiver. What
 * reached it before that is on it and survives; what did not is never acknowledged.
 * It does not cover sessions that chose not to wait (synchronous_commit off or local), nor a waiting commit that somebody cancels at the old primary.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { FenceProof, LastKnown, StepContext } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';

const pollMs = 5;
const cutTimeoutMs = 5_000;
const lookMs = 1_000;

/**
 * By its settings, not by whether a standby happened to be connected: a primary whose standby has just gone waits, and acknowledges nothing either. (A probe that lands
 * between the end of the walsender and that of the server sees exactly that.)
 */
function needsAWord(lastKnown: LastKnown): boolean {
  const { synchronousNeeded, synchronousCommit } = lastKnown;
  if (typeof synchronousNeeded !== 'number') return lastKnown.synchronous;
  return synchronousNeeded >= 1 && synchronousCommit !== 'off' && synchronousCommit !== 'local';
}

/** The regions whose standbys can give their word, or why that proof can't be had. */
export function regionsToCut(access: Access, want: JsonObject): readonly string[] | string {
  const lastKnown = want['lastKnown'] as LastKnown | undefined;
  if (!lastKnown) return 'nothing is known of how it acknowledged writes';
  if (!needsAWord(lastKnown)) return 'it acknowledged writes without a standby';
  const facts = lastKnown['synchronousStandbys'];
  const names = Array.isArray(facts) ? facts.map(String) : lastKnown.standbys;
  if (names.length === 0) return 'it is not known whose word it waited for';
  const regions: string[] = [];
  for (const name of names) {
    const region = access.otherRegions().find((each) => access.member(each) === name);
    if (region === undefined) return `it may count on ${name}, which is none of our sites`;
    regions.push(region);
  }
  return regions;
}

export async function inspectCut(access: Access, want: JsonObject, signal: AbortSignal): Promise<FenceProof | string> {
  const regions = regionsToCut(access, want);
  if (typeof regions === 'string') return regions;
  for (const region of regions) {
    try {
      const limit = access.limit(signal, lookMs);
      const status = await access.read('verb', limit, (connection) => connection.readStatus(limit), region);
      if (status.inRecovery && status.settings.primary_conninfo !== '') return `${region} may still follow it`;
      if (status.inRecovery && status.receiver) return `${region} still receives`;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.kind === 'bug') throw error;
      return `${region}: ${error.message}`;
    }
  }
  return {
    proof: 'cannot-acknowledge',
    evidence: `${access.subject} acknowledges no write without ${regions.join(' or ')}, and ${regions.join(' and ')} has been cut off from it for good`,
    sinceMs: access.context.host.clock.nowMs(),
  };
}

export async function cutOffSurvivors(access: Access, want: JsonObject, context: StepContext): Promise<'cut-off'> {
  const regions = regionsToCut(access, want);
  if (typeof regions === 'string') throw fail('FENCE_NOT_PROVEN', { subject: access.subject, message: regions });
  await Promise.all(regions.map((region) => cutOff(access, region, context)));
  return 'cut-off';
}

async function cutOff(access: Access, region: string, context: StepContext): Promise<void> {
  const { clock } = access.context.host;
  const limit = access.limit(context.signal, lookMs);
  const connection = await access.connection('verb', limit, region);
  // A primary follows nobody: it was promoted before, and can't give its word to anybody.
  if (!(await connection.isInRecovery(limit))) return;
  await connection.changeSettings({ primary_conninfo: '' }, limit);
  const startedMs = clock.monotonicMs();
  for (;;) {
    const status = await connection.readStatus(limit);
    if (status.settings.primary_conninfo === '' && !status.receiver) return;
    if (clock.monotonicMs() - startedMs > cutTimeoutMs) {
      throw fail('TIMED_OUT', {
        subject: access.subject,
        message: `${region} still receives ${cutTimeoutMs} ms after it was told to stop`,
      });
    }
    await clock.sleep(pollMs, context.signal);
  }
}
