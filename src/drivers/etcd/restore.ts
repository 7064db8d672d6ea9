/**
 * Restores a snapshot of etcd into a directory, as a single member of a new cluster, and runs it walled off.
 *
 * Invariant: nothing that exists is written over. The directory has the snapshot (`snapshot.db`), from which members for good are made, and the data of the single member (`data`).
 */
import { fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { compareVersions } from '../../base/versions.ts';
import type {
  BackupReader,
  CheckResult,
  RecoveryTarget,
  RestoredCopy,
  RestorePreview,
  Restorer,
  RestorerContext,
  RunningCopy,
} from '../../contracts/backup.ts';
import { makeRestoreTarget, writePartToFile } from '../../contracts/restore-files.ts';
import { minorOf, snapshotPart } from './backup-source.ts';
import { compareContent, readContent } from './fingerprint.ts';
import { positionOf } from './member-status.ts';
import type { EtcdOptions } from './options.ts';
import {
  findRestoreTool,
  type RestoreTool,
  readServerVersion,
  restoreSnapshot,
  type ScratchEtcd,
  startScratchEtcd,
} from './scratch-etcd.ts';
import { SnapshotDigest } from './snapshot-stream.ts';

type Context = RestorerContext<EtcdOptions>;

const callMs = 30_000;

export function openRestorer(context: Context): Restorer {
  return {
    preview: (backup, target) => preview(context, backup, target),
    restore: async (backup, target, into) => {
      if (!isOwnInstant(target)) throw fail('RESTORE_TARGET_UNREACHABLE', otherInstant(backup));
      const tool = await findRestoreTool(context.host, context.signal);
      if (tool === undefined)
        throw fail('HANDS_NO_PROGRAM', { message: 'neither etcdutl nor an etcdctl that restores is installed on this machine' });
      await makeRestoreTarget(context.host, into);
      const file = `${into}/${snapshotPart}`;
      await writePartToFile(context.host, backup, snapshotPart, file, context.signal);
      const fault = await findFault(context, file);
      if (fault !== undefined) throw fail('BACKUP_DAMAGED', { message: `the snapshot of etcd is not whole: ${fault}` });
      await restoreSnapshot(context.host, tool, file, `${into}/data`, context.signal);
      return restoredCopy(context, backup, into, tool);
    },
  };
}

const isOwnInstant = ({ kind }: RecoveryTarget): boolean => kind === 'newest' || kind === 'consistent';

const otherInstant = ({ facts }: BackupReader) => ({
  message: `a snapshot of etcd comes back to its own instant only, ${formatInstant(facts.consistentAtMs)}`,
  hint: 'Take the newest backup before the instant that is wanted: holdfast backups lists them.',
});

async function preview({ host, signal }: Context, backup: BackupReader, target: RecoveryTarget): Promise<RestorePreview> {
  const { facts } = backup;
  const problems: { message: string; hint: string }[] = [];
  const server = await readServerVersion(host, signal);
  if (server === undefined) problems.push({ message: 'etcd is not installed on this machine', hint: 'Debian: apt install etcd-server.' });
  else if (compareVersions(minorOf(server), minorOf(facts.engineVersion)) < 0)
    problems.push({
      message: `etcd here is ${server}; the snapshot was written by ${facts.engineVersion}`,
      hint: `Install ${minorOf(facts.engineVersion)} or the next minor version.`,
    });
  if ((await findRestoreTool(host, signal)) === undefined)
    problems.push({
      message: 'neither etcdutl nor an etcdctl that restores (before 3.6) is installed on this machine',
      hint: 'Install the tools of the same version as the server.',
    });
  if (!isOwnInstant(target)) problems.push(otherInstant(backup));
  return {
    target: `${facts.position?.text ?? 'the snapshot'} of ${formatInstant(facts.consistentAtMs)}`,
    newestMs: facts.consistentAtMs,
    bytes: backup.parts.reduce((sum, { bytes }) => sum + bytes, 0),
    problems,
  };
}

async function findFault({ host, signal }: Context, file: string): Promise<string | undefined> {
  const digest = new SnapshotDigest();
  for await (const piece of host.fileStreams.read(file, { signal })) digest.add(piece);
  return digest.findFault();
}

function restoredCopy(context: Context, backup: BackupReader, directory: string, tool: RestoreTool): RestoredCopy {
  const { host, workDirectory, options, signal } = context;
  return {
    directory,
    checkStopped: async () => {
      const fault = await findFault(context, `${directory}/${snapshotPart}`);
      return [{ name: 'the snapshot has its digest', level: 'P3', ok: fault === undefined, detail: fault ?? 'SHA-256 and size are right' }];
    },
    start: async () => {
      const scratch = await startScratchEtcd(host, { dataDirectory: `${directory}/data`, workDirectory, options }, signal);
      try {
        return runningCopy(context, backup, scratch, await readRevision(scratch, signal));
      } catch (error) {
        await scratch.stop();
        throw error;
      }
    },
    startHint: `on each member: ${tool.program} snapshot restore ${directory}/${snapshotPart} --name NAME --data-dir DIR --initial-cluster ... --initial-cluster-token NEW --initial-advertise-peer-urls ...${tool.program === 'etcdutl' ? '; for Kubernetes with etcd 3.6 also --bump-revision 1000000000 --mark-compacted' : ''}`,
  };
}

async function readRevision({ client }: ScratchEtcd, signal: AbortSignal): Promise<string> {
  const answer = await client.call('/v3/kv/range', { key: 'AA==', limit: '1', count_only: true }, { timeoutMs: callMs, signal });
  return String((answer.header as JsonObject | undefined)?.revision ?? '0');
}

function runningCopy({ signal }: Context, { facts }: BackupReader, scratch: ScratchEtcd, revision: string): RunningCopy {
  return {
    reached: { position: positionOf(facts.identity, revision), atMs: facts.consistentAtMs, detail: `came to revision ${revision}` },
    check: async () => {
      const expected = facts.more?.revision;
      const isKnown = typeof expected === 'string';
      const detail = isKnown
        ? `revision ${revision}; ${expected} at backup time`
        : `revision ${revision}; at least ${String(facts.more?.atLeastRevision)} was expected`;
      const ok = isKnown ? revision === expected : BigInt(revision) >= BigInt(String(facts.more?.atLeastRevision ?? 0));
      return [{ name: 'the revision is the one that was backed up', level: 'P3', ok, detail } satisfies CheckResult];
    },
    compare: async (expected, key) => {
      const known = new Set(expected.entries.map(({ name }) => name));
      return compareContent(expected, (await readContent(scratch.client, key, known, signal)).entries);
    },
    readCanary: async () => undefined,
    ask: (question) => readValue(scratch, question, signal),
    address: `curl --unix-socket ${scratch.socketPath} http://copy/v3/kv/range -d '{"key":"..."}'`,
    stop: () => scratch.stop(),
  };
}

/** `/path/to/key`: its value; `count /prefix/`: how many keys begin so. */
async function readValue({ client }: ScratchEtcd, question: string, signal: AbortSignal): Promise<Json> {
  const prefix = /^count\s+(.+)$/s.exec(question.trim())?.[1];
  const key = Buffer.from(prefix ?? question.trim());
  if (key.length === 0) throw fail('USAGE', { message: 'the question is empty', hint: 'Ask with a key, or: count /a/prefix/' });
  const range = prefix === undefined ? {} : { range_end: endOfPrefix(key).toString('base64'), count_only: true };
  const answer = await client.call(
    '/v3/kv/range',
    { key: key.toString('base64'), ...range },
    { timeoutMs: callMs, signal, maxBodyBytes: 16 * 1_048_576 },
  );
  if (prefix !== undefined) return Number(answer.count ?? 0);
  const [pair] = (answer.kvs ?? []) as readonly { readonly value?: string }[];
  return pair === undefined ? null : Buffer.from(pair.value ?? '', 'base64').toString('utf8');
}

/** The first key that does not begin so; a zero byte means: to the end. */
function endOfPrefix(prefix: Buffer): Buffer {
  for (let at = prefix.length - 1; at >= 0; at -= 1) {
    const byte = prefix[at] as number;
    if (byte < 0xff) return Buffer.concat([prefix.subarray(0, at), Buffer.from([byte + 1])]);
  }
  return Buffer.from([0]);
}
