/** Starts a PostgreSQL that the stand-alone restorer has brought back, on a port of its own; asks one question, and stops it. */
import { join } from 'node:path';
import pg from 'pg';
import { expect } from 'vitest';
import { freePort } from './ports.ts';
import type { RunningPostgres } from './postgresql.ts';
import { runProgram } from './run-program.ts';

export async function askRestored(into: string, server: RunningPostgres, question: string): Promise<unknown> {
  if (server.owner !== undefined) await runProgram(['chown', '-R', server.owner, into]);
  const port = await freePort('127.0.0.1');
  const control = (...args: string[]) =>
    runProgram([...server.commandPrefix, join(server.binDirectory, 'pg_ctl'), '-D', join(into, 'data'), '-w', ...args], {
      cwd: into,
      timeoutMs: 60_000,
    });
  const settings = `-c port=${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c logging_collector=off`;
  await control('-l', join(into, 'server.log'), '-o', settings, 'start');
  try {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'holdfast', password: server.passwords.holdfast, database: 'postgres' });
    await client.connect();
    try {
      await expect.poll(async () => (await client.query('SELECT pg_is_in_recovery() AS yes')).rows[0].yes, { timeout: 20_000 }).toBe(false);
      return (await client.query(question)).rows[0];
    } finally {
      await client.end();
    }
  } finally {
    await control('-m', 'immediate', 'stop');
  }
}
