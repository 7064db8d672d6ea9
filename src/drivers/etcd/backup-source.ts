/**
 * Takes a snapshot of etcd: the store of one member, streamed, its digest checked on the way, and what it holds read from the artefact itself.
 *
 * Invariant: resolves only once the whole snapshot has arrived with the right digest and, where it could be read here, is no older than the cluster was when it was asked for. The revision is
 * the artefact's own: one that was asked beforehand would be another one. Nothing is written to the cluster. When this process dies, the member notices the closed connection.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { compareVersions } from '../../base/versions.ts';
import type { BackupContext, BackupFacts, BackupSink, BackupSource, TakeOptions } from '../../contracts/backup.ts';
import type { Host } from '../../host/host.ts';
import { readContent, type StoreContent } from './fingerprint.ts';
import { chooseMember, type MemberStatus, positionOf, readStatus } from './member-status.ts';
import { type EtcdContext, openClients } from './observe.ts';
import { type Origin, saveByTool } from './save-by-tool.ts';
import { findRestoreTool, readServerVersion, restoreSnapshot, startScratchEtcd } from './scratch-etcd.ts';
import { blobsOf, checkedSnapshot } from './snapshot-stream.ts';

export const snapshotPart = 'snapshot.db';
const silenceMsDefault = 60_000;
const statusMs = 5_000;
const progressEveryBytes = 64 * 1_048_576;

export function openBackupSource(context: EtcdContext, times: { readonly silenceMs?: number } = {}): BackupSource {
  return {
    take: (what, sink, options, backup) => {
      if (what !== 'snapshot') throw fail('USAGE', { message: `etcd has no backup of the kind ${what}`, hint: 'Its kind is snapshot.' });
      return takeSnapshot(context, times.silenceMs ?? silenceMsDefault, sink, options, backup);
    },
    close: async () => {},
  };
}

async function takeSnapshot(
  context: EtcdContext,
  silenceMs: number,
  sink: BackupSink,
  options: TakeOptions,
  backup: BackupContext,
): Promise<BackupFacts> {
  const { host } = context;
  const consistentAtMs = host.clock.nowMs();
  const limits: string[] = [];
  const directory = await scratchDirectory(host, options.workDirectory, limits, backup.signal);
  const origin = await openOrigin(context, silenceMs, options.workDirectory, backup.signal);
  const sizeBytes = await transfer(host, origin.bytes, sink, directory, backup);
  const content =
    directory === undefined ? undefined : await readArtefact(context, origin, directory, options.fingerprintKey, limits, backup);
  if (content && BigInt(content.revision) < BigInt(origin.revision))
    throw fail('BACKUP_INCOMPLETE', {
      message: `the snapshot of ${origin.member} is of revision ${content.revision}; the cluster was at ${origin.revision} before it was taken`,
      hint: 'The member lags behind its leader: bring it up to date, or name another one.',
    });
  const revision = content?.revision;
  return {
    engine: 'etcd',
    engineVersion: origin.version,
    identity: origin.clusterId,
    consistentAtMs,
    ...(revision === undefined ? {} : { position: positionOf(origin.clusterId, revision) }),
    dataBytes: sizeBytes,
    fingerprint: {
      ...(revision === undefined ? {} : { position: positionOf(origin.clusterId, revision) }),
      entries: content?.entries ?? [],
      ...(content?.entries.length === 0 ? { empty: true } : {}),
      limits,
    },
    more: {
      member: origin.member,
      ...(content ? { revision: content.revision, keys: content.keys } : { atLeastRevision: origin.revision }),
    },
  };
}

/** Where the artefact can be looked into; undefined with the reason in `limits`. */
async function scratchDirectory(
  host: Host,
  workDirectory: string | undefined,
  limits: string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const missing =
    workDirectory === undefined
      ? 'no work directory was given'
      : (await readServerVersion(host, signal)) === undefined
        ? 'etcd is not installed here'
        : (await findRestoreTool(host, signal)) === undefined
          ? 'neither etcdutl nor an etcdctl that restores is installed here'
          : undefined;
  if (missing === undefined) return workDirectory;
  limits.push(`revision and keys were not read from the snapshot: ${missing}`);
  return undefined;
}

async function openOrigin(
  context: EtcdContext,
  silenceMs: number,
  workDirectory: string | undefined,
  signal: AbortSignal,
): Promise<Origin> {
  const clients = await openClients(context);
  const errors: unknown[] = [];
  const members: MemberStatus[] = [];
  for (const client of clients) {
    try {
      members.push(await readStatus(client, { timeoutMs: statusMs, signal }));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HoldfastError && error.details.gateway === 'missing') return await saveByTool(context, workDirectory, signal);
      errors.push(error);
    }
  }
  const member = chooseMember(members);
  if (member === undefined)
    throw (
      errors[0] ??
      fail('SYSTEM_WRONG_ROLE', {
        message: `none of the ${members.length} members has a leader: what they hold may be old`,
        hint: 'Bring back a quorum, or copy the data directories by hand.',
      })
    );
  const newest = members.reduce((revision, each) => (BigInt(each.revision) > BigInt(revision) ? each.revision : revision), '0');
  const lines = await member.client.stream('/v3/maintenance/snapshot', silenceMs, signal);
  return { clusterId: member.clusterId, version: member.version, revision: newest, member: member.client.name, bytes: blobsOf(lines) };
}

async function transfer(
  host: Host,
  bytes: AsyncIterable<Uint8Array>,
  sink: BackupSink,
  directory: string | undefined,
  backup: BackupContext,
): Promise<number> {
  const file = directory === undefined ? undefined : await host.fileStreams.openWriter(`${directory}/${snapshotPart}`, { mode: 0o600 });
  let sizeBytes = 0;
  let saidAtBytes = 0;
  try {
    const part = sink.openPart(snapshotPart);
    for await (const piece of checkedSnapshot(bytes)) {
      backup.signal.throwIfAborted();
      await Promise.all([part.write(piece), file?.write(piece)]);
      sizeBytes += piece.length;
      if (sizeBytes - saidAtBytes < progressEveryBytes) continue;
      saidAtBytes = sizeBytes;
      backup.progress(`${Math.round(sizeBytes / 1_048_576)} MiB of the snapshot`);
    }
    await part.end();
    return sizeBytes;
  } finally {
    await file?.close();
  }
}

async function readArtefact(
  { host, options }: EtcdContext,
  origin: Origin,
  directory: string,
  key: Uint8Array,
  limits: string[],
  backup: BackupContext,
): Promise<StoreContent | undefined> {
  const { signal } = backup;
  const [tool, server] = [await findRestoreTool(host, signal), await readServerVersion(host, signal)];
  if (tool === undefined || server === undefined || compareVersions(minorOf(server), minorOf(origin.version)) < 0) {
    limits.push(`revision and keys were not read from the snapshot: etcd here is ${server}, the cluster is ${origin.version}`);
    return undefined;
  }
  backup.progress('reading the snapshot back in a scratch member');
  const dataDirectory = `${directory}/data`;
  try {
    await restoreSnapshot(host, tool, `${directory}/${snapshotPart}`, dataDirectory, signal);
    const scratch = await startScratchEtcd(host, { dataDirectory, workDirectory: directory, options }, signal);
    try {
      return await readContent(scratch.client, key, undefined, signal);
    } finally {
      await scratch.stop();
    }
  } finally {
    await host.files.remove(dataDirectory);
    await host.files.remove(`${directory}/${snapshotPart}`);
  }
}

export const minorOf = (version: string): string => version.split('.').slice(0, 2).join('.');
