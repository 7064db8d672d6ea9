/**
 * The `repositories` section: where backups are kept, how they are encrypted, for how long nothing of them can be removed. What a kind of repository needs besides is the business of
 * its own schema, as with drivers.
 */
import { z } from 'zod';
import { nearestWord } from '../base/nearest.ts';
import { Secret } from '../base/secret.ts';
import { secretReference } from '../contracts/secret-reference.ts';
import { boundedDuration, dayMs, hourMs } from './bounded-duration.ts';
import type { FaultCollector } from './fault-collector.ts';
import { childOf, entriesOf, type LocatedNode, pickEntries } from './located-node.ts';
import type { EncryptionSpec, RepositorySpec } from './repository-spec.ts';
import { scheduleOf } from './schedule-spec.ts';
import { schedule } from './schedules.ts';
import type { Schema } from './schema-shape.ts';
import type { SecretPlacement } from './secret-placement.ts';
import { nameSchema } from './section-schemas.ts';

/** What the spec has to know of a kind of repository. */
export interface RepositoryKind {
  readonly name: string;
  readonly title: string;
  /** Strict object with a description on every key. */
  readonly options: z.ZodType;
  /** Where a key management service stands beside it. */
  readonly openKeyVault?: unknown;
}
export type RepositoryKinds = ReadonlyMap<string, RepositoryKind>;

const secret = (description: string, file: string) => secretReference.meta({ description, examples: [{ file }] });

export const repositoryCommonSchema = z.strictObject({
  driver: z
    .string()
    .min(1)
    .meta({ description: 'The kind of place; each has keys of its own beside these', examples: ['filesystem', 's3'] }),
  'in-region': nameSchema.meta({ description: 'The region whose loss takes the repository along', examples: ['us-west-2'] }).optional(),
  encryption: z
    .strictObject({
      passphrase: secret('A passphrase that opens the repository', '/etc/holdfast/backup.passphrase').optional(),
      key: secret('A key of 32 bytes that opens the repository, in hexadecimal or base64', '/etc/holdfast/backup.key').optional(),
      'key-service': z
        .string()
        .min(1)
        .meta({
          description: 'Key of a key management service that opens the repository: an id, an ARN or an alias (for driver: s3, AWS KMS)',
          examples: ['alias/holdfast-backups'],
        })
        .optional(),
      kms: z
        .string()
        .min(1)
        .meta({
          description: 'Key of a key management service, by which the store encrypts what it is given',
          examples: ['alias/holdfast'],
        })
        .optional(),
    })
    .superRefine((value, context) => {
      const given = Object.keys(value).filter((key) => value[key as keyof typeof value] !== undefined);
      if (given.length === 0)
        context.addIssue({
          code: 'custom',
          message: 'this names no key',
          params: { hint: 'Write passphrase: { file: PATH }, or key: { file: PATH }.' },
        });
      const openers = given.filter((key) => key !== 'kms');
      if (openers.length > 1)
        context.addIssue({
          code: 'custom',
          message: `a repository is opened by ${openers.length === 2 && !openers.includes('key-service') ? 'a passphrase or by a key, not by both' : 'one of passphrase, key and key-service'}`,
          params: { hint: 'Take one of the two away.' },
        });
    })
    .meta({
      description: 'How what is stored is encrypted (left out: not at all)',
      examples: [{ passphrase: { file: '/etc/holdfast/backup.passphrase' } }],
    })
    .optional(),
  prune: schedule('When what nothing keeps any more is removed (left out: only by holdfast backups prune --yes)').optional(),
  lock: boundedDuration('Nothing stored can be removed for so long', hourMs, 3_650 * dayMs, ['30d']).optional(),
});

const commonKeys = Object.keys(repositoryCommonSchema.shape);

export interface RepositoryReading {
  readonly kinds: RepositoryKinds;
  readonly collector: FaultCollector;
  /** By which the store is reached. */
  readonly secrets: SecretPlacement;
  /** What opens the repository. */
  readonly openers: SecretPlacement;
}

/** The repository, or undefined when it has faults (which the collector then has). */
export async function readRepository(name: string, node: LocatedNode, reading: RepositoryReading): Promise<RepositorySpec | undefined> {
  const { collector, openers, secrets } = reading;
  const path = ['repositories', name];
  if (node.kind !== 'map') {
    collector.add(path, 'value', `repository ${name} must be a map`, 'Write its keys below it, beginning with its driver.');
    return undefined;
  }
  const before = collector.faults.length;
  const own = (key: string) => !commonKeys.includes(key);
  const subject = `repository ${name}`;
  const commonValue = await openers.place(
    pickEntries(node, (key) => !own(key)),
    [repositoryCommonSchema as Schema],
    path,
  );
  const kind = findKind(node, path, reading);
  const common = collector.parseValue(path, commonValue, repositoryCommonSchema, { subject });
  const region = common?.['in-region'];
  const regions = [...entriesOf(childOf(collector.root, 'regions')).keys()];
  if (region !== undefined && regions.length > 0 && !regions.includes(region)) {
    const nearest = nearestWord(region, regions);
    collector.add(
      [...path, 'in-region'],
      'value',
      `repository ${name} is in "${region}", and there is no such region`,
      nearest === undefined ? `There are: ${regions.join(', ')}.` : `Did you mean "${nearest}"?`,
    );
  }
  if (kind === undefined) return undefined;
  const options: unknown = collector.parseValue(
    path,
    await secrets.place(pickEntries(node, own), [kind.options as Schema], path),
    kind.options,
    {
      subject,
      otherKeys: commonKeys,
    },
  );
  if (common?.encryption?.['key-service'] !== undefined && !kind.openKeyVault)
    collector.add(
      [...path, 'encryption', 'key-service'],
      'value',
      `${kind.title} has no key management service beside it`,
      'Write passphrase: { file: PATH } in its place, or keep the repository in a bucket.',
    );
  if (common === undefined || collector.faults.length > before) return undefined;
  const inRegion = region ?? sameNamedRegion(options, regions);
  const encryption = encryptionOf(common.encryption);
  const storeKey = common.encryption?.kms;
  return {
    name,
    driver: kind.name,
    options,
    ...(inRegion === undefined ? {} : { inRegion }),
    ...(encryption === undefined ? {} : { encryption }),
    ...(storeKey === undefined ? {} : { storeKey }),
    ...(common.prune === undefined ? {} : { prune: scheduleOf(common.prune, 'UTC') }),
    ...(common.lock === undefined ? {} : { lockMs: common.lock }),
  };
}

function findKind(node: LocatedNode, path: readonly string[], { kinds, collector }: RepositoryReading): RepositoryKind | undefined {
  const named = childOf(node, 'driver');
  if (named?.kind !== 'scalar' || typeof named.value !== 'string' || named.value === '') return undefined;
  const kind = kinds.get(named.value);
  if (kind !== undefined) return kind;
  const names = [...kinds.keys()].sort();
  const nearest = nearestWord(named.value, names);
  collector.add(
    [...path, 'driver'],
    'value',
    `there is no kind of repository "${named.value}"`,
    nearest === undefined ? `There are: ${names.join(', ')}.` : `Did you mean "${nearest}"?`,
  );
  return undefined;
}

/** A bucket's own region that is named as one of the platform's is taken for it: most platforms name theirs after their cloud's. */
function sameNamedRegion(options: unknown, regions: readonly string[]): string | undefined {
  const region = (options as { readonly region?: unknown } | undefined)?.region;
  return typeof region === 'string' && regions.includes(region) ? region : undefined;
}

function encryptionOf(written: z.output<typeof repositoryCommonSchema>['encryption']): EncryptionSpec | undefined {
  if (written?.passphrase instanceof Secret) return { kind: 'passphrase', secret: written.passphrase };
  if (written?.['key-service'] !== undefined) return { kind: 'key-service', key: written['key-service'] };
  return written?.key instanceof Secret ? { kind: 'key', secret: written.key } : undefined;
}
