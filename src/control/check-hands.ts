/** Whether commands can be run where plans will need them, found out before anyone needs them. */
import { asHoldfastError } from '../base/errors.ts';
import type { DriverCatalog } from '../contracts/driver.ts';
import type { Hands } from '../contracts/hands.ts';
import type { Clock } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import type { ReadinessFault } from '../watch/readiness.ts';
import { type SiteKey, siteKey } from '../watch/site-key.ts';

const checkTimeoutMs = 10_000;

export async function checkHands(
  spec: Spec,
  catalog: DriverCatalog,
  hands: ReadonlyMap<SiteKey, Hands>,
  clock: Clock,
  ownRegion?: string,
): Promise<readonly ReadinessFault[]> {
  const faults = await Promise.all(
    [...spec.components.values()].flatMap((component) =>
      [...component.sites.keys()].map(async (region): Promise<ReadinessFault | undefined> => {
        const where = { component: component.name, region };
        const own = hands.get(siteKey(component.name, region));
        if (!own) {
          const byHands = (catalog.get(component.driver)?.verbs ?? []).filter((each) => each.needsHands).map((each) => each.verb);
          if (spec.state && component.sites.get(region)?.hands?.kind === 'local')
            return byHands.length === 0 ? undefined : handsElsewhere(component.name, region, byHands, ownRegion);
          const lacking = byHands.filter((verb) => verb === 'follow' || verb === 'salvage');
          if (lacking.length === 0) return undefined;
          return {
            ...where,
            severity: 'problem',
            message: `${component.name} in ${region} has no hands: once lost, it can't be re-protected (${lacking.join(', ')})`,
            hint: 'Give the site hands: local or ssh.',
          };
        }
        const limit = new AbortController();
        const cancel = clock.after(checkTimeoutMs, () => limit.abort(new Error(`no answer within ${checkTimeoutMs} ms`)));
        try {
          await own.check(limit.signal);
          return undefined;
        } catch (thrown) {
          const error = asHoldfastError(thrown);
          return {
            ...where,
            severity: 'problem',
            message: `no command can be run for ${component.name} in ${region} (${own.name}): ${error.message}`,
            hint: error.hint,
          };
        } finally {
          cancel();
        }
      }),
    ),
  );
  return faults.filter((fault) => fault !== undefined);
}

/** Several controllers: the hands are there, and only one of them has them. */
function handsElsewhere(component: string, region: string, verbs: readonly string[], ownRegion: string | undefined): ReadinessFault {
  const from = ownRegion === undefined ? '; nobody said in which region this command runs' : '';
  return {
    component,
    region,
    severity: 'warning',
    message: `${component} in ${region} has hands only beside the controller of ${region}: no other can run plans that need them (${verbs.join(', ')}), nor prove a fence by them${from}`,
    hint: 'Give the site ssh hands if others should be able to. HOLDFAST_REGION says where a command runs.',
  };
}
