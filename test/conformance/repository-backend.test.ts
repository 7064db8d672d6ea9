import { join } from 'node:path';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { backend as filesystem } from '../../src/repositories/filesystem/backend.ts';
import { MemoryBackend } from '../fakes/memory-backend.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { repositoryBackendConformance } from './repository-backend.ts';

const host = nodeHost({ logTo: 'silent' });

let directory = '';
repositoryBackendConformance('filesystem', {
  open: async () => {
    directory = await temporaryDirectory('repository');
    const store = filesystem.open({ path: join(directory, 'deep', 'store') }, host);
    await store.ensurePlace?.();
    return store;
  },
  openAgain: async () => filesystem.open({ path: join(directory, 'deep', 'store') }, host),
  truth: { checksums: false, lock: false, tellsTime: true },
  close: () => removeDirectory(directory),
});

// Tests of the core stand on it: what it does, the real stores do.
let memory: MemoryBackend;
for (const lock of [false, true])
  repositoryBackendConformance(`memory, ${lock ? 'with' : 'without'} locks`, {
    open: async () => {
      memory = new MemoryBackend({ nowMs: () => Date.now(), capabilities: { lock } });
      return memory;
    },
    openAgain: async () => memory,
    truth: { checksums: true, lock, tellsTime: true },
    close: async () => {},
  });
