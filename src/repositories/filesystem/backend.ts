/** A repository of backups in a directory: its own disk, a mounted share. */
import { z } from 'zod';
import { defineRepositoryBackend } from '../../contracts/repository-backend.ts';
import { FileStore } from './file-store.ts';

const options = z.strictObject({
  path: z
    .string()
    .min(1)
    .startsWith('/', { error: 'this is not an absolute path' })
    .meta({ description: 'Directory', examples: ['/var/lib/holdfast/repository'] }),
});

export const backend = defineRepositoryBackend<z.output<typeof options>>({
  name: 'filesystem',
  title: 'A directory',
  options,
  open: ({ path }, host, wishes) => new FileStore(path, host, wishes?.storeKey),
});
