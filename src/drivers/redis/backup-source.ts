/**
 * Takes a snapshot of a server: its RDB by the replication stream, as one part, and what the RDB itself says when it is loaded into a server of our own.
 *
 * Invariant: resolves only once the whole RDB has arrived and, where it could be loaded here, was loaded. Nothing is written to the server. When this process dies, the server ends
 * its child, and the scratch server ends with us.
 *
 * Redis has no snapshot reads: a fingerprint taken from the live server would be of another instant. So it is taken from the artefact, and `limits` says so.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { compareVersions } from '../../base/versions.ts';
import type { BackupContext, BackupFacts, BackupSink, BackupSource, Fingerprint, TakeOptions } from '../../contracts/backup.ts';
import { parseCanaryRow } from './canary.ts';
import { readFingerprint } from './fingerprint.ts';
import { targetOf } from './options.ts';
import type { RedisPort } from './port.ts';
import { endsAsRdb, parseRdbHeader, type RdbHeader } from './rdb-header.ts';
import { programsOf, readProgramVersion, startScratchRedis } from './scratch-redis.ts';
import { type RedisContext, type RedisSiteParts, type Server, sitePartsOf, withServer } from './server.ts';
import { parseInfo, positionOf, type ServerState } from './server-state.ts';
import { openSnapshotStream } from './snapshot-stream.ts';

export const snapshotPart = 'dump.rdb';
const silenceMsDefault = 60_000;
const headMaxBytes = 4_096;
const tailKeptBytes = 9;
const progressEveryBytes = 64 * 1_048_576;
const fingerprintVersionMin = '7';
const fingerprintMaxBytesDefault = 4 * 1_073_741_824;

export interface SourceTimes {
  readonly silenceMs?: number;
}

interface Before {
  readonly state: ServerState;
  readonly engine: 'redis' | 'valkey';
  readonly version: string;
  readonly databases: number;
  readonly epoch: number;
  readonly dataset: string | undefined;
  /** By the server's clock, and on a replica as old as its last word from its primary. */
  readonly atMs: number;
}

interface Arrived {
  readonly header: RdbHeader;
  readonly sizeBytes: number;
  readonly isSpooled: boolean;
  readonly position: { readonly replid: string; readonly offset: bigint } | undefined;
}

export function openBackupSource(context: RedisContext, port: RedisPort, times: SourceTimes = {}): BackupSource {
  const parts = sitePartsOf(context, port);
  return {
    take: (what, sink, options, backup) => {
      if (what !== 'snapshot') throw fail('USAGE', { message: `redis has no backup of the kind ${what}`, hint: 'Its kind is snapshot.' });
      return takeSnapshot(parts, times.silenceMs ?? silenceMsDefault, sink, options, backup);
    },
    close: async () => {},
  };
}

async function takeSnapshot(
  parts: RedisSiteParts,
  silenceMs: number,
  sink: BackupSink,
  options: TakeOptions,
  backup: BackupContext,
): Promise<BackupFacts> {
  const { context } = parts;
  const before = await withServer(parts, context.region, backup.signal, readBefore);
  const limits: string[] = [];
  const program = programsOf(before.engine).server;
  const local = options.workDirectory === undefined ? undefined : await readProgramVersion(context.host, program, backup.signal);
  const spool = local === undefined ? undefined : options.workDirectory;
  if (spool === undefined)
    limits.push(
      `keys were neither counted nor digested: ${options.workDirectory === undefined ? 'no work directory was given' : `${program} is not installed here`}`,
    );
  const arrived = await transfer(parts, silenceMs, sink, spool, backup);
  const snapshot = describeInstant(before, arrived);
  if (spool !== undefined && !arrived.isSpooled)
    limits.push(`keys were neither counted nor digested: the snapshot of ${arrived.sizeBytes} bytes is larger than "fingerprint" allows`);
  const read =
    spool === undefined || local === undefined || !arrived.isSpooled
      ? undefined
      : await readArtefact(parts, { before, program, local, directory: spool, atMs: snapshot.consistentAtMs, limits }, options, backup);
  limits.push(
    'Redis has no snapshot reads: this is of the snapshot file itself, loaded into a scratch server; it shows that what was stored comes back, not that the file equals the server',
  );
  const entries = read?.entries ?? [];
  const fingerprint: Fingerprint = {
    position: snapshot.position,
    entries,
    spansFromMs: snapshot.consistentAtMs,
    ...(read && entries.length === 0 ? { empty: true } : {}),
    limits,
  };
  return {
    engine: before.engine,
    engineVersion: before.version,
    identity: before.dataset ?? snapshot.position.history,
    consistentAtMs: snapshot.consistentAtMs,
    position: snapshot.position,
    dataBytes: arrived.sizeBytes,
    fingerprint,
    ...(read?.canary ? { canary: { ...read.canary } } : {}),
    more: {
      rdbVersion: arrived.header.version,
      role: before.state.role === 'master' ? 'primary' : 'standby',
      replid: snapshot.position.history,
      offset: snapshot.position.offset,
      dbsize: read?.keys ?? before.state.keys,
      dbsizeFrom: read ? 'artefact' : 'server',
      databases: before.databases,
      appendOnly: before.state.appendOnly,
    },
  };
}

async function readBefore(server: Server): Promise<Before> {
  const view = await server.read();
  const info = String(await server.command('INFO', 'server'));
  const [seconds, micros] = (await server.command('TIME')) as readonly string[];
  const atMs = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  const databases = await readDatabases(server);
  const { state, epoch, dataset } = view;
  return {
    state,
    engine: valkey === undefined ? 'redis' : 'valkey',
    version: valkey ?? state.version,
    databases: Math.max(databases ?? 16, ...state.databases.map((index) => index + 1)),
    epoch,
    dataset,
    atMs: atMs - silenceOfUpstreamMs(state, await server.command('INFO', 'replication')),
  };
}

/** How long a replica has not heard from its primary: what was acknowledged there since may be missing here. */
function silenceOfUpstreamMs(state: ServerState, replication: unknown): number {
  if (state.upstream === undefined) return 0;
  const down = /^master_link_down_since_seconds:(\d+)/m.exec(String(replication))?.[1];
  if (down !== undefined) return (Number(down) + 1) * 1_000;
  return (Math.max(0, state.upstream.lastIoSeconds) + 1) * 1_000;
}

async function readDatabases(server: Server): Promise<number | undefined> {
  try {
    const reply = (await server.command('CONFIG', 'GET', 'databases')) as readonly string[];
    return reply[1] === undefined ? undefined : Number(reply[1]);
  } catch (error) {
    // Without CONFIG the highest database that holds keys is known from INFO, and that is enough.
    if (error instanceof HoldfastError && error.kind === 'refused') return undefined;
    throw error;
  }
}

/** The stream goes into the part and, where it is to be looked into and not too large for that, into a file beside. */
async function transfer(
  { context }: RedisSiteParts,
  silenceMs: number,
  sink: BackupSink,
  directory: string | undefined,
  backup: BackupContext,
): Promise<Arrived> {
  const { host, site, probeTimeoutMs, options } = context;
  const spoolMaxBytes = options.fingerprint ?? fingerprintMaxBytesDefault;
  const times = { answerMs: Math.max(probeTimeoutMs, 1_000), silenceMs };
  const stream = await openSnapshotStream(host, targetOf(site), times, backup.signal);
  let file = directory === undefined ? undefined : await host.fileStreams.openWriter(`${directory}/${snapshotPart}`, { mode: 0o600 });
  let head = Buffer.alloc(0);
  let tail = Buffer.alloc(0);
  let sizeBytes = 0;
  let saidAtBytes = 0;
  try {
    const part = sink.openPart(snapshotPart);
    for await (const bytes of stream.bytes) {
      if (head.length < headMaxBytes) head = Buffer.concat([head, bytes.subarray(0, headMaxBytes - head.length)]);
      tail = Buffer.concat([tail, bytes.subarray(-tailKeptBytes)]).subarray(-tailKeptBytes);
      sizeBytes += bytes.length;
      if (file !== undefined && sizeBytes > spoolMaxBytes) {
        await file.close();
        file = undefined;
        await host.files.remove(`${directory}/${snapshotPart}`);
      }
      await Promise.all([part.write(bytes), file?.write(bytes)]);
      if (sizeBytes - saidAtBytes < progressEveryBytes) continue;
      saidAtBytes = sizeBytes;
      backup.progress(`${Math.round(sizeBytes / 1_048_576)} MiB of the snapshot`);
    }
    const header = parseRdbHeader(head);
    if (!endsAsRdb(tail)) throw fail('BACKUP_INCOMPLETE', { message: `the snapshot of ${sizeBytes} bytes does not end as one` });
    await part.end();
    return { header, sizeBytes, position: stream.position, isSpooled: file !== undefined };
  } finally {
    stream.close();
    await file?.close();
  }
}

function describeInstant(before: Before, { header, position }: Arrived) {
  const state: ServerState =
    position === undefined ? before.state : { ...before.state, replid: position.replid, offset: position.offset, upstream: undefined };
  const writtenSeconds = Number(header.fields.get('ctime') ?? 0);
  // A server that writes a snapshot for another replica already may hand us that one: it is older than our question.
  const isOlder =
    position !== undefined &&
    position.replid === before.state.replid &&
    position.offset < (before.state.upstream?.appliedOffset ?? before.state.offset);
  const consistentAtMs = isOlder && writtenSeconds > 0 ? Math.min(before.atMs, (writtenSeconds - 1) * 1_000) : before.atMs;
  return { position: positionOf(state, before.epoch), consistentAtMs };
}

interface Artefact {
  readonly before: Before;
  readonly program: string;
  readonly local: string;
  readonly directory: string;
  readonly atMs: number;
  readonly limits: string[];
}

/** Undefined where this machine's server can't read it, for a reason that says nothing of the snapshot; `limits` says which. */
async function readArtefact({ context, port, keys }: RedisSiteParts, artefact: Artefact, options: TakeOptions, backup: BackupContext) {
  const { before, program, local, directory, limits } = artefact;
  if (compareVersions(local, fingerprintVersionMin) < 0 || compareVersions(local.split('.').slice(0, 2).join('.'), before.version) < 0) {
    limits.push(
      `keys were neither counted nor digested: ${program} here is ${local}, the server is ${before.version}, and at least ${fingerprintVersionMin} is needed`,
    );
    return undefined;
  }
  backup.progress('reading the snapshot back in a scratch server');
  const place = { directory, workDirectory: directory, program, databases: before.databases };
  const scratch = await startScratchRedis(context.host, port, place, backup.signal).catch((error: unknown) => {
    if (!(error instanceof HoldfastError) || !/module|Can't handle RDB format/i.test(error.message)) throw error;
    limits.push('keys were neither counted nor digested: the snapshot needs a module that is not installed here');
    return undefined;
  });
  try {
    if (scratch === undefined) return undefined;
    const canary = await scratch.command('GET', keys.canary);
    const entries = await readFingerprint(scratch.connection, options.fingerprintKey, artefact.atMs, backup.signal);
    const { keys: count } = parseInfo(String(await scratch.command('INFO')));
    return { entries, keys: count, canary: typeof canary === 'string' ? parseCanaryRow(canary) : undefined };
  } finally {
    await scratch?.stop();
    await context.host.files.remove(`${directory}/${snapshotPart}`);
  }
}
