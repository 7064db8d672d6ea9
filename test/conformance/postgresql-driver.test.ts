/** What only the PostgreSQL driver has to do, on real servers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fail } from '../../src/base/errors.ts';
import type { Hands, HandsCommand } from '../../src/contracts/hands.ts';
import { initPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory } from '../systems/temporary-directory.ts';
import { type PostgresqlPair, type PostgresqlPairOptions, startPostgresqlPair } from './postgresql-harness.ts';
import { Step } from './step.ts';
import { newJournal, stepContext } from './step-runner.ts';

const timeout = 120_000;
const quick = { survivors: ['west'], clean: false };
const promoteWest = { epoch: 2, standbys: [] };

async function withPair(options: PostgresqlPairOptions, body: (pair: PostgresqlPair) => Promise<void>): Promise<void> {
  const pair = await startPostgresqlPair(15, options);
  try {
    await body(pair);
  } finally {
    await pair.dispose();
  }
}

async function failOver(pair: PostgresqlPair): Promise<void> {
  await pair.kill('east');
  await new Step(pair.host, 'fence', quick).run(pair.openSite('east'));
  await new Step(pair.host, 'promote', promoteWest).run(pair.openSite('west'));
}

/** Hands of a host that is gone: silence until the time limit, or until nobody waits any more. */
const deadHands: Hands = {
  name: 'ssh to a dead host',
  run: (command) =>
    new Promise((_resolve, reject) => {
      const end = () => reject(fail('HANDS_UNREACHABLE', { message: 'no answer' }));
      const timer = setTimeout(end, command.timeoutMs);
      command.signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        end();
      });
    }),
  check: async () => undefined,
  close: async () => undefined,
};

describeSystem('postgresql-15', 'PostgreSQL driver', () => {
  it('fences a dead synchronous primary quickly although its hands never answer', { timeout }, () =>
    withPair({ replication: 'synchronous', hands: true }, async (pair) => {
      const seen = await pair.openSite('east').observe(AbortSignal.timeout(5_000));
      const lastKnown = { ...seen.facts, atMs: 1, synchronous: true, standbys: ['orders_west'] };
      const east = pair.open('east', { hands: deadHands });
      await pair.kill('east');
      const startedMs = performance.now();
      const proof = await new Step(pair.host, 'fence', { ...quick, lastKnown }).run(east);
      const tookMs = performance.now() - startedMs;
      expect(proof.proof).toBe('cannot-acknowledge');
      expect(tookMs).toBeLessThan(1_000);
      console.log(`fenced in ${tookMs.toFixed(0)} ms`);
    }),
  );

  it('[X-02] tries the fence again when the survivor was only slow to be cut off, and does not give up the failover', { timeout }, () =>
    withPair({ replication: 'synchronous', hands: true }, async (pair) => {
      const seen = await pair.openSite('east').observe(AbortSignal.timeout(5_000));
      const lastKnown = { ...seen.facts, atMs: 1, synchronous: true, standbys: ['orders_west'] };
      const refusing: Hands = { ...deadHands, run: () => Promise.reject(fail('HANDS_UNREACHABLE', { message: 'connection refused' })) };
      const east = pair.open('east', { hands: refusing });
      await pair.kill('east');
      pair.hang('west');
      const step = new Step(pair.host, 'fence', { ...quick, lastKnown });
      await expect(step.apply(east)).rejects.toMatchObject({ kind: expect.stringMatching(/^(transient|unknown-outcome)$/) });
      pair.unhang('west');
      expect(await step.run(east)).toMatchObject({ proof: 'cannot-acknowledge' });
    }),
  );

  it('stops a frozen synchronous primary without waiting for an orderly end', { timeout }, () =>
    withPair({ replication: 'synchronous', hands: true }, async (pair) => {
      const east = pair.openSite('east');
      const seen = await east.observe(AbortSignal.timeout(5_000));
      const lastKnown = { ...seen.facts, atMs: 1, synchronous: true, standbys: ['orders_west'] };
      pair.hang('east');
      const startedMs = performance.now();
      await new Step(pair.host, 'fence', { ...quick, lastKnown }).run(east);
      expect(performance.now() - startedMs).toBeLessThan(1_500);
    }),
  );

  it('does not take a crash for an orderly stop, and thaw starts the crashed primary again', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
      await pair.kill('east');
      const east = pair.openSite('east');
      await expect(new Step(pair.host, 'fence', { survivors: ['west'], clean: true }).run(east)).rejects.toMatchObject({ kind: 'refused' });
      await new Step(pair.host, 'thaw').run(east);
      expect(await pair.write('east', 'again')).toBe('acknowledged');
    }),
  );

  it('does not take a stopped directory of another server for proof', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
      const other = await initPrimary({ version: 15 });
      try {
        await writeFile(join(other.dataDirectory, 'standby.signal'), '');
        const east = pair.open('east', { dataDirectory: other.dataDirectory });
        const seen = await new Step(pair.host, 'fence', quick).inspect(east);
        expect(seen).toMatchObject({ state: 'absent', why: expect.stringContaining('another data-directory') });
      } finally {
        await removeDirectory(other.dir);
      }
    }),
  );

  it('[S5-37] copies the upstream anew where the former primary can not be rewound, and keeps the old directory', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true, settings: { wal_log_hints: 'off' } }, async (pair) => {
      const mend = await pair.cutReplication();
      expect(await pair.write('east', 'lost')).toBe('acknowledged');
      await failOver(pair);
      await mend();
      const output = await new Step(pair.host, 'follow', { upstream: 'west' }).run(pair.openSite('east'));
      expect(output).toMatchObject({ method: 'copied', kept: `${pair.server('east').dataDirectory}.holdfast-former` });
      expect(await pair.records('east')).toEqual([]);
      expect(await pair.write('west', 'after')).toBe('acknowledged');
      await expect.poll(() => pair.records('east'), { timeout: 10_000 }).toEqual(['after']);
    }),
  );

  it.each([
    ['at different places', ['in common']],
    ['at the same place', []],
  ])(
    'takes two servers that were promoted apart from each other, %s, for two histories, although both are on timeline 2: the upstream is copied, the old directory kept',
    { timeout },
    (_where, before) =>
      withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
        const mend = await pair.cutReplication();
        for (const record of before) expect(await pair.write('east', record)).toBe('acknowledged');
        await pair.kill('east');
        await writeFile(join(pair.server('east').dataDirectory, 'standby.signal'), '');
        await pair.boot('east');
        await pair.server('east').query('SELECT pg_promote()');
        expect(await pair.write('east', 'alone')).toBe('acknowledged');
        await pair.server('east').query('CHECKPOINT');
        const site = pair.openSite('east');
        await new Step(pair.host, 'fence', { survivors: [], clean: false }).run(site);
        await new Step(pair.host, 'promote', promoteWest).run(pair.openSite('west'));
        expect(await pair.write('west', 'chosen')).toBe('acknowledged');
        await mend();
        const into = await pair.salvageDirectory('east');
        const salvaged = await new Step(pair.host, 'salvage', { survivor: 'west', into }).run(site);
        if (before.length > 0) expect(salvaged).toMatchObject({ diverged: true });
        const { dataDirectory } = pair.server('east');
        const output = await new Step(pair.host, 'follow', { upstream: 'west' }).run(site);
        expect(output).toMatchObject({ method: 'copied', kept: `${dataDirectory}.holdfast-former` });
        await expect.poll(() => pair.records('east'), { timeout: 10_000 }).toEqual(['chosen']);
      }),
  );

  it('copies anew after a rewind that was interrupted, and nothing starts in between', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
      await failOver(pair);
      const { dataDirectory } = pair.server('east');
      const run = async (program: string, ...args: string[]) =>
        expect((await pair.handsOf('east').run({ program, args, timeoutMs: 10_000 })).exitCode).toBe(0);
      // As a rewind leaves it that died half-way.
      await run('mv', dataDirectory, `${dataDirectory}.holdfast-rewind`);
      const site = pair.openSite('east');
      expect(await new Step(pair.host, 'fence', quick).inspect(site)).toMatchObject({ state: 'done' });
      const output = await new Step(pair.host, 'follow', { upstream: 'west' }).run(site);
      expect(output.method).toBe('copied');
    }),
  );

  it(
    '[X-02] goes on with a rewind that was done and not written down: such a directory can only stream, replaying it alone would wait for ever',
    { timeout },
    () =>
      withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
        const mend = await pair.cutReplication();
        expect(await pair.write('east', 'lost')).toBe('acknowledged');
        await failOver(pair);
        await mend();
        const site = pair.openSite('east');
        const dying = stepContext(pair.host, newJournal(2), { dieAtNote: 1, signal: AbortSignal.timeout(60_000) });
        await expect(site.verbs.follow?.apply({ upstream: 'west' }, dying)).rejects.toThrow('the controller died');
        const output = await new Step(pair.host, 'follow', { upstream: 'west' }, { timeoutMs: 30_000 }).run(pair.openSite('east'));
        expect(output.method).toBe('rewound');
        expect(await pair.records('east')).toEqual([]);
      }),
  );

  it('starts a killed server although nobody has waited for its process yet', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
      await pair.kill('east');
      // The child of a process that never waits: it has ended, and keeps its number.
      const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
      try {
        const [line] = (await once(parent.stdout, 'data')) as [Buffer];
        const { dataDirectory, dir, port } = pair.server('east');
        const dead = line.toString().trim();
        await writeFile(join(dataDirectory, 'postmaster.pid'), [dead, dataDirectory, '1', port, dir, '127.0.0.1', ''].join('\n'));
        await writeFile(join(dir, `.s.PGSQL.${port}.lock`), `${dead}\n`);
        await new Step(pair.host, 'thaw').run(pair.openSite('east'));
        expect(await pair.write('east', 'again')).toBe('acknowledged');
      } finally {
        parent.kill('SIGKILL');
      }
    }),
  );

  it('puts no password into arguments, and none into the settings of the server', { timeout }, () =>
    withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
      await failOver(pair);
      const commands: HandsCommand[] = [];
      const real = pair.handsOf('east');
      const hands: Hands = {
        ...real,
        run: (command) => {
          commands.push(command);
          return real.run(command);
        },
      };
      await new Step(pair.host, 'follow', { upstream: 'west' }).run(pair.open('east', { hands }));
      const words = JSON.stringify(commands.map(({ args }) => args));
      const [row] = await pair.server('east').query('SHOW primary_conninfo');
      for (const password of Object.values(pair.server('west').passwords)) {
        expect(words).not.toContain(password);
        expect(String(row?.primary_conninfo)).not.toContain(password);
      }
    }),
  );

  it(
    'salvages rows of several tables and databases, also those written before the fork by transactions that committed after it',
    { timeout },
    () =>
      withPair({ replication: 'asynchronous', hands: true }, async (pair) => {
        const east = pair.server('east');
        await east.query('CREATE TABLE accounts (id int PRIMARY KEY, balance int)');
        await east.query('INSERT INTO accounts VALUES (1, 10), (2, 20)');
        await east.query('CREATE TABLE notes (text text)', { database: 'app' });
        const { default: pg } = await import('pg');
        const long = new pg.Client({ connectionString: east.url() });
        long.on('error', () => undefined);
        await long.connect();
        await long.query('BEGIN');
        await long.query(`INSERT INTO records VALUES ('begun before')`);
        await pair.settle();
        const mend = await pair.cutReplication();
        await long.query('COMMIT');
        await long.end();
        await east.query('UPDATE accounts SET balance = 11 WHERE id = 1');
        await east.query('DELETE FROM accounts WHERE id = 2');
        await east.query(`INSERT INTO notes VALUES ('it''s a line\nbreak')`, { database: 'app' });
        await failOver(pair);
        await mend();
        const into = await pair.salvageDirectory('east');
        await mkdir(join(into, '..'), { recursive: true });
        const report = await new Step(pair.host, 'salvage', { survivor: 'west', into }).run(pair.openSite('east'));
        expect(report).toMatchObject({ diverged: true, writes: 3 });
        expect(String(report.detail)).toContain('1 updates and 1 deletes');
        const { stdout } = await pair.handsOf('east').run({ program: 'cat', args: [join(into, 'writes.jsonl')], timeoutMs: 5_000 });
        const rows = stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { database: string; table: string; row: unknown; committedAt: string });
        expect(rows.map(({ database, table, row }) => [database, table, row])).toEqual(
          expect.arrayContaining([
            ['postgres', 'public.records', { record: 'begun before' }],
            ['postgres', 'public.accounts', { id: 1, balance: 11 }],
            ['app', 'public.notes', { text: "it's a line\nbreak" }],
          ]),
        );
      }),
  );
});
