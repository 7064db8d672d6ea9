/**
 * Restores an increment: every backup that it builds on is unpacked beside the target, oldest first, and pg_combinebackup puts them together in it.
 * https://www.postgresql.org/docs/current/app-pgcombinebackup.html
 *
 * Invariant: nothing comes into the target before every link is there whole, and what comes there is what pg_combinebackup was content with: it compares where each link begins with where
 * the one before it was taken. The links lie in the work directory and go as soon as they are put together; dying leaves them there, for the caller removes it.
 */
import { asHoldfastError, fail } from '../../../base/errors.ts';
import type { BackupReader, RestorerContext } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import type { ComponentOptions } from '../options.ts';
import { type BackupDetails, backupDetails } from './backup-details.ts';
import { giveToOwner, type Programs, runProgram } from './programs.ts';
import { mapTablespaces, tablespacesDirectory, tellBytes, unpackFiles, wallOff } from './unpack-backup.ts';

const combineTimeoutMs = 24 * 3_600_000;
const linksMost = 1_000;

/** The full backup first, the wanted one last. A link that is missing, or that is no part of this history: BACKUP_DAMAGED, which names it. */
export async function readChain(backup: BackupReader): Promise<readonly BackupReader[]> {
  const chain = [backup];
  for (let link = backup; ; ) {
    const [below, another] = link.facts.needs ?? [];
    if (below === undefined) return chain;
    const broken = (why: string) => fail('BACKUP_DAMAGED', { message: `${link.backupId} builds on ${below}, ${why}`, subject: below });
    if (another !== undefined) throw broken(`and on ${another} too: that is no chain`);
    if (link.openNeeded === undefined) throw broken('which is not at hand');
    const next = await link.openNeeded(below);
    if (next.facts.identity !== backup.facts.identity) throw broken(`which is of another history (${next.facts.identity})`);
    if (chain.some(({ backupId }) => backupId === next.backupId) || chain.length > linksMost) throw broken('and that leads nowhere');
    chain.unshift(next);
    link = next;
  }
}

interface CombineRequest {
  readonly context: Pick<RestorerContext<ComponentOptions>, 'host' | 'signal' | 'progress'>;
  readonly details: BackupDetails;
  readonly programs: Programs;
  readonly into: string;
  /** Empty, with room for all of the links. */
  readonly directory: string;
}

export async function combineChain(chain: readonly BackupReader[], request: CombineRequest): Promise<void> {
  const { context, details, programs, into, directory } = request;
  const { host, signal } = context;
  const links: string[] = [];
  try {
    for (const [index, link] of chain.entries()) {
      signal.throwIfAborted();
      links.push(await unpackLink(host, link, `${directory}/${index}`, (message) => context.progress(`${link.backupId}: ${message}`)));
    }
    await host.fileStreams.setMode(into, 0o700);
    for (const path of [directory, into]) await giveToOwner(host, programs, path);
    context.progress(`putting ${chain.length} backups together`);
    const own = { data: into, spaces: `${into}/${tablespacesDirectory}` };
    const last = chain.length - 1;
    const moved = details.tablespaces.flatMap(({ oid }) => [
      `--tablespace-mapping=${directory}/${last}/spaces/${oid}=${own.spaces}/${oid}`,
    ]);
    const args = ['--no-sync', '--manifest-checksums=CRC32C', ...moved, `--output=${into}`, ...links];
    const { exitCode, stdout, stderr } = await runProgram(host, programs, 'pg_combinebackup', args, {
      timeoutMs: combineTimeoutMs,
      signal,
    });
    if (exitCode !== 0)
      throw fail('BACKUP_DAMAGED', {
        message: `${chain.map(({ backupId }) => backupId).join(', ')} do not fit together: ${`${stderr}${stdout}`.trim().slice(-1_000)}`,
        subject: chain.at(-1)?.backupId ?? into,
      });
    await mapTablespaces(host, details, own);
    await wallOff(host, into);
    await giveToOwner(host, programs, into);
  } finally {
    await host.files.remove(directory);
  }
}

async function unpackLink(host: Host, link: BackupReader, directory: string, progress: (message: string) => void): Promise<string> {
  const place = { data: `${directory}/data`, spaces: `${directory}/spaces` };
  await host.files.makeDirectory(place.data, { mode: 0o700 });
  try {
    await unpackFiles(host, link, backupDetails(link), place, tellBytes(link, progress));
  } catch (thrown) {
    const error = asHoldfastError(thrown, link.backupId);
    if (error.code !== 'BACKUP_DAMAGED') throw error;
    throw fail('BACKUP_DAMAGED', { message: `${link.backupId}: ${error.message}`, subject: link.backupId, cause: error });
  }
  return place.data;
}
