/**
 * A restored server that runs: asked, checked, compared, stopped.
 *
 * Invariant: `stop` ends it, whatever happened before. What a question changes stays in the copy; questions run read-only.
 */
import type { Json } from '../../../base/json.ts';
import type { CheckResult, Fingerprint, RunningCopy } from '../../../contracts/backup.ts';
import type { CanaryRow } from '../../../contracts/canary.ts';
import * as sql from '../statements.ts';
import { compareFingerprint } from './compare-fingerprint.ts';
import type { RunningCopyRequest } from './copy-request.ts';
import { runProgram } from './programs.ts';
import { refusalState } from './sql-session.ts';

const checkTimeoutMs = 12 * 3_600_000;
const askTimeoutMs = 3_600_000;

export class PostgresqlRunningCopy implements RunningCopy {
  readonly reached: RunningCopy['reached'];
  readonly address: string;
  readonly #request: RunningCopyRequest;

  constructor(request: RunningCopyRequest) {
    this.#request = request;
    this.reached = request.reached;
    const { host, port, user, database } = request.address;
    this.address = `psql -h '${host}' -p ${port} -U ${user} ${database}`;
  }

  async check(): Promise<readonly CheckResult[]> {
    const { context, programs, address } = this.#request;
    const where = ['--host', address.host, '--port', String(address.port), '--username', address.user];
    const how = ['--all', '--install-missing', '--heapallindexed', '--jobs=2'];
    const { exitCode, stdout, stderr } = await runProgram(context.host, programs, 'pg_amcheck', [...where, ...how], {
      timeoutMs: checkTimeoutMs,
      signal: context.signal,
    });
    const words = `${stdout}${stderr}`.trim().slice(0, 1_500);
    return [
      {
        name: 'pg_amcheck --heapallindexed',
        level: 'P3',
        ok: exitCode === 0,
        detail: exitCode === 0 ? `every table and index of every database was read${words === '' ? '' : `: ${words}`}` : words,
      },
    ];
  }

  compare(expected: Fingerprint, key: Uint8Array): Promise<readonly CheckResult[]> {
    return compareFingerprint(this.#request, expected, key);
  }

  async readCanary(): Promise<CanaryRow | undefined> {
    const { session, context } = this.#request;
    try {
      const row = (await session.query(sql.readCanaryText, [context.component]))[0];
      return row && { number: Number(row['number']), atMs: Number(row['at_ms']), epoch: Number(row['epoch']) };
    } catch (error) {
      // Undefined table or schema: nobody ever wrote a canary here.
      const state = refusalState(error);
      if (state === '42P01' || state === '3F000') return undefined;
      throw error;
    }
  }

  async ask(question: string): Promise<Json> {
    const { session } = this.#request;
    await session.query('BEGIN READ ONLY');
    try {
      const row = (await session.query(question, [], askTimeoutMs))[0];
      const value = row === undefined ? null : Object.values(row)[0];
      return value === null || value === undefined ? null : typeof value === 'object' ? JSON.stringify(value) : String(value);
    } finally {
      await session.query('ROLLBACK').catch(() => {
        // The connection is gone: so is the transaction.
      });
    }
  }

  async stop(): Promise<void> {
    this.#request.session.close();
    await this.#request.server.stop();
  }
}
