/**
 * verify {region, standby?}: every component of the region is up in its role and a canary of the new epoch has been acknowledged there; with `standby`, that region follows. Its output is the
 * measured outage: from the first evidence of the end (or, planned, the last acknowledged canary) to the first canary acknowledged in the new place.
 */
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, Verb } from '../../contracts/verbs.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { siteKey } from '../../watch/site-key.ts';
import { computeSiteState } from '../../watch/verdict.ts';
import { readCanaryRecords } from '../../watch/watch-records.ts';
import type { PlatformParts } from './platform-verb.ts';

async function notYetUp(parts: PlatformParts, region: string, standby: string | undefined): Promise<string[]> {
  const missing: string[] = [];
  for (const component of parts.spec.components.values()) {
    if (!component.sites.has(region)) continue;
    const observation = await parts.watch.probeNow(component.name, region);
    const state = computeSiteState(observation, 1);
    if (state !== 'up') missing.push(`${component.name} in ${region} is ${state}: ${observation?.evidence.detail ?? 'not looked at'}`);
    else if (
      component.kind !== 'workload' &&
      observation?.role !== undefined &&
      observation.role !== 'primary' &&
      observation.role !== 'none'
    )
      missing.push(`${component.name} in ${region} is ${observation.role}`);
    if (standby === undefined || component.kind !== 'data' || !component.sites.has(standby) || component.replication === 'none') continue;
    const link = (await parts.watch.probeNow(component.name, standby))?.replication?.upstream?.link;
    if (link !== 'up') missing.push(`${component.name} in ${standby} does not receive (link ${link ?? 'unknown'})`);
  }
  return missing;
}

async function missingCanaries(
  parts: PlatformParts,
  region: string,
  epoch: number,
): Promise<{ missing: string[]; firstAtMs: Record<string, number> }> {
  const records = await readCanaryRecords(parts.store);
  // The process that serves may know a newer row than this one, or the other way round.
  for (const [component, own] of parts.watch.canaries)
    if (own.newest.number > (records.get(component)?.newest.number ?? 0)) records.set(component, own);
  const missing: string[] = [];
  const firstAtMs: Record<string, number> = {};
  for (const component of parts.spec.components.values()) {
    if (component.kind !== 'data' || !parts.sites.get(siteKey(component.name, region))?.canary) continue;
    const record = records.get(component.name);
    if (record && record.newest.region === region && record.newest.epoch >= epoch)
      firstAtMs[component.name] = record.firstOfEpoch.acknowledgedAtMs;
    else missing.push(`no canary of ${component.name} has been acknowledged in ${region} yet`);
  }
  return { missing, firstAtMs };
}

export function verify(parts: PlatformParts): Verb {
  return {
    inspect: async (want): Promise<Inspection> => {
      const region = String(want.region);
      const epoch = (await readPlatformState(parts.store))?.state.epoch ?? 0;
      const [up, canaries] = await Promise.all([
        notYetUp(parts, region, want.standby === undefined ? undefined : String(want.standby)),
        missingCanaries(parts, region, epoch),
      ]);
      const missing = [...up, ...canaries.missing];
      if (missing.length > 0) return { state: 'pending', why: missing.join('; ') };
      const output: JsonObject = { region, firstCanaryAtMs: canaries.firstAtMs };
      return { state: 'done', output };
    },
    apply: async () => {},
  };
}
