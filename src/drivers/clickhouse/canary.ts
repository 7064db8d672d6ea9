/**
 * The numbered row by which loss is measured: `holdfast.canary`, one row per component once merges have been at it. An INSERT of one row is acknowledged when its part is written.
 */
import type { Canary, CanaryRow } from '../../contracts/canary.ts';
import { type ClickhouseClient, exceptionOf, literal, type QueryLimits } from './client.ts';

export const canaryTable = { database: 'holdfast', name: 'canary' } as const;
const longestMs = 60_000;
const unknownTables = new Set([60, 81]);

export const makeCanaryTable = [
  'CREATE DATABASE IF NOT EXISTS holdfast',
  'CREATE TABLE IF NOT EXISTS holdfast.canary (component String, number UInt64, at_ms Int64, epoch UInt64) ENGINE = ReplacingMergeTree(number) ORDER BY component',
];

export function canaryOf(component: string, open: () => Promise<ClickhouseClient>): Canary {
  let isMade = false;
  return {
    write: async (row, signal) => {
      const client = await open();
      const limits = { timeoutMs: longestMs, signal };
      const insert = (): Promise<string> =>
        client.run(`INSERT INTO holdfast.canary SELECT ${literal(component)}, ${row.number}, ${row.atMs}, ${row.epoch}`, limits);
      if (isMade) {
        // A restore takes the table away and brings the one of the backup.
        if (await missing(insert)) isMade = false;
        else return;
      }
      for (const sql of makeCanaryTable) await client.run(sql, limits);
      await insert();
      isMade = true;
    },
    read: async (signal) => readCanary(await open(), component, { timeoutMs: longestMs, signal }),
  };
}

async function missing(insert: () => Promise<string>): Promise<boolean> {
  try {
    await insert();
    return false;
  } catch (error) {
    if (unknownTables.has(exceptionOf(error))) return true;
    throw error;
  }
}

export async function readCanary(client: ClickhouseClient, component: string, limits: QueryLimits): Promise<CanaryRow | undefined> {
  try {
    const [row] = await client.query(
      `SELECT number, at_ms, epoch FROM holdfast.canary WHERE component = ${literal(component)} ORDER BY number DESC LIMIT 1`,
      limits,
    );
    return row === undefined ? undefined : { number: Number(row.number), atMs: Number(row.at_ms), epoch: Number(row.epoch) };
  } catch (error) {
    if (unknownTables.has(exceptionOf(error))) return undefined;
    throw error;
  }
}
