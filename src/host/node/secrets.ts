/** Where secrets come from. Invariant: no message holds a value, only the name of its source. */
import { readFile } from 'node:fs/promises';
import { fail } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { SecretSource } from '../host.ts';

export function nodeSecrets(environment: Readonly<Record<string, string | undefined>> = process.env): SecretSource {
  return {
    fromEnvironment: async (name) => {
      const value = environment[name];
      if (value === undefined || value === '') {
        throw fail('SECRET_MISSING', {
          message: `the environment variable ${name} is ${value === undefined ? 'not set' : 'empty'}`,
          subject: `env:${name}`,
        });
      }
      return new Secret(value, `env:${name}`);
    },
    fromFile: async (path) => {
      const text = await readSecretFile(path);
      const value = text.replace(/\r?\n$/, '');
      if (value === '') throw fail('SECRET_MISSING', { message: `the file ${path} is empty`, subject: `file:${path}` });
      return new Secret(value, `file:${path}`);
    },
  };
}

async function readSecretFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fail('SECRET_MISSING', {
      message: `the file ${path} can not be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown cause'}`,
      subject: `file:${path}`,
      cause: error,
    });
  }
}
