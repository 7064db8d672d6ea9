/**
 * Puts the files of a base backup into an empty directory, several parts at a time.
 *
 * Tablespaces come to lie inside of the directory (`tablespaces/OID`, linked from `pg_tblspc`), never where they were: a copy must not touch the original's. Nothing of the original's
 * way of running comes along that would reach out: not its upstream, its archive, its synchronous standbys.
 *
 * Invariant: the directory was empty, and becomes a server's only as the last step (its owner is set): dying inside leaves files without a running anything; the next attempt wants an
 * empty directory again.
 */
import { fail } from '../../../base/errors.ts';
import type { BackupReader } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import type { BackupDetails } from './backup-details.ts';
import { decompress } from './decompress.ts';
import { giveToOwner, type Programs } from './programs.ts';
import { unpackTar } from './unpack-tar.ts';

const tarPart = /^(base|\d+)\.tar(\.zst)?$/;
const tellEveryBytes = 64 * 1024 * 1024;
export const tablespacesDirectory = 'tablespaces';

/** What a copy must not take over: how it would reach other servers, or end its recovery elsewhere. */
const forgotten =
  /^\s*(?:primary_conninfo|primary_slot_name|restore_command|archive_\w+|recovery_\w+|synchronous_standby_names|promote_trigger_file|hot_standby_feedback)\b/;

export async function refuseUnlessEmpty(host: Host, into: string): Promise<void> {
  const facts = await host.fileStreams.stat(into);
  if (facts === undefined) {
    await host.files.makeDirectory(into, { mode: 0o700 });
    return;
  }
  const [found] = facts.kind === 'directory' ? await host.files.list(into) : ['a file'];
  if (found !== undefined) throw fail('RESTORE_TARGET_NOT_EMPTY', { message: `${into} holds something already (${found})`, subject: into });
}

export async function unpackBackup(
  host: Host,
  backup: BackupReader,
  details: BackupDetails,
  programs: Programs,
  into: string,
  progress: (message: string) => void,
): Promise<{ readonly bytes: number; readonly files: number }> {
  await host.fileStreams.setMode(into, 0o700);
  let done = 0;
  let told = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    if (done - told < tellEveryBytes) return;
    told = done;
    progress(`${Math.round(done / 1e6)} of ${Math.round(backup.facts.dataBytes / 1e6)} MB`);
  };
  for (const { oid } of details.tablespaces) await host.files.makeDirectory(`${into}/${tablespacesDirectory}/${oid}`, { mode: 0o700 });
  const results = await Promise.all(
    backup.parts.flatMap(({ name }) => {
      const match = tarPart.exec(name);
      if (!match) return [];
      const content = match[2] === undefined ? backup.readPart(name) : decompress(name, backup.readPart(name));
      const place = match[1] === 'base' ? into : `${into}/${tablespacesDirectory}/${match[1]}`;
      return [unpackTar(host, content, place, onBytes)];
    }),
  );
  await writeManifest(host, backup, into);
  await linkTablespaces(host, details, into);
  await wallOff(host, into);
  await giveToOwner(host, programs, into);
  return { bytes: results.reduce((sum, { bytes }) => sum + bytes, 0), files: results.reduce((sum, { files }) => sum + files, 0) };
}

async function writeManifest(host: Host, backup: BackupReader, into: string): Promise<void> {
  const file = await host.fileStreams.openWriter(`${into}/backup_manifest`, { mode: 0o600 });
  try {
    for await (const piece of backup.readPart('backup_manifest')) await file.write(piece);
  } finally {
    await file.close();
  }
}

/** The server makes the links anew at its first start, from `tablespace_map`: both have to say the new places. */
async function linkTablespaces(host: Host, details: BackupDetails, into: string): Promise<void> {
  if (details.tablespaces.length === 0) return;
  const lines: string[] = [];
  for (const { oid } of details.tablespaces) {
    const place = `${into}/${tablespacesDirectory}/${oid}`;
    await host.fileStreams.symbolicLink(place, `${into}/pg_tblspc/${oid}`);
    lines.push(`${oid} ${place.replace(/[\\\n\r]/g, '\\$&')}\n`);
  }
  await host.files.writeAtomically(`${into}/tablespace_map`, lines.join(''), { mode: 0o600 });
}

async function wallOff(host: Host, into: string): Promise<void> {
  const path = `${into}/postgresql.auto.conf`;
  const before = (await host.files.exists(path)) ? await host.files.readText(path) : '';
  const kept = before.split('\n').filter((line) => line.trim() !== '' && !forgotten.test(line));
  const own = ["archive_mode = 'off'", "synchronous_standby_names = ''", "primary_conninfo = ''", "primary_slot_name = ''"];
  await host.files.writeAtomically(path, [...kept, ...own, ''].join('\n'), { mode: 0o600 });
  await host.files.remove(`${into}/standby.signal`);
  await host.files.writeAtomically(`${into}/recovery.signal`, '', { mode: 0o600 });
}
