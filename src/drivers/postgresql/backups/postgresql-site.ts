/** A site of PostgreSQL as its backups see it. */
import type { SiteContext } from '../../../contracts/site-context.ts';
import { addressOf, type ComponentOptions, type SiteOptions } from '../options.ts';
import type { Address } from '../ports.ts';

export type PostgresqlSite = SiteContext<ComponentOptions, SiteOptions>;

/** How we come in for the replication protocol. */
export function replicationAddress(site: SiteOptions): Address {
  const address = addressOf(site);
  return site.replication ? { ...address, user: site.replication.user, password: site.replication.password } : address;
}
