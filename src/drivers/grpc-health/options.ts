/** What the spec says about a server that tells its health by grpc.health.v1. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import { headerOptions } from '../../contracts/workload/endpoint.ts';

export const componentOptions = z.strictObject({
  services: z
    .array(z.string())
    .min(1)
    .default([''])
    .describe('The services to ask for, as package.Service; an empty name asks for the server as a whole. All of them must be serving'),
  timeout: duration('How long to wait for the answers, at most the time limit of a probe').optional(),
});

export type ComponentOptions = z.output<typeof componentOptions>;

export const siteOptions = z.strictObject({
  address: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, 'not host:port')
    .meta({ description: 'Where the server answers in this region', examples: ['10.0.1.7:50051'] }),
  tls: z
    .strictObject({
      ca: z
        .string()
        .min(1)
        .optional()
        .describe('Path of a file with the certificate authority (PEM) to trust instead of those of the system'),
      certificate: z.string().min(1).optional().describe('Path of a file with our own certificate (PEM), where the server asks for one'),
      key: secretReference.optional().describe('The key of our certificate (PEM)'),
      'server-name': z.string().min(1).optional().describe('The name that its certificate is for, where it is not that of address'),
    })
    .optional()
    .describe('The connection is encrypted; without it, it is plain'),
  headers: headerOptions.optional(),
});

export type SiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function validateOptions({ sites }: { readonly sites: ReadonlyMap<string, SiteOptions> }): readonly Fault[] {
  return [...sites].flatMap(([region, { tls }]) =>
    (tls?.certificate === undefined) === (tls?.key === undefined)
      ? []
      : [{ path: ['sites', region, 'tls'], message: 'certificate and key belong together', hint: 'Give both, or neither.' }],
  );
}
