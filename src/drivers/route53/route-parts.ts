/** What everything that looks at the records or changes them is given. */
import type { Host } from '../../host/host.ts';
import type { Route53 } from './client.ts';
import type { ComponentOptions, SiteOptions } from './options.ts';

export interface RouteParts {
  readonly host: Host;
  readonly client: Route53;
  readonly options: ComponentOptions;
  readonly sites: ReadonlyMap<string, SiteOptions>;
  readonly probeTimeoutMs: number;
}
