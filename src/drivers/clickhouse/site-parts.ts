/** A site with its client, opened on first use: the certificate authority is a file. */
import type { SiteContext } from '../../contracts/site-context.ts';
import { ClickhouseClient } from './client.ts';
import type { ClickhouseOptions, ClickhouseSiteOptions } from './options.ts';

export type ClickhouseContext = SiteContext<ClickhouseOptions, ClickhouseSiteOptions>;

export async function openClient({ host, site, options }: ClickhouseContext): Promise<ClickhouseClient> {
  const trust = site.ca === undefined ? {} : { ca: await host.files.readText(site.ca) };
  return new ClickhouseClient(host, { url: site.url, user: options.user, password: options.password, trust });
}
