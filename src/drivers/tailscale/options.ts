/** What the spec says of a tailnet between regions: which nodes a region has, and which of their ports the other regions must reach. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';

export const componentOptions = z.strictObject({
  program: z.string().min(1).default('tailscale').describe('The program: tailscale, or a path'),
  tailnet: z.string().min(1).optional().describe('Name of the tailnet that must answer; another one is never taken for it'),
  'key-expiry': duration('How long before the key of a node ends that is a fault').prefault('14d'),
});

export const siteOptions = z.strictObject({
  nodes: z
    .array(
      z.strictObject({
        name: z.string().min(1).describe('Its name in the tailnet (the first part of its DNS name), or the whole DNS name'),
        ports: z.array(z.int().min(1).max(65_535)).default([]).describe('TCP ports that the other regions must reach'),
      }),
    )
    .default([])
    .describe('The nodes of this region that the other regions must see'),
});

export type TailscaleOptions = z.output<typeof componentOptions>;
export type TailscaleSiteOptions = z.output<typeof siteOptions>;
export type NodeOptions = TailscaleSiteOptions['nodes'][number];

export function findFaults({ sites }: { readonly sites: ReadonlyMap<string, TailscaleSiteOptions> }) {
  const regions = [...sites];
  const names = regions.flatMap(([region, { nodes }]) =>
    nodes.map(({ name }, at) => ({ name, path: ['sites', region, 'nodes', at, 'name'] })),
  );
  return [
    ...names
      .filter(({ name }, at) => names.findIndex((each) => each.name === name) < at)
      .map(({ name, path }) => ({ path, message: `the node ${name} is named twice`, hint: 'A node is in one region.' })),
    ...(names.length === 0 && regions.length > 0
      ? [
          {
            path: ['sites'],
            message: 'no region has nodes: there is nothing to look for',
            hint: 'Name below nodes what the other regions must see.',
          },
        ]
      : []),
  ];
}
