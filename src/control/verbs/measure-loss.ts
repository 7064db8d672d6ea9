/**
 * measure-loss {component, region, from, fencedAtMs?, nothingAlone?, reachedAtMs?}: counts the canary rows that survived at the new primary, before new ones are written there. The result is kept as the
 * step's note, so it is taken once, whatever happens after. `nothingAlone` says that the source's last position had arrived before the promotion.
 */
import { formatDuration } from '../../base/durations.ts';
import { formatInstant } from '../../base/instants.ts';
import type { JsonObject } from '../../base/json.ts';
import { isImmediateEvidence, type Observation } from '../../contracts/observation.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { computeLoss, type EndOfSite } from '../../watch/loss.ts';
import { siteKey } from '../../watch/site-key.ts';
import { type CanaryRecord, canaryRecordKey, type SiteRecord, siteRecordKey, toJson } from '../../watch/watch-records.ts';
import type { PlatformParts } from './platform-verb.ts';

/** The process that serves may know a newer row than this one, or the other way round. */
async function newestCanary(parts: PlatformParts, component: string): Promise<CanaryRecord | undefined> {
  const stored = (await parts.store.get(canaryRecordKey(component)))?.value as unknown as CanaryRecord | undefined;
  const own = parts.watch.canaries.get(component);
  return stored && own ? (stored.newest.number >= own.newest.number ? stored : own) : (stored ?? own);
}

async function latestOf(parts: PlatformParts, component: string, region: string): Promise<Observation | undefined> {
  const key = siteKey(component, region);
  return (
    parts.watch.observations.get(key) ?? ((await parts.store.get(siteRecordKey(key)))?.value as unknown as SiteRecord | undefined)?.latest
  );
}

function endOf(parts: PlatformParts, want: JsonObject, latest: Observation | undefined): EndOfSite {
  const before = parts.watch.lastUp.get(siteKey(String(want.component), String(want.from)));
  const synchronous =
    parts.spec.components.get(String(want.component))?.replication === 'synchronous' && before?.replication?.synchronous === true;
  return {
    ...(latest?.failureSeenMs !== undefined && isImmediateEvidence(latest.evidence.kind) ? { goneAtMs: latest.failureSeenMs } : {}),
    ...(typeof want.fencedAtMs === 'number' ? { fencedAtMs: want.fencedAtMs } : {}),
    nowMs: parts.host.clock.nowMs(),
    nothingAlone: synchronous || want.nothingAlone === true,
  };
}

/** What was brought back from a backup has everything up to an instant, and nothing after it. */
async function lossByInstant(parts: PlatformParts, want: JsonObject, reachedAtMs: number): Promise<JsonObject> {
  const [component, from] = [String(want.component), String(want.from)];
  const end = endOf(parts, want, await latestOf(parts, component, from));
  const toMs = Math.max(reachedAtMs, Math.min(end.goneAtMs ?? end.nowMs, end.fencedAtMs ?? end.nowMs));
  return {
    component,
    lostCanaries: 0,
    measured: true,
    window: { fromMs: reachedAtMs, toMs },
    detail: `brought back to ${formatInstant(reachedAtMs)}: what was written in the ${formatDuration(toMs - reachedAtMs)} after it is lost`,
  };
}

export function measureLoss(parts: PlatformParts): Verb {
  return {
    inspect: async (_want, context) => {
      if (context.note === undefined) return { state: 'absent', why: 'not counted yet' };
      return { state: 'done', output: context.note as JsonObject };
    },
    apply: async (want, context) => {
      const [component, region, from] = [String(want.component), String(want.region), String(want.from)];
      const canary = parts.sites.get(siteKey(component, region))?.canary;
      if (!canary && typeof want.reachedAtMs === 'number') {
        await context.keepNote(await lossByInstant(parts, want, want.reachedAtMs));
        return;
      }
      if (!canary) {
        // Some systems can't take a canary: then the loss is unproven, which is an answer and no failure.
        const detail = `${component} takes no canary, so its loss is unproven`;
        await context.keepNote({ component, lostCanaries: 0, measured: false, detail });
        return;
      }
      const record = await newestCanary(parts, component);
      const surviving = await canary.read(context.signal);
      const latest = await latestOf(parts, component, from);
      const everyMs = parts.spec.components.get(component)?.canaryEveryMs ?? 1_000;
      const loss = computeLoss(component, record?.newest, surviving, everyMs, endOf(parts, want, latest));
      await context.keepNote(
        toJson({
          ...loss,
          ...(latest?.failingSinceMs === undefined ? {} : { cutAtMs: latest.failingSinceMs }),
          ...(record ? { lastAcknowledgedAtMs: record.newest.acknowledgedAtMs } : {}),
        }),
      );
    },
  };
}
