/**
 * Another process on the same SQLite state, for tests: does one thing, tells each success as a line, and is killed by the test.
 *   state-store-child.ts PATH commits            counts up under c/, printing each acknowledged number
 *   state-store-child.ts PATH put KEY VALUE      one commit
 *   state-store-child.ts PATH lease NAME TTL     acquires, prints the token, renews for ever
 *   state-store-child.ts PATH lock               holds the write lock
 */
import { writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';

const [path = '', what, name = '', value = ''] = process.argv.slice(2);
const host = nodeHost({ logTo: 'silent' });
/** Straight to the pipe: what was printed was acknowledged before, and is seen even if the process dies next. */
const say = (text: string | number): void => void writeSync(1, `${text}\n`);

if (what === 'lock') {
  const database = new DatabaseSync(path);
  database.exec('BEGIN IMMEDIATE');
  say('locked');
  await host.clock.sleep(60_000);
}
const store = await openSqliteStore({ path, host, platform: 'test' });
if (what === 'put') {
  say(await store.commit([{ kind: 'put', key: name, value, expected: 'any' }]));
  await store.close();
} else if (what === 'commits') {
  await Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      for (let number = lane; ; number += 8) {
        await store.commit([
          { kind: 'put', key: `c/${number}`, value: number, expected: 'absent' },
          { kind: 'put', key: `d/${number}`, value: number, expected: 'absent' },
        ]);
        say(number);
      }
    }),
  );
} else if (what === 'lease') {
  let lease = await store.acquireLease(name, 'child', Number(value));
  say(lease.token);
  for (;;) {
    await host.clock.sleep(lease.ttlMs / 4);
    lease = await store.renewLease(lease);
  }
}
