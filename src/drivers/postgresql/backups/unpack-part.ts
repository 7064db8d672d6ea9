/** Unpacks one part of a backup, a tar file that may be compressed: in a thread where the host has threads, for that spares the rest of the program its garbage, and here where not. */
import type { BackupReader } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import { decompress } from './decompress.ts';
import { unpackTar } from './unpack-tar.ts';

export async function unpackPart(
  host: Host,
  backup: Pick<BackupReader, 'readPart'>,
  part: { readonly name: string; readonly compressed: boolean },
  into: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { name, compressed } = part;
  const input = backup.readPart(name);
  if (host.threads !== undefined)
    await host.threads.run({ name: 'unpack', request: { name, into, compressed }, input, onProgress: onBytes });
  else await unpackTar(host, compressed ? decompress(name, input) : input, into, onBytes);
}
