/** What the spec says of a component that is a directory of files. */
import { posix } from 'node:path';
import { z } from 'zod';
import { commandLine, duration } from '../../contracts/options.ts';

const globs = (description: string, example: string) =>
  z
    .array(z.string().min(1))
    .min(1)
    .meta({ description, examples: [[example]] });

export const componentOptions = z.strictObject({
  profile: z
    .enum(['plain', 'faiss'])
    .default('plain')
    .describe(
      'faiss: number of vectors and dimension are read from the head of each *.faiss and *.index file, and checked again when a backup is proven',
    ),
  include: globs(
    'Paths below the directory that are backed up; * and ? stay within a name, ** goes across, {a,b} is one or the other. Default: all',
    '**/*.faiss',
  ).optional(),
  exclude: globs('Paths below the directory that are left out, with all that is below them', '**/*.tmp').optional(),
  'read-again': z
    .int()
    .min(1)
    .max(100)
    .default(5)
    .describe('How often a file that changed while it was read is read again before the backup fails'),
  before: commandLine('Run by hands before the files are read, to make them stand still; the backup fails where it fails').optional(),
  after: commandLine('Run by hands after the files were read, also where that failed').optional(),
  'hook-timeout': duration('How long before and after may take each').prefault('60s'),
  python: z
    .string()
    .startsWith('/')
    .optional()
    .describe('The Python with faiss that checks indices; default: /usr/bin/python3, where it has faiss'),
});

export const siteOptions = z.strictObject({
  path: z
    .string()
    .refine(
      (path) => posix.isAbsolute(path) && posix.normalize(path) === path && path !== '/',
      'must be an absolute path, without . or .. and no slash at its end',
    )
    .describe('The directory, on the machine that the controller runs on (or mounted there): /srv/vectors'),
});

export type FilesOptions = z.output<typeof componentOptions>;
export type FilesSiteOptions = z.output<typeof siteOptions>;
