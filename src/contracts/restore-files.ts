/**
 * What every restorer does with files: an empty place to restore into, and a part of a backup as a file in it.
 *
 * Invariant: nothing that is there already is written over: a place that holds anything is refused, and a file is only ever made anew. Dying on the way leaves a directory that is
 * not empty, which the next attempt refuses by name.
 */
import { fail } from '../base/errors.ts';
import type { Host } from '../host/host.ts';
import type { BackupReader } from './backup.ts';

export async function makeRestoreTarget(host: Host, into: string): Promise<void> {
  const there = await host.fileStreams.stat(into);
  if (there === undefined) {
    await host.files.makeDirectory(into, { mode: 0o700 });
    return;
  }
  // A link to a directory leads elsewhere: what is there is looked at through it.
  if (there.kind === 'file' || there.kind === 'other')
    throw fail('RESTORE_TARGET_NOT_EMPTY', { subject: into, message: `${into} is a file, not an empty directory` });
  const names = await host.files.list(into);
  if (names.length > 0)
    throw fail('RESTORE_TARGET_NOT_EMPTY', {
      subject: into,
      message: `${into} holds ${names.length} entries already (${names[0]} is one)`,
    });
}

/** Writes one part to a new file and makes it durable. Returns its size. */
export async function writePartToFile(host: Host, backup: BackupReader, part: string, path: string, signal: AbortSignal): Promise<number> {
  const writer = await host.fileStreams.openWriter(path, { mode: 0o600 });
  let sizeBytes = 0;
  try {
    for await (const bytes of backup.readPart(part)) {
      signal.throwIfAborted();
      await writer.write(bytes);
      sizeBytes += bytes.length;
    }
    await writer.sync();
  } finally {
    await writer.close();
  }
  return sizeBytes;
}
