/** A repository of backups in a bucket: Amazon S3, or a service that speaks as it does. */
import { z } from 'zod';
import type { Secret } from '../../base/secret.ts';
import { defineRepositoryBackend, isObjectName } from '../../contracts/repository-backend.ts';
import { secretReference } from '../../contracts/secret-reference.ts';
import { AwsKms } from './aws-kms.ts';
import { S3Store } from './s3-store.ts';

const options = z
  .strictObject({
    bucket: z
      .string()
      .min(1)
      .meta({ description: 'Name of the bucket', examples: ['dr-backups'] }),
    region: z
      .string()
      .min(1)
      .meta({ description: 'Region of the bucket', examples: ['us-west-2'] })
      .optional(),
    endpoint: z
      .url({ protocol: /^https?$/, error: 'this is not an http or https address' })
      .meta({ description: 'Address of an S3-compatible service', examples: ['https://s3.example.com'] })
      .optional(),
    prefix: z
      .string()
      .refine((text) => isObjectName(`${text}x`), { error: 'an object can not be named so' })
      .meta({ description: 'What the names of all objects begin with', examples: ['orders/'] })
      .optional(),
    'access-key-id': secretReference
      .meta({ description: 'Where the access key id is; left out: where the AWS tools look', examples: [{ env: 'AWS_ACCESS_KEY_ID' }] })
      .optional(),
    'secret-access-key': secretReference
      .meta({ description: 'Where the secret access key is', examples: [{ env: 'AWS_SECRET_ACCESS_KEY' }] })
      .optional(),
    'session-token': secretReference
      .meta({ description: 'Where the token of temporary credentials is', examples: [{ env: 'AWS_SESSION_TOKEN' }] })
      .optional(),
    'key-service-endpoint': z
      .url({ protocol: /^https?$/, error: 'this is not an http or https address' })
      .meta({
        description: 'Address of the key management service, where it is not that of the region',
        examples: ['https://kms.example.com'],
      })
      .optional(),
    'lock-mode': z
      .enum(['compliance', 'governance'])
      .meta({
        description: 'Whether "lock" binds everybody (compliance), or all but those who were given the right to get around it (governance)',
        examples: ['compliance'],
      })
      .default('compliance'),
  })
  .superRefine((value, context) => {
    if ((value['access-key-id'] === undefined) === (value['secret-access-key'] === undefined)) return;
    const missing = value['access-key-id'] === undefined ? 'access-key-id' : 'secret-access-key';
    context.addIssue({
      code: 'custom',
      path: [missing],
      message: 'an access key has an id and a secret; one of them is missing',
      params: { hint: `Add ${missing}, or leave out both: then the credentials are looked for where the AWS tools look.` },
    });
  });

export const backend = defineRepositoryBackend<z.output<typeof options>>({
  name: 's3',
  title: 'A bucket of S3, or of a service like it',
  options,
  open: (given, host, wishes) =>
    new S3Store(
      {
        bucket: given.bucket,
        region: given.region,
        endpoint: given.endpoint,
        prefix: given.prefix ?? '',
        // The spec loader has put the secrets in the place of the references.
        accessKeyId: given['access-key-id'] as Secret | undefined,
        secretAccessKey: given['secret-access-key'] as Secret | undefined,
        sessionToken: given['session-token'] as Secret | undefined,
        lockMode: given['lock-mode'],
        storeKey: wishes?.storeKey,
      },
      host,
    ),
  openKeyVault: (given, host, key) =>
    new AwsKms(
      {
        key,
        region: given.region,
        endpoint: given['key-service-endpoint'],
        accessKeyId: given['access-key-id'] as Secret | undefined,
        secretAccessKey: given['secret-access-key'] as Secret | undefined,
        sessionToken: given['session-token'] as Secret | undefined,
      },
      host,
    ),
});
