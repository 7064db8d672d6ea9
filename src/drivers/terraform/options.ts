/** What the spec says of infrastructure that is kept as Terraform (or OpenTofu) configuration. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { commandEnvironment } from '../../contracts/site-command.ts';

const absolutePath = (description: string) => z.string().regex(/^\//, 'is not an absolute path').describe(description);

export const componentOptions = z.strictObject({
  program: z.string().min(1).default('terraform').describe('The program: terraform, tofu, or a path'),
  'var-files': z.array(absolutePath('One file')).default([]).describe('Files of variables, on the machine of the hands'),
  'approve-destroy': z
    .array(z.string().min(1).describe('One address: aws_instance.old'))
    .default([])
    .describe('Addresses of resources that may be destroyed, replaced or forgotten; every other such change blocks'),
  refresh: z.boolean().default(true).describe('Ask the providers how things are; false where they ask a region that may be dark'),
  'lock-timeout': duration('How long to wait for the lock of the state; a lock is never forced').prefault('60s'),
  'apply-timeout': duration('How long planning or applying may take').prefault('1h'),
  env: commandEnvironment.optional(),
});

export const siteOptions = z.strictObject({
  directory: absolutePath('The directory of the configuration, on the machine of the hands'),
  'var-files': z.array(absolutePath('One file')).optional().describe('Instead of those of the component'),
  'reviewed-plan': absolutePath('A saved plan that people have reviewed: run applies this one and no other').optional(),
  'state-in': z.string().min(1).optional().describe('The region in which the state is kept, where its backend does not tell'),
});

export type TerraformOptions = z.output<typeof componentOptions>;
export type TerraformSiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function findFaults({ sites }: { readonly sites: ReadonlyMap<string, TerraformSiteOptions> }): readonly Fault[] {
  const regions = new Set(sites.keys());
  return [...sites].flatMap(([region, site]) => {
    const place = site['state-in'];
    return place === undefined || place === region || !regions.has(place) ? [] : [stateElsewhere(region, place)];
  });
}

const stateElsewhere = (region: string, place: string): Fault => ({
  path: ['sites', region, 'state-in'],
  message: `the state that ${region} is built by lies in ${place}: when that region is dark, nothing can be built here`,
  hint: 'Keep a state of its own for each region, in that region or in one that is not lost with another.',
});
