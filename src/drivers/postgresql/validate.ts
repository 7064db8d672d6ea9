/** Faults in a component that its schemas can't see. */
import type { Replication } from '../../contracts/replication.ts';
import { type ComponentOptions, memberOf, type SiteOptions } from './options.ts';

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function validateComponent(component: {
  readonly options: ComponentOptions;
  readonly sites: ReadonlyMap<string, SiteOptions>;
  readonly replication: Replication;
}): readonly Fault[] {
  const faults: Fault[] = [];
  const addresses = new Map<string, string>();
  const members = new Map<string, string>();
  for (const [region, site] of component.sites) {
    const url = new URL(site.url);
    const address = `${url.hostname}:${url.port || '5432'}`;
    const other = addresses.get(address);
    if (other !== undefined) {
      faults.push({
        path: ['sites', region, 'url'],
        message: `${address} is also the address of ${other}`,
        hint: 'Each site is a server of its own.',
      });
    }
    addresses.set(address, region);
    // The default of one region can equal the name that another one chose.
    const member = memberOf('', region, site);
    const twin = members.get(member);
    if (twin !== undefined) {
      faults.push({
        path: ['sites', region, 'member'],
        message: `${member} is also the name of ${twin}`,
        hint: 'Give each site a member name of its own.',
      });
    }
    members.set(member, region);
    if (site.tls?.mode === 'verify-ca' && site.tls.ca === undefined) {
      faults.push({
        path: ['sites', region, 'tls'],
        message: 'verify-ca needs the authority to verify against',
        hint: 'Add ca: with the path of a PEM file.',
      });
    }
  }
  if (component.replication === 'synchronous' && component.sites.size < 2) {
    faults.push({
      path: ['replication'],
      message: 'synchronous replication needs a second site',
      hint: 'Add a site in another region, or say replication: asynchronous.',
    });
  }
  return faults;
}
