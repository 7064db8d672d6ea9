import { expect, it } from 'vitest';
import { type LogLoss, LossFinder } from './log-losses.ts';

const record = (manager: string, tx: number, lsn: string, description: string) =>
  `rmgr: ${manager.padEnd(11)} len (rec/tot):     54/    54, tx:        ${tx}, lsn: ${lsn}, prev 0/01000028, desc: ${description}`;
const find = (...lines: string[]): LogLoss[] => {
  const finder = new LossFinder();
  return lines.flatMap((line) => finder.take(line) ?? []);
};
const at = '2026-11-20 10:00:00.123456 UTC';

it('counts what a transaction deleted, its subtransactions included, and says when it was committed', () => {
  const [loss, ...rest] = find(
    record('Heap', 700, '0/01000100', 'DELETE off: 1 flags: 0x00 KEYS_UPDATED , blkref #0: rel 1663/5/16400 blk 0'),
    record('Heap', 701, '0/01000200', 'DELETE off: 2 flags: 0x00 KEYS_UPDATED , blkref #0: rel 1663/5/16400 blk 0'),
    record('Heap', 700, '0/01000300', 'DELETE off: 3 flags: 0x00 KEYS_UPDATED , blkref #0: rel 1663/5/1259 blk 0'),
    record('Transaction', 700, '0/01000400', `COMMIT ${at}; subxacts: 701; origin: node 0`),
  );
  expect(rest).toEqual([]);
  expect(loss).toMatchObject({ transaction: '700', rowsDeleted: 2, filesDropped: 0, tables: ['5/16400'], position: '0/01000400' });
  expect(loss?.atMs).toBe(Date.UTC(2026, 10, 20, 10, 0, 0, 123));
});

it('sees dropped tables by the files that the commit removes, and leaves temporary tables and the system out', () => {
  const dropped = find(
    record('Transaction', 9, '0/02', `COMMIT ${at}; rels: base/5/16400 base/5/16403 base/5/t3_16500 base/5/2619; inval msgs: catcache 50`),
  );
  expect(dropped).toMatchObject([{ transaction: '9', filesDropped: 2, rowsDeleted: 0 }]);
  expect(find(record('Transaction', 9, '0/02', `COMMIT ${at}; rels: base/5/t3_16500`))).toEqual([]);
});

it('says nothing of what was rolled back, nor of a commit that took nothing away', () => {
  expect(
    find(
      record('Heap', 5, '0/01', 'DELETE off: 1 flags: 0x00 , blkref #0: rel 1663/5/16400 blk 0'),
      record('Transaction', 5, '0/02', `ABORT ${at}`),
      record('Heap', 6, '0/03', 'INSERT off: 1 flags: 0x00, blkref #0: rel 1663/5/16400 blk 0'),
      record('Transaction', 6, '0/04', `COMMIT ${at}`),
      'pg_waldump: error: error in WAL record at 0/1748: invalid record length',
    ),
  ).toEqual([]);
});

it('sees TRUNCATE, and prepared transactions under their own number', () => {
  const [loss] = find(
    record('Heap', 8, '0/01', 'TRUNCATE nrelids 1 relids 16400'),
    record('Transaction', 11, '0/02', `COMMIT_PREPARED 8: ${at}`),
  );
  expect(loss).toMatchObject({ transaction: '8', truncated: true });
});
