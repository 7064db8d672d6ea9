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
          const lacking = (catalog.get(component.driver)?.verbs ?? [])
            .filter((each) => each.needsHands && (each.verb === 'follow' || each.verb === 'salvage'))
            .map((each) => each.verb);
          if (lacking.length === 0) return undefined;
          if (spec.state && component.sites.get(region)?.hands?.kind === 'local')
            return {
              ...where,
              severity: 'warning',
              message: `${component.name} in ${region} has hands only beside the controller of ${region}${ownRegion === undefined ? ', and nobody said in which region this command runs' : ''}: only that one can re-protect it (${lacking.join(', ')}), and a failover away from ${region} must prove its fence without them`,
              hint: 'Give the site ssh hands as well if others should be able to; HOLDFAST_REGION says where a command runs.',
            };
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
