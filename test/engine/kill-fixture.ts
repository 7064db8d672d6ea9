/**
 * Runs one execution on a SQLite store, with effects that are files: `node kill-fixture.ts DATABASE ID EFFECTS HOLDER`. Prints the outcome. It may be killed at any instant.
 */
import { access, appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../../src/base/errors.ts';
import type { Verb } from '../../src/contracts/verbs.ts';
import { runExecution } from '../../src/engine/run-execution.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';

const [path = '', id = '', effects = '', holder = ''] = process.argv.slice(2);
const host = nodeHost({ logTo: 'silent' });
const store = await openSqliteStore({ path, host, platform: 'orders' });

const verb: Verb = {
  inspect: async (want) => {
    const there = await access(join(effects, String(want.effect))).then(
      () => true,
      () => false,
    );
    return there ? { state: 'done', output: {} } : { state: 'absent', why: 'no such file' };
  },
  apply: async (want) => {
    await sleep(Math.random() * 4);
    await appendFile(join(effects, String(want.effect)), `${holder}\n`);
    await sleep(Math.random() * 4);
  },
};

for (let outcome: string | undefined; outcome === undefined; ) {
  try {
    const state = await runExecution({
      store,
      host,
      id,
      holder,
      verbs: { resolve: () => verb },
      signal: new AbortController().signal,
      leaseTtlMs: 500,
    });
    outcome = state.outcome ?? state.status;
    console.log(outcome);
  } catch (error) {
    // Held by the one before, for a moment; lost where a busy machine did not renew in time.
    if (!(error instanceof HoldfastError) || !['STATE_LEASE_HELD', 'STATE_LEASE_LOST'].includes(error.code)) throw error;
    await sleep(10);
  }
}
await store.close();
