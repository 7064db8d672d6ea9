/**
 * Finds, in what pg_waldump prints, the transactions that took much away: dropped tables, truncated ones, many deleted rows. Pure; fed line by line, in the order of the log.
 *
 * What it can't see: rows that were overwritten by an UPDATE (their number is counted, but an update is no loss by itself), and the names of tables, which the log does not have.
 */
import { parseUtcTimestampMs } from '../../../base/instants.ts';
import { parseLogRecord } from '../salvage-by-hands.ts';

export interface LogLoss {
  readonly transaction: string;
  /** When it was committed, by the server's clock. */
  readonly atMs: number;
  /** Where its commit stands. */
  readonly position: string;
  readonly rowsDeleted: number;
  readonly rowsUpdated: number;
  /** Files of tables and indexes that its commit removed; temporary ones left out. */
  readonly filesDropped: number;
  readonly truncated: boolean;
  /** `database/file` of the tables that rows were deleted from, those with the most first. */
  readonly tables: readonly string[];
}

interface Work {
  deleted: Map<string, number>;
  updated: number;
  truncated: boolean;
}

const relation = /rel \d+\/(\d+)\/(\d+)/;
/** Files with lower numbers belong to the system's own catalogues. */
const firstUserFile = 16_384;
const tablesMost = 5;

export class LossFinder {
  readonly #work = new Map<string, Work>();

  /** Undefined for every line but the commit of a transaction that took something away. */
  take(line: string): LogLoss | undefined {
    const record = parseLogRecord(line);
    if (!record) return undefined;
    const { manager, transaction, lsn: position, description } = record;
    if (manager === 'Heap' || manager === 'Heap2') {
      this.#heap(transaction, description);
      return undefined;
    }
    if (manager !== 'Transaction') return undefined;
    if (/^COMMIT(_PREPARED)? /.test(description)) return this.#commit(transaction, position, description);
    if (/^ABORT(_PREPARED)? /.test(description)) for (const id of [transaction, ...subtransactionsOf(description)]) this.#work.delete(id);
    return undefined;
  }

  #workOf(transaction: string): Work {
    const known = this.#work.get(transaction) ?? { deleted: new Map(), updated: 0, truncated: false };
    this.#work.set(transaction, known);
    return known;
  }

  #heap(transaction: string, description: string): void {
    const verb = /^[A-Z_]+/.exec(description)?.[0] ?? '';
    if (verb === 'TRUNCATE') {
      this.#workOf(transaction).truncated = true;
      return;
    }
    if (verb !== 'DELETE' && verb !== 'UPDATE' && verb !== 'HOT_UPDATE') return;
    const found = relation.exec(description);
    if (!found || Number(found[2]) < firstUserFile) return;
    const work = this.#workOf(transaction);
    if (verb !== 'DELETE') {
      work.updated += 1;
      return;
    }
    const table = `${found[1]}/${found[2]}`;
    work.deleted.set(table, (work.deleted.get(table) ?? 0) + 1);
  }

  #commit(transaction: string, position: string, description: string): LogLoss | undefined {
    // A prepared transaction is committed by another one, which names it.
    const own = /^COMMIT_PREPARED (\d+):/.exec(description)?.[1] ?? transaction;
    const parts = [own, ...subtransactionsOf(description)].flatMap((id) => {
      const work = this.#work.get(id);
      this.#work.delete(id);
      return work ? [work] : [];
    });
    const deleted = new Map<string, number>();
    for (const part of parts) for (const [table, rows] of part.deleted) deleted.set(table, (deleted.get(table) ?? 0) + rows);
    const rowsDeleted = [...deleted.values()].reduce((sum, rows) => sum + rows, 0);
    const filesDropped = droppedFiles(description);
    const truncated = parts.some((part) => part.truncated);
    const atMs = commitTimeMs(description);
    if (atMs === undefined || (rowsDeleted === 0 && filesDropped === 0 && !truncated)) return undefined;
    const tables = [...deleted].sort(([, left], [, right]) => right - left).map(([table]) => table);
    return {
      transaction: own,
      atMs,
      position,
      rowsDeleted,
      rowsUpdated: parts.reduce((sum, part) => sum + part.updated, 0),
      filesDropped,
      truncated,
      tables: tables.slice(0, tablesMost),
    };
  }
}

function subtransactionsOf(description: string): readonly string[] {
  return /; subxacts: ([\d ]+)/.exec(description)?.[1]?.trim().split(' ') ?? [];
}

function droppedFiles(description: string): number {
  const files = /; rels: ([^;]+)/.exec(description)?.[1]?.trim().split(' ') ?? [];
  return files.filter((file) => /\/\d+$/.test(file) && Number(file.split('/').at(-1)) >= firstUserFile).length;
}

/** pg_waldump prints it in the time zone that it runs in: UTC. */
function commitTimeMs(description: string): number | undefined {
  const text = /(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?) UTC/.exec(description)?.[1];
  return text === undefined ? undefined : parseUtcTimestampMs(text);
}
