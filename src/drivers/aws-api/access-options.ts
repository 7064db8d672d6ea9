/** How a driver gets to a service of AWS, or to one that speaks as AWS does: keys for its options, and the options of a client that follow from them. */
import { z } from 'zod';
import { assert } from '../../base/assert.ts';
import { Secret } from '../../base/secret.ts';
import { secretReference } from '../../contracts/secret-reference.ts';

/** To be spread into the strict object of a driver's options. */
export const awsAccessOptions = {
  endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where the service answers, for one that is not at the usual address of AWS'),
  'access-key-id': secretReference
    .optional()
    .describe(
      'The access key; without it the credentials are looked for where the tools of AWS look (environment, files, role of the machine)',
    ),
  'secret-access-key': secretReference.optional().describe('The secret of the access key'),
  'session-token': secretReference.optional().describe('The token of temporary credentials'),
};

export type AwsAccess = { readonly [K in keyof typeof awsAccessOptions]?: z.output<(typeof awsAccessOptions)[K]> | undefined };

export interface AccessFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function findAccessFaults(access: AwsAccess, path: readonly (string | number)[]): readonly AccessFault[] {
  if ((access['access-key-id'] === undefined) === (access['secret-access-key'] === undefined)) return [];
  const missing = access['access-key-id'] === undefined ? 'access-key-id' : 'secret-access-key';
  return [
    {
      path: [...path, missing],
      message: `${missing} is missing`,
      hint: 'Give both, or neither: then the credentials are looked for where the tools of AWS look.',
    },
  ];
}

/** What is not set is left to the SDK. Secrets are revealed here and handed to it. */
export function clientAccess(access: AwsAccess, region: string) {
  const id = revealed(access['access-key-id']);
  const secret = revealed(access['secret-access-key']);
  const token = revealed(access['session-token']);
  return {
    region,
    ...(access.endpoint === undefined ? {} : { endpoint: access.endpoint }),
    ...(id === undefined || secret === undefined
      ? {}
      : { credentials: { accessKeyId: id, secretAccessKey: secret, ...(token === undefined ? {} : { sessionToken: token }) } }),
  };
}

function revealed(secret: unknown): string | undefined {
  if (secret === undefined) return undefined;
  assert(secret instanceof Secret, 'secrets are resolved before a site is opened');
  return secret.reveal();
}
