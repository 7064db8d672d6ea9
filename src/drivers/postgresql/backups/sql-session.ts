/**
 * One connection for the statements of a backup or of a restored copy. Every statement has an end; when time is up the socket is destroyed, and the server notices within seconds
 * (`client_connection_check_interval`) and gives up the statement.
 */
import { fail } from '../../../base/errors.ts';
import type { Host } from '../../../host/host.ts';
import { connectClient } from '../client.ts';
import { clientError, sqlStateOf } from '../client-errors.ts';
import type { Address } from '../ports.ts';

export type SqlRow = Readonly<Record<string, unknown>>;

const connectTimeoutMs = 15_000;
const statementTimeoutMs = 60_000;

export class SqlSession {
  readonly #host: Host;
  readonly #where: string;
  readonly #signal: AbortSignal;
  readonly #run: (text: string, values: readonly unknown[]) => Promise<readonly SqlRow[]>;
  readonly #destroy: () => void;
  #closed = false;

  private constructor(
    host: Host,
    where: string,
    signal: AbortSignal,
    run: (text: string, values: readonly unknown[]) => Promise<readonly SqlRow[]>,
    destroy: () => void,
  ) {
    this.#host = host;
    this.#where = where;
    this.#signal = signal;
    this.#run = run;
    this.#destroy = destroy;
  }

  static async open(host: Host, address: Address, signal: AbortSignal): Promise<SqlSession> {
    const { client, stream } = await connectClient(host, address, { timeoutMs: connectTimeoutMs, signal });
    client.on('error', () => {
      // The statement under way rejects; the next one finds the connection gone.
    });
    const run = async (text: string, values: readonly unknown[]) => {
      // One of several statements in a row answers with several results: the last one counts.
      const result: unknown = await client.query<SqlRow>(text, values.length === 0 ? undefined : [...values]);
      const last = (Array.isArray(result) ? result.at(-1) : result) as { readonly rows: readonly SqlRow[] };
      return last.rows;
    };
    const session = new SqlSession(host, `${address.host}:${address.port}`, signal, run, () => stream.destroy());
    try {
      await session.query("SET client_connection_check_interval = '5s'; SET application_name = 'holdfast'");
    } catch (error) {
      session.close();
      throw error;
    }
    return session;
  }

  /** The rows, each a record by column. */
  async query(text: string, values: readonly unknown[] = [], timeoutMs = statementTimeoutMs): Promise<readonly SqlRow[]> {
    if (this.#closed) throw fail('SYSTEM_UNREACHABLE', { message: `${this.#where}: the connection is closed` });
    let stop = () => {};
    const over = new Promise<never>((_resolve, reject) => {
      const end = (error: Error) => {
        this.close();
        reject(error);
      };
      const onAbort = () =>
        end(fail('INTERRUPTED', { message: `a statement at ${this.#where} was interrupted`, cause: this.#signal.reason }));
      const cancel = this.#host.clock.after(timeoutMs, () =>
        end(fail('TIMED_OUT', { message: `${this.#where} did not answer within ${timeoutMs} ms`, details: { evidence: 'timeout' } })),
      );
      stop = () => {
        cancel();
        this.#signal.removeEventListener('abort', onAbort);
      };
      if (this.#signal.aborted) onAbort();
      else this.#signal.addEventListener('abort', onAbort, { once: true });
    });
    over.catch(() => {
      // Heard through the race, or nobody waits any more.
    });
    const work = this.#run(text, values);
    work.catch(() => {
      // Heard through the race, or the connection was destroyed under it.
    });
    try {
      return await Promise.race([work, over]);
    } catch (error) {
      throw clientError(error, this.#where);
    } finally {
      stop();
    }
  }

  async row(text: string, values: readonly unknown[] = [], timeoutMs = statementTimeoutMs): Promise<SqlRow> {
    return (await this.query(text, values, timeoutMs))[0] ?? {};
  }

  close(): void {
    this.#closed = true;
    this.#destroy();
  }
}

/** The server's own code for what went wrong, where it was the server that said no. */
export function refusalState(error: unknown): string | undefined {
  return sqlStateOf((error as { cause?: unknown }).cause);
}

/** 42501: our role lacks the privilege. */
export function isNotAllowed(error: unknown): boolean {
  return refusalState(error) === '42501';
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
