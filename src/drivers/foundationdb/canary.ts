/**
 * Canary rows. Both regions are one database, so that a read answers the same in both, also what the other region does not hold yet.
 *
 * Invariant: a standby is only said to have a row that was written before the instant up to which it has caught up, by the cluster's own measure of its lag; so the last rows are kept, each
 * under a key of its own. A lag that is not told, or is that of no copy, makes the read fail: what would be lost is then unproven.
 */
import { fail } from '../../base/errors.ts';
import type { Canary, CanaryRow } from '../../contracts/driver.ts';
import { type FdbSite, keyOf, readCluster } from './site.ts';

const rowsKept = 64;

const rowKey = (number: number) => `canary/${String(number % rowsKept).padStart(2, '0')}`;

function parseRow(text: string): CanaryRow {
  const [, number, atMs, epoch] = /^(\d+)\.(\d+)\.(\d+)$/.exec(text) ?? [];
  if (number === undefined)
    throw fail('SYSTEM_WRONG_ANSWER', { message: 'a canary key holds something else', hint: 'Clear the key prefix of Holdfast.' });
  return { number: Number(number), atMs: Number(atMs), epoch: Number(epoch) };
}

export function openCanary(site: FdbSite): Canary {
  const { host, probeTimeoutMs } = site.context;
  return {
    write: async (row, signal) => {
      const value = `${row.number}.${row.atMs}.${row.epoch}`;
      await site.client.set({ [keyOf(site, rowKey(row.number))]: value }, { timeoutMs: probeTimeoutMs, signal });
    },
    read: async (signal) => {
      const call = { timeoutMs: probeTimeoutMs, signal };
      const begin = keyOf(site, 'canary/');
      const rows = (await site.client.getRange(begin, keyOf(site, 'canary0'), rowsKept, call)).map(({ value }) => parseRow(value));
      const readAtMs = host.clock.nowMs();
      const sorted = rows.toSorted((a, b) => b.number - a.number);
      const view = await readCluster(site, site.client, call);
      if (view.activeDc === site.dcid) return sorted[0];
      if (view.usableRegions !== 2 || view.lagSeconds === undefined || view.activeDc === undefined)
        throw fail('SYSTEM_NOT_SERVING', { message: 'the cluster does not tell how far this region is behind' });
      const caughtUpMs = readAtMs - view.lagSeconds * 1_000;
      return sorted.find(({ atMs }) => atMs <= caughtUpMs);
    },
  };
}
