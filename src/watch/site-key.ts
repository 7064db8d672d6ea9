/** The one way to name a site in maps and in the state: `orders-db@us-east-1`. */
export type SiteKey = `${string}@${string}`;

export function siteKey(component: string, region: string): SiteKey {
  return `${component}@${region}`;
}
