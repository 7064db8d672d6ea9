/**
 * Puts the files of a base backup into an empty directory, two parts at a time.
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
import { giveToOwner, type Programs } from './programs.ts';
import { unpackPart } from './unpack-part.ts';

const tarPart = /^(base|\d+)\.tar(\.zst)?$/;
/** Each has buffers of its own: more tablespaces must not take more memory. */
const partsAtOnce = 2;
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
): Promise<void> {
  await unpackFiles(host, backup, details, { data: into, spaces: `${into}/${tablespacesDirectory}` }, tellBytes(backup, progress));
  await wallOff(host, into);
  await giveToOwner(host, programs, into);
}

export function tellBytes({ facts }: BackupReader, progress: (message: string) => void): (bytes: number) => void {
  let done = 0;
  let told = 0;
  return (bytes) => {
    done += bytes;
    if (done - told < tellEveryBytes) return;
    told = done;
    progress(`${Math.round(done / 1e6)} of ${Math.round(facts.dataBytes / 1e6)} MB`);
  };
}

/** The files of one backup as they were taken, with the places of its tablespaces changed. */
export async function unpackFiles(
  host: Host,
  backup: BackupReader,
  details: Pick<BackupDetails, 'tablespaces'>,
  place: { readonly data: string; readonly spaces: string },
  onBytes: (bytes: number) => void,
): Promise<void> {
  await host.fileStreams.setMode(place.data, 0o700);
  for (const { oid } of details.tablespaces) await host.files.makeDirectory(`${place.spaces}/${oid}`, { mode: 0o700 });
  const left = backup.parts.map(({ name }) => tarPart.exec(name)).filter((match) => match !== null);
  const unpackAll = async (): Promise<void> => {
    for (let match = left.shift(); match !== undefined; match = left.shift()) {
      const part = { name: match[0], compressed: match[2] !== undefined };
      try {
        await unpackPart(host, backup, part, match[1] === 'base' ? place.data : `${place.spaces}/${match[1]}`, onBytes);
      } catch (error) {
        // Nobody begins another part of what is lost already.
        left.length = 0;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: partsAtOnce }, unpackAll));
  await writeManifest(host, backup, place.data);
  for (const { oid } of details.tablespaces)
    await host.fileStreams.symbolicLink(`${place.spaces}/${oid}`, `${place.data}/pg_tblspc/${oid}`);
  await mapTablespaces(host, details, place);
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
export async function mapTablespaces(
  host: Host,
  { tablespaces }: Pick<BackupDetails, 'tablespaces'>,
  { data, spaces }: { readonly data: string; readonly spaces: string },
): Promise<void> {
  if (tablespaces.length === 0) return;
  const lines = tablespaces.map(({ oid }) => `${oid} ${`${spaces}/${oid}`.replace(/[\\\n\r]/g, '\\$&')}\n`);
  await host.files.writeAtomically(`${data}/tablespace_map`, lines.join(''), { mode: 0o600 });
}

/** What would lead a copy to other servers goes from its configuration, and it recovers when it is started. */
export async function wallOff(host: Host, into: string): Promise<void> {
  const path = `${into}/postgresql.auto.conf`;
  const before = (await host.files.exists(path)) ? await host.files.readText(path) : '';
  const kept = before.split('\n').filter((line) => line.trim() !== '' && !forgotten.test(line));
  const own = ["archive_mode = 'off'", "synchronous_standby_names = ''", "primary_conninfo = ''", "primary_slot_name = ''"];
  await host.files.writeAtomically(path, [...kept, ...own, ''].join('\n'), { mode: 0o600 });
  await host.files.remove(`${into}/standby.signal`);
  await host.files.writeAtomically(`${into}/recovery.signal`, '', { mode: 0o600 });
}
