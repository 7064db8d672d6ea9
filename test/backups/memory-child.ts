/** Writes a backup of many megabytes into a directory, or reads it back, then prints the most memory that this process has ever held. Run by the test of the same name. */
import { createCipheriv } from 'node:crypto';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import { Secret } from '../../src/base/secret.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { FileStore } from '../../src/repositories/filesystem/file-store.ts';

const [task, directory = '', more = ''] = process.argv.slice(2);
const host = nodeHost({ logTo: 'silent' });
const place = { backend: new FileStore(directory, host, undefined), host, platform: 'test' };
const totalBytes = 240e6;

async function write(compressed: boolean): Promise<object> {
  let key = '';
  const repository = await createRepository({
    ...place,
    encryption: {},
    confirmRecoveryKey: async (shown) => {
      key = shown;
      return shown;
    },
  });
  // Bytes that do not compress: the most work, and the most memory.
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16, 2));
  const zeros = Buffer.alloc(65_536);
  const writing = await repository.beginBackup({ component: 'db', backupId: 'b', what: 'base', signal: new AbortController().signal });
  const part = writing.sink.openPart('base.tar', { compressed });
  for (let sent = 0; sent < totalBytes; sent += zeros.length) await part.write(cipher.update(zeros));
  await part.end();
  await writing.commit({ engine: 'test', engineVersion: '1', identity: 'x', consistentAtMs: 0, dataBytes: totalBytes });
  return { bytes: writing.progress.plainBytes, key };
}

async function read(key: string): Promise<object> {
  const repository = await openRepository({ ...place, secret: new Secret(key, 'test') });
  let bytes = 0;
  for await (const piece of (await repository.openBackup('db', 'b')).readPart('base.tar')) bytes += piece.length;
  return { bytes };
}

const done = task === 'write' ? await write(more === 'compressed') : await read(more);
process.stdout.write(JSON.stringify({ ...done, peakMb: process.resourceUsage().maxRSS / 1_000 }));
