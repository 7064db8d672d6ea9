/** Everything that a driver needs to know of a site, and the world that it acts through. */
import type { Host } from '../host/host.ts';
import type { Hands } from './hands.ts';
import type { Replication } from './replication.ts';

/** What a driver is given to open a site. `C` and `S` are the parsed options of component and site. */
export interface SiteContext<C, S> {
  readonly host: Host;
  readonly platform: string;
  readonly component: string;
  readonly region: string;
  readonly options: C;
  readonly site: S;
  /** The other sites of the component, by region (this one included). */
  readonly sites: ReadonlyMap<string, S>;
  /** From the component's `replication` key. */
  readonly replication: Replication;
  readonly hands: Hands | undefined;
  /** Time limit of a single probe. */
  readonly probeTimeoutMs: number;
}
