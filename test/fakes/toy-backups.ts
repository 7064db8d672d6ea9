/**
 * A toy database that can be backed up, archived, restored and asked: for tests of what the core does with backups. Its content is text files in memory; every way in which a backup can
 * be bad is a property of that content, not a switch: a row whose sum is wrong, a log that ends early, a file that is no JSON.
 */
import { createHash, createHmac } from 'node:crypto';
import type { Repository } from '../../src/backups/repository.ts';
import { fail } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import type {
  AnyDriverBackups,
  ArchiveWriter,
  BackupFacts,
  BackupReader,
  CheckResult,
  Fingerprint,
  RecoveryTarget,
  RestoredCopy,
  RestorerContext,
  RunningCopy,
} from '../../src/contracts/backup.ts';
import type { CanaryRow } from '../../src/contracts/canary.ts';
import type { Position } from '../../src/contracts/observation.ts';
import { segmentName } from './catalogue.ts';

const history = '7000000000000000001';

export interface ToyRow extends JsonObject {
  readonly id: number;
  readonly text: string;
  /** Of id and text: what the engine's own check looks at. */
  readonly sum: string;
}

/** One thing that happened: a segment of the log holds one. */
export interface ToyEvent extends JsonObject {
  readonly number: number;
  readonly atMs: number;
  readonly row?: ToyRow;
  readonly canary?: CanaryRow & JsonObject;
}

export const toyRow = (id: number, text = `order ${id}`): ToyRow => ({
  id,
  text,
  sum: createHash('sha256').update(`${id}${text}`).digest('hex').slice(0, 8),
});

export const toyPosition = (number: number): Position & JsonObject => ({ history, timeline: 1, offset: `${number}`, text: `#${number}` });

export function toyFingerprint(rows: readonly ToyRow[], key: Uint8Array, at?: number): Fingerprint {
  const digest = createHmac('sha256', key)
    .update(
      rows
        .map(({ id, text }) => `${id}:${text}`)
        .toSorted()
        .join(),
    )
    .digest('hex');
  return { entries: [{ name: 'orders', count: rows.length, digest }], ...(at === undefined ? {} : { position: toyPosition(at) }) };
}

const encode = (text: string) => new TextEncoder().encode(text);

async function readText(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

export interface ToyBackupParts {
  readonly component?: string;
  readonly backupId: string;
  readonly rows: readonly ToyRow[];
  /** Instead of the rows: what the file holds. */
  readonly fileText?: string;
  /** What the fingerprint was taken over, where that is not the rows; `null`: none was taken. */
  readonly fingerprintOf?: readonly ToyRow[] | null;
  readonly fingerprintAt?: number;
  readonly atMs: number;
  /** The number of the last event that the backup holds; with it there is a log. */
  readonly upTo?: number;
  readonly canary?: CanaryRow & JsonObject;
}

export async function takeToyBackup(repository: Repository, parts: ToyBackupParts) {
  const component = parts.component ?? 'orders-db';
  const writing = await repository.beginBackup({
    component,
    backupId: parts.backupId,
    what: 'base',
    signal: new AbortController().signal,
  });
  const write = async (name: string, text: string) => {
    const part = writing.sink.openPart(name);
    await part.write(encode(text));
    await part.end();
  };
  await write('rows.json', parts.fileText ?? JSON.stringify(parts.rows));
  await write('canary.json', JSON.stringify(parts.canary ?? null));
  const facts: BackupFacts = {
    engine: 'toy',
    engineVersion: '1.0',
    identity: history,
    consistentAtMs: parts.atMs,
    dataBytes: 100,
    ...(parts.upTo === undefined
      ? {}
      : {
          position: toyPosition(parts.upTo),
          archive: { timeline: 1, first: segmentName(parts.upTo + 1), last: segmentName(parts.upTo + 1) },
        }),
    ...(parts.fingerprintOf === null
      ? {}
      : { fingerprint: toyFingerprint(parts.fingerprintOf ?? parts.rows, writing.fingerprintKey, parts.fingerprintAt) }),
    ...(parts.canary ? { canary: parts.canary } : {}),
  };
  return await writing.commit(facts);
}

export async function archiveToyEvents(archive: ArchiveWriter, events: readonly ToyEvent[]): Promise<void> {
  for (const event of events) await archive.push(segmentName(event.number), encode(JSON.stringify(event)));
}

async function readLog(backup: BackupReader, target: RecoveryTarget): Promise<ToyEvent[]> {
  const { archive, facts } = backup;
  if (!archive || !facts.archive || target.kind === 'consistent') return [];
  const events: ToyEvent[] = [];
  for (let number = Number.parseInt(facts.archive.first.slice(8), 16); ; number += 1) {
    const found = await archive.fetch(segmentName(number));
    // As in the systems that this stands for: a hole looks like the end.
    if (!found?.whole) return events;
    const event = JSON.parse(new TextDecoder().decode(found.bytes)) as ToyEvent;
    if (target.kind === 'time' && event.atMs > target.atMs) return events;
    if (target.kind === 'position' && event.number > Number(target.text.slice(1))) return events;
    events.push(event);
  }
}

export interface ToyBackups extends AnyDriverBackups {
  /** Copies that were started and not stopped. */
  readonly runningCopies: ReadonlySet<string>;
  readonly restores: number;
}

export interface ToyBehaviour {
  /** Called at the start of each phase: to throw, to let time pass, to abort. */
  readonly at?: (phase: 'restore' | 'start' | 'check' | 'compare' | 'stop') => Promise<void> | void;
  /** A driver without checks of its own. */
  readonly noChecks?: boolean;
}

export function toyBackups(behaviour: ToyBehaviour = {}): ToyBackups {
  const runningCopies = new Set<string>();
  let restores = 0;
  const at = async (phase: Parameters<NonNullable<ToyBehaviour['at']>>[0]) => await behaviour.at?.(phase);

  const runCopy = async ({ host }: RestorerContext<unknown>, directory: string): Promise<RunningCopy> => {
    const rows = JSON.parse(await host.files.readText(`${directory}/rows.json`)) as ToyRow[];
    const events = JSON.parse(await host.files.readText(`${directory}/log.json`)) as ToyEvent[];
    const base = JSON.parse(await host.files.readText(`${directory}/base.json`)) as { position?: Position; atMs: number };
    let canary = JSON.parse(await host.files.readText(`${directory}/canary.json`)) as CanaryRow | null;
    for (const event of events) {
      if (event.row) rows.push(event.row);
      canary = event.canary ?? canary;
    }
    runningCopies.add(directory);
    const last = events.at(-1);
    const position = last ? toyPosition(last.number) : base.position;
    return {
      address: `toy:${directory}`,
      reached: { ...(position ? { position } : {}), atMs: last?.atMs ?? base.atMs, detail: `event ${position?.text ?? 'none'}` },
      check: async () => {
        await at('check');
        const ids = new Set(rows.map(({ id }) => id));
        const ok = ids.size === rows.length;
        return behaviour.noChecks ? [] : [{ name: 'ids are unique', level: 'P3', ok, detail: `${ids.size} of ${rows.length}` }];
      },
      compare: async (expected, key): Promise<CheckResult[]> => {
        await at('compare');
        const found = toyFingerprint(rows, key).entries[0];
        return expected.entries.map((entry) => ({
          name: `${entry.name} equals its fingerprint`,
          level: 'P4',
          ok: found?.count === entry.count && found.digest === entry.digest,
          detail: `${found?.count} of ${entry.count} rows`,
        }));
      },
      readCanary: async () => canary ?? undefined,
      ask: async (question) => {
        if (question === 'count') return rows.length;
        if (question === 'nothing') return null;
        throw fail('SYSTEM_REFUSED', { message: `the toy does not understand "${question}"` });
      },
      stop: async () => {
        await at('stop');
        runningCopies.delete(directory);
      },
    };
  };

  return {
    runningCopies,
    get restores() {
      return restores;
    },
    kinds: [{ what: 'base', summary: 'all rows', continuous: false }],
    openSource: () => {
      throw new Error('the toy is backed up by takeToyBackup');
    },
    openRestorer: (context: RestorerContext<unknown>) => ({
      preview: async (_, target) => ({ target: target.kind, bytes: 0, problems: [] }),
      restore: async (backup, target, into): Promise<RestoredCopy> => {
        await at('restore');
        restores += 1;
        const { files } = context.host;
        if ((await files.list(into)).length > 0) throw fail('RESTORE_TARGET_NOT_EMPTY', { subject: into });
        for (const { name } of backup.parts) await files.writeAtomically(`${into}/${name}`, await readText(backup.readPart(name)));
        await files.writeAtomically(`${into}/log.json`, JSON.stringify(await readLog(backup, target)));
        const { position, consistentAtMs } = backup.facts;
        await files.writeAtomically(`${into}/base.json`, JSON.stringify({ position, atMs: consistentAtMs }));
        return {
          directory: into,
          startHint: `toy ${into}`,
          checkStopped: async () => {
            await at('check');
            if (behaviour.noChecks) return [];
            const rows = JSON.parse(await files.readText(`${into}/rows.json`)) as ToyRow[];
            const bad = rows.filter(({ id, text, sum }) => toyRow(id, text).sum !== sum);
            return [{ name: 'sums of rows', level: 'P3', ok: bad.length === 0, detail: `${bad.length} of ${rows.length} are wrong` }];
          },
          start: async () => {
            await at('start');
            return await runCopy(context, into);
          },
        };
      },
    }),
  };
}
