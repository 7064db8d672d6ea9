/**
 * Records of sites for a state that several controllers share: so many sites in one record that a thousand of them cost a handful of writes. A pack is written when one of its sites
 * looks different, and otherwise in its turn, so that none grows old; what is in it is the newest that was seen of each.
 */
import type { Change } from '../contracts/state-store.ts';
import type { SiteKey } from './site-key.ts';
import { putRecord, type SiteRecord, sitePackPrefix } from './watch-records.ts';

const sitesPerPack = 32;
const refreshEveryMs = 5_000;

export class SitePacks {
  readonly #packs: readonly (readonly SiteKey[])[];
  readonly #packOf = new Map<SiteKey, number>();
  #next = 0;
  #refreshedAtMonotonicMs: number | undefined;

  constructor(sites: Iterable<SiteKey>) {
    const sorted = [...sites].sort();
    const packs: SiteKey[][] = [];
    for (const [index, site] of sorted.entries()) {
      const number = Math.floor(index / sitesPerPack);
      packs[number] ??= [];
      packs[number].push(site);
      this.#packOf.set(site, number);
    }
    this.#packs = packs;
  }

  /** The pack of a site that looks different now. */
  changed(site: SiteKey, recordOf: (site: SiteKey) => SiteRecord | undefined): Change {
    return this.#write(this.#packOf.get(site) ?? 0, recordOf);
  }

  /** One pack, when its turn has come. */
  refresh(monotonicMs: number, recordOf: (site: SiteKey) => SiteRecord | undefined): Change | undefined {
    if (this.#packs.length === 0) return undefined;
    if (this.#refreshedAtMonotonicMs !== undefined && monotonicMs - this.#refreshedAtMonotonicMs < refreshEveryMs) return undefined;
    this.#refreshedAtMonotonicMs = monotonicMs;
    this.#next = (this.#next + 1) % this.#packs.length;
    return this.#write(this.#next, recordOf);
  }

  #write(number: number, recordOf: (site: SiteKey) => SiteRecord | undefined): Change {
    const records = (this.#packs[number] ?? []).flatMap((site) => {
      const record = recordOf(site);
      return record ? [[site, record] as const] : [];
    });
    return putRecord(`${sitePackPrefix}${String(number).padStart(4, '0')}`, Object.fromEntries(records));
  }
}
