/**
 * Secrets in a spec are references, never values. The schema marks them, so that the spec loader finds each one, resolves it through the host and
 * hands the driver a `Secret`.
 */
import { z } from 'zod';
import { Secret } from '../base/secret.ts';

const referenceShape = z
  .union([
    z.strictObject({ env: z.string().min(1).describe('Name of an environment variable') }),
    z.strictObject({ file: z.string().min(1).describe('Path of a file that holds only the secret') }),
  ])
  .describe('A secret: { env: NAME } or { file: PATH }');

export type SecretReference = z.input<typeof referenceShape>;

export function isSecretReference(value: unknown): value is SecretReference {
  return referenceShape.safeParse(value).success;
}

/**
 * The schema of a secret. Before resolution it checks the reference's shape; the loader then puts a `Secret` in its place and parses again, which passes it through.
 * Its input in the JSON Schema is the reference.
 */
export const secretReference = z.union([referenceShape, z.instanceof(Secret)]).meta({ holdfast: 'secret' });
