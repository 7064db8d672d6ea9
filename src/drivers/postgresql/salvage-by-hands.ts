/**
 * Salvage on a real host: read the log past the fork with pg_waldump, find which transactions committed there and which tables they changed, then read the rows that carry
 * their ids out of the data directory itself, started privately as a barred standby.
 *
 * Rows are found by xmin, the id of the transaction that wrote them. So an inserted row and the newest version of an updated row are listed; a row that was deleted
 * again, or overwritten by a later one of these transactions, is only counted.
 */
import { fail } from '../../base/errors.ts';
import type { Random } from '../../host/host.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import * as scripts from './machine-scripts.ts';
import type { Limit, SalvageRequest, SalvageResult } from './ports.ts';
import { privateOptions, type RawState, type RunScript, segmentName, segmentStart } from './run-script.ts';

interface Parts {
  readonly run: RunScript;
  readonly readState: (limit: Limit) => Promise<RawState>;
  readonly dataDirectory: string;
  readonly random: Random;
}

/** How much log before the fork is searched for changes of transactions that committed after it. */
const lookBackBytes = 256n * 1024n * 1024n;
const transactionsPerQuery = 5_000;

export interface LogRecord {
  readonly manager: string;
  readonly transaction: string;
  readonly lsn: string;
  readonly description: string;
}

/** A line of pg_waldump; undefined for what it says at the end of the log. */
export function parseLogRecord(line: string): LogRecord | undefined {
  const match =
    /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*\d+, tx:\s*(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), prev [0-9A-F/]+, desc: (.*)$/.exec(line);
  if (!match) return undefined;
  const [, manager = '', transaction = '', lsn = '', description = ''] = match;
  return { manager, transaction, lsn, description };
}

export interface Committed {
  /** Transaction id -> when it committed, in the former primary's words. Subtransactions carry their parent's time. */
  readonly times: ReadonlyMap<string, string>;
  readonly transactions: number;
  readonly endLsn: string;
  readonly diverged: boolean;
}

export function findCommitted(text: string, forkLsn: string): Committed {
  const times = new Map<string, string>();
  let transactions = 0;
  let endLsn = forkLsn;
  let diverged = false;
  for (const line of text.split('\n')) {
    const record = parseLogRecord(line);
    if (!record) continue;
    diverged = true;
    endLsn = record.lsn;
    if (record.manager !== 'Transaction') continue;
    const commit = /^COMMIT(?:_PREPARED (\d+):)?\s*(\d{4}-\d\d-\d\d \S+ \S+?)(?:;|$)/.exec(record.description);
    if (!commit) continue;
    transactions += 1;
    const at = commit[2] ?? '';
    times.set(commit[1] ?? record.transaction, at);
    const children = /subxacts: ([\d ]+)/.exec(record.description)?.[1];
    for (const child of children?.trim().split(/\s+/) ?? []) times.set(child, at);
  }
  return { times, transactions, endLsn, diverged };
}

export interface Changes {
  /** Database id -> ids of changed files. */
  readonly files: ReadonlyMap<string, ReadonlySet<string>>;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
}

/** Reads lines of `OPERATION space/database/file count`. */
export function parseChanges(text: string): Changes {
  const files = new Map<string, Set<string>>();
  const counts = { inserts: 0, updates: 0, deletes: 0 };
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+) \d+\/(\d+)\/(\d+) (\d+)$/.exec(line);
    if (!match) continue;
    const [, operation = '', database = '', file = '', count = '0'] = match;
    if (operation.endsWith('INSERT')) counts.inserts += Number(count);
    else if (operation.endsWith('UPDATE')) counts.updates += Number(count);
    else if (operation === 'DELETE') counts.deletes += Number(count);
    else continue;
    files.set(database, (files.get(database) ?? new Set<string>()).add(file));
  }
  return { files, ...counts };
}

export async function salvageByHands(parts: Parts, request: SalvageRequest, limit: Limit): Promise<SalvageResult> {
  const { run, readState } = parts;
  const state = await readState(limit);
  const committed = findCommitted(
    (await run({ script: scripts.readCommitsScript, args: [String(request.timeline), request.forkLsn] }, limit)).stdout,
    request.forkLsn,
  );
  const nothing = {
    diverged: committed.diverged,
    endLsn: committed.endLsn,
    transactions: committed.transactions,
    updates: 0,
    deletes: 0,
    notes: [],
  };
  if (!committed.diverged) return { ...nothing, writes: 0, files: [] };

  const first = segmentName(request.timeline, request.forkLsn, state.segmentBytes);
  const last = `${first.slice(0, 8)}${'F'.repeat(16)}`;
  await run({ script: scripts.keepLogScript, args: [first, last, request.into] }, limit);
  const files = [`${request.into}/log`];
  if (committed.times.size === 0) return { ...nothing, writes: 0, files };

  const from = await lookBackFrom(parts, request, state, limit);
  const ids = [...committed.times.keys()].map((id) => `${id}\n`).join('');
  await run({ script: scripts.writeFileScript, args: [request.into, 'transactions'], stdin: ids }, limit);
  const args = [String(request.timeline), from, `${request.into}/transactions`];
  const changes = parseChanges((await run({ script: scripts.countChangesScript, args }, limit)).stdout);
  const rows = await readRows(parts, request, committed, changes, limit);
  await run(
    { script: scripts.writeFileScript, args: [request.into, 'writes.jsonl'], stdin: rows.map((row) => `${row}\n`).join('') },
    limit,
  );
  return {
    ...nothing,
    writes: rows.length,
    updates: changes.updates,
    deletes: changes.deletes,
    files: [`${request.into}/writes.jsonl`, ...files],
    notes: [`changes made before the fork by transactions that committed after it were looked for from ${from} on`],
  };
}

/** As far back as asked for, as the log on disk goes, and no further than the timeline's beginning. */
async function lookBackFrom(parts: Parts, request: SalvageRequest, state: RawState, limit: Limit): Promise<string> {
  const timeline = request.timeline.toString(16).toUpperCase().padStart(8, '0');
  const oldest = (await parts.run({ script: scripts.oldestSegmentScript, args: [timeline] }, limit)).stdout.trim();
  if (oldest === '') return request.forkLsn;
  const oldestLsn = parseLsn(segmentStart(oldest, state.segmentBytes));
  const fork = parseLsn(request.forkLsn);
  const wanted = fork > lookBackBytes ? fork - lookBackBytes : 0n;
  // The beginning of a segment may be the rest of a record: pg_waldump finds the next whole one from there.
  const aligned = wanted - (wanted % state.segmentBytes);
  return formatLsn(aligned > oldestLsn ? aligned : oldestLsn);
}

async function readRows(
  parts: Parts,
  request: SalvageRequest,
  committed: Committed,
  changes: Changes,
  limit: Limit,
): Promise<readonly string[]> {
  if (changes.files.size === 0) return [];
  const { run } = parts;
  // Short: the path of a Unix socket has a limit of about 100 characters.
  const sockets = `/tmp/holdfast-${Buffer.from(parts.random.bytes(6)).toString('hex')}`;
  const port = '5432';
  const timeoutSeconds = String(Math.ceil(Math.min(limit.timeoutMs / 1_000, 3_600)));
  const query = async (database: string, text: string) =>
    (await run({ script: scripts.queryPrivateScript, args: [sockets, port, request.user, database], stdin: text }, limit)).stdout;
  try {
    await run(
      { script: scripts.startPrivateScript, args: [timeoutSeconds, `${privateOptions} -c port=${port}`, sockets], leaveChildren: true },
      limit,
    );
    const rows: string[] = [];
    for (const [id, files] of changes.files) {
      const database = (await query(request.database, `SELECT datname FROM pg_database WHERE oid = ${Number(id)} AND datallowconn`)).trim();
      if (database === '') continue;
      for (const table of linesOf(await query(database, changedTablesText(files)))) {
        rows.push(...(await readRowsOf(table, committed, (text) => query(database, text), database)));
      }
    }
    return rows;
  } finally {
    await run({ script: scripts.stopPrivateScript, args: [timeoutSeconds, sockets] }, limit);
  }
}

/** Ours are not a client's writes, and the catalogues' rows are no user's data. */
function changedTablesText(files: ReadonlySet<string>): string {
  const numbers = [...files].map((file) => Number(file)).join(',');
  return `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE pg_relation_filenode(c.oid) IN (${numbers}) AND c.relkind IN ('r', 'm')
AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'holdfast') ORDER BY 1`;
}

async function readRowsOf(
  table: string,
  committed: Committed,
  query: (text: string) => Promise<string>,
  database: string,
): Promise<string[]> {
  const rows: string[] = [];
  const all = [...committed.times];
  for (let from = 0; from < all.length; from += transactionsPerQuery) {
    const values = all.slice(from, from + transactionsPerQuery).map(([id, at]) => `('${Number(id)}'::xid,${quote(at)})`);
    rows.push(
      ...linesOf(
        await query(`SELECT json_build_object('database', ${quote(database)}, 'table', ${quote(table)}, 'transaction', t.xmin::text,
  'committedAt', c.at, 'row', to_json(t))
FROM ${table} t JOIN (VALUES ${values.join(',')}) c (id, at) ON t.xmin = c.id ORDER BY c.at, t.xmin::text::bigint, t.ctid`),
      ),
    );
  }
  return rows;
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function quote(text: string): string {
  if (text.includes('\\')) throw fail('SYSTEM_WRONG_ANSWER', { message: `a name with a backslash: ${text}` });
  return `'${text.replaceAll("'", "''")}'`;
}
