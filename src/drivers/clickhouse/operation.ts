/**
 * A BACKUP or RESTORE, told to the server and then waited for by its id.
 *
 * `system.backups` lives in the memory of the server: an id that is not there any more says that the server was started anew, never that it went well.
 */
import { fail } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { type ClickhouseClient, literal, type QueryLimits, type Row } from './client.ts';

const pollMs = 200;
const callMs = 60_000;

export interface Operation {
  readonly id: string;
  /** BACKUP ... TO ... or RESTORE ... FROM ..., without settings. */
  readonly statement: string;
  readonly settings?: readonly string[];
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/** Its last row of `system.backups`. */
export async function runOperation(host: Host, client: ClickhouseClient, operation: Operation): Promise<Row> {
  const { id, statement, settings = [], signal } = operation;
  const limits: QueryLimits = { timeoutMs: callMs, signal };
  const untilMs = host.clock.monotonicMs() + operation.timeoutMs;
  await client.run(`${statement} SETTINGS ${[`id = ${literal(id)}`, ...settings].join(', ')} ASYNC`, limits);
  for (;;) {
    const [row] = await client.query(
      `SELECT toString(status) AS status, error, num_files, total_size, bytes_read FROM system.backups WHERE id = ${literal(id)}`,
      limits,
    );
    const status = String(row?.status);
    if (row === undefined)
      throw fail('SYSTEM_OUTCOME_UNKNOWN', {
        message: `${client.name} knows nothing of ${id} any more: it was started anew, or another server answers there`,
      });
    if (status === 'BACKUP_CREATED' || status === 'RESTORED') return row;
    if (status !== 'CREATING_BACKUP' && status !== 'RESTORING')
      throw fail('BACKUP_TOOL_FAILED', {
        message: `${client.name}: ${status}: ${String(row.error).split(', Stack trace')[0]?.slice(0, 800)}`,
        details: { exception: codeIn(row) },
      });
    if (host.clock.monotonicMs() > untilMs)
      throw fail('TIMED_OUT', { message: `${client.name}: ${id} was not through after ${Math.round(operation.timeoutMs / 1000)} s` });
    operation.progress(
      `${status === 'RESTORING' ? 'restoring' : 'writing the backup'}, ${Math.round(Number(row.bytes_read) / 1_048_576)} MiB read`,
    );
    await host.clock.sleep(pollMs, signal);
  }
}

const codeIn = ({ error }: Row): number => Number(/^Code: (\d+)/.exec(String(error))?.[1] ?? 0);
