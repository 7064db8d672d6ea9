import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, test } from 'vitest';
import type { Change, StateStore } from '../../src/contracts/state-store.ts';
import type { Clock, Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { fakeHost } from '../fakes/host.ts';
import { memoryState } from '../fakes/memory-store.ts';
import { stateStoreConformance } from './state-store.ts';

const host = nodeHost({ logTo: 'silent' });
const put = (key: string, value: string | number): Change => ({ kind: 'put', key, value, expected: 'any' });

stateStoreConformance('memory (simulated)', async () => {
  const { clock } = fakeHost();
  const state = memoryState(clock);
  return {
    store: state.open(),
    second: async () => state.open(),
    advance: (durationMs) => clock.advance(durationMs),
    dispose: async () => {},
  };
});

stateStoreConformance('sqlite', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hf-store-'));
  const open = () => openSqliteStore({ path: join(directory, 'state', 'state.db'), host, platform: 'test' });
  return {
    store: await open(),
    second: open,
    advance: (durationMs) => host.clock.sleep(durationMs),
    dispose: async () => rmSync(directory, { recursive: true, force: true }),
  };
});

describe('sqlite, as a file and between processes', () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  function temporary(): string {
    const directory = mkdtempSync(join(tmpdir(), 'hf-store-'));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    return join(directory, 'state', 'state.db');
  }

  async function open(
    path: string,
    more: { platform?: string; lockedMaxMs?: number; keptRevisions?: number; host?: Host } = {},
  ): Promise<StateStore> {
    const store = await openSqliteStore({ path, host, platform: 'test', ...more });
    cleanups.push(() => store.close());
    return store;
  }

  function child(...words: string[]): ChildProcess & { lines: string[]; firstLine: Promise<string> } {
    const process_ = spawn(process.execPath, [join(import.meta.dirname, 'state-store-child.ts'), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    cleanups.push(() => process_.kill('SIGKILL'));
    const lines: string[] = [];
    let rest = '';
    let errors = '';
    process_.stderr.on('data', (data) => (errors += data));
    const firstLine = new Promise<string>((resolve, reject) => {
      process_.stdout.on('data', (data) => {
        const parts = (rest + data).split('\n');
        rest = parts.pop() ?? '';
        lines.push(...parts);
        if (lines[0] !== undefined) resolve(lines[0]);
      });
      process_.on('close', () => reject(new Error(`the child ended: ${errors}`)));
    });
    firstLine.catch(() => {});
    return Object.assign(process_, { lines, firstLine });
  }

  const closed = (process_: ChildProcess) => new Promise((resolve) => process_.once('close', resolve));

  test('the directory is for the owner only', async () => {
    const path = temporary();
    await open(path);
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
  });

  test('a watch sees what another process commits, soon', async () => {
    const path = temporary();
    const store = await open(path);
    const seen: unknown[] = [];
    store.watch('k/', (event) => seen.push(event.value));
    const writer = child(path, 'put', 'k/x', 'from another process');
    await writer.firstLine;
    const committedMs = performance.now();
    await expect.poll(() => seen, { interval: 1, timeout: 15_000 }).toEqual(['from another process']);
    expect(performance.now() - committedMs).toBeLessThan(3_000);
  });

  test('kill -9 in the middle of commits loses none that was acknowledged, and shows none by halves', async () => {
    const path = temporary();
    const acknowledged: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const file = `${path}.${round}`;
      const writer = child(file, 'commits');
      await expect.poll(() => writer.lines.length, { timeout: 10_000, interval: 1 }).toBeGreaterThan(200 + round * 111);
      writer.kill('SIGKILL');
      await closed(writer);
      const store = await open(file);
      const present = new Set((await store.range('c/')).map(({ key }) => key.slice(2)));
      expect(writer.lines.filter((line) => !present.has(line))).toEqual([]);
      expect((await store.range('d/')).map(({ key }) => key.slice(2)).sort()).toEqual([...present].sort());
      acknowledged.push(...writer.lines);
    }
    expect(acknowledged.length).toBeGreaterThan(600);
  });

  test('a lease of another process holds while it renews, and is free once that process has ended', async () => {
    const path = temporary();
    const store = await open(path);
    const holder = child(path, 'lease', 'l', '60000');
    const token = Number(await holder.firstLine);
    await expect(store.acquireLease('l', 'parent', 600)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD' });
    holder.kill('SIGSTOP');
    await expect(store.acquireLease('l', 'parent', 600)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD' });
    holder.kill('SIGKILL');
    await closed(holder);
    expect(await store.readLease('l')).toMatchObject({ holder: 'child', held: false });
    expect((await store.acquireLease('l', 'parent', 600)).token).toBe(token + 1);
  });

  test('to one who can not tell whether a process lives, its lease runs out after its death, not before', async () => {
    const path = temporary();
    const store = await open(path, { host: { ...host, processes: { run: host.processes.run } } });
    const holder = child(path, 'lease', 'l', '600');
    const token = Number(await holder.firstLine);
    const refusals = async (durationMs: number): Promise<void> => {
      const endMs = performance.now() + durationMs;
      while (performance.now() < endMs) {
        await expect(store.acquireLease('l', 'parent', 600)).rejects.toMatchObject({
          code: 'STATE_LEASE_HELD',
          details: { holder: 'child' },
        });
        await host.clock.sleep(20);
      }
    };
    await refusals(900);
    holder.kill('SIGKILL');
    await closed(holder);
    await refusals(200); // renewed at most 150 ms before its death
    await expect
      .poll(
        () =>
          store.acquireLease('l', 'parent', 600).then(
            (lease) => lease.token,
            () => 0,
          ),
        { timeout: 15_000, interval: 10 },
      )
      .toBe(token + 1);
  });

  test('a frozen holder finds its lease lost when it wakes', async () => {
    const path = temporary();
    const store = await open(path);
    const holder = child(path, 'lease', 'l', '300');
    await holder.firstLine;
    holder.kill('SIGSTOP');
    await expect
      .poll(
        () =>
          store.acquireLease('l', 'parent', 60_000).then(
            () => true,
            () => false,
          ),
        { timeout: 15_000, interval: 10 },
      )
      .toBe(true);
    holder.kill('SIGCONT');
    const code = await new Promise((resolve) => holder.once('exit', resolve));
    expect(code).not.toBe(0); // STATE_LEASE_LOST, uncaught
    expect(await store.readLease('l')).toMatchObject({ holder: 'parent', held: true });
  });

  describe('clocks', () => {
    interface Machine {
      wallMs: number;
      monotonicMs: number;
    }
    const onMachine = (machine: Machine, boot?: Clock['boot']): Host => ({
      ...host,
      clock: {
        ...host.clock,
        nowMs: () => machine.wallMs,
        monotonicMs: () => machine.monotonicMs,
        ...(boot === undefined ? {} : { boot }),
      },
    });
    const unknownBoot = (machine: Machine): Host => {
      const { boot: _, ...clock } = onMachine(machine).clock;
      return { ...host, clock };
    };
    const boot = { id: 'first', monotonicDomain: 'first d' };

    test.each([-86_400_000, 86_400_000])('a jump of the wall clock by %d ms changes nothing about leases', async (jumpMs) => {
      const path = temporary();
      const machine = { wallMs: 1e12, monotonicMs: 5_000 };
      const one = await open(path, { host: onMachine(machine, boot) });
      const lease = await one.acquireLease('l', 'one', 1_000);
      machine.wallMs += jumpMs;
      const two = await open(path, { host: onMachine(machine, boot) });
      machine.monotonicMs += 999;
      await expect(two.acquireLease('l', 'two', 1_000)).rejects.toMatchObject({ code: 'STATE_LEASE_HELD' });
      expect(lease.validUntilMonotonicMs).toBeLessThanOrEqual(machine.monotonicMs + 1);
      machine.monotonicMs += 1;
      expect((await two.acquireLease('l', 'two', 1_000)).token).toBe(lease.token + 1);
      await expect(one.renewLease(lease)).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    });

    test('a holder that crashed and came back has its lease again, with the same token', async () => {
      const path = temporary();
      const machine = { wallMs: 1e12, monotonicMs: 5_000 };
      const before = await openSqliteStore({ path, host: onMachine(machine, boot), platform: 'test' });
      const lease = await before.acquireLease('l', 'one', 1_000);
      await before.close();
      const after = await open(path, { host: onMachine(machine, boot) });
      expect((await after.acquireLease('l', 'one', 1_000)).token).toBe(lease.token);
    });

    test('after a start of the machine all leases are void', async () => {
      const path = temporary();
      const one = await open(path, { host: onMachine({ wallMs: 1e12, monotonicMs: 9_000_000 }, boot) });
      const lease = await one.acquireLease('l', 'one', 60_000);
      const two = await open(path, { host: onMachine({ wallMs: 1e12, monotonicMs: 5 }, { id: 'second', monotonicDomain: 'second' }) });
      expect(await two.readLease('l')).toMatchObject({ held: false });
      expect((await two.acquireLease('l', 'two', 60_000)).token).toBe(lease.token + 1);
      await expect(one.commit([{ ...put('a', 1), lease } as Change])).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
    });

    test.each([
      ['shifted', { id: 'first', monotonicDomain: 'first shifted' }],
      ['of an unknown boot', undefined],
    ])('an observer whose clock is %s waits until it has seen the lease unrenewed for its whole time', async (_how, otherBoot) => {
      const path = temporary();
      const one = { wallMs: 1e12, monotonicMs: 5_000 };
      const two = { wallMs: 0, monotonicMs: 800_000_000 };
      const holder = await open(path, { host: onMachine(one, boot) });
      const observer = await open(path, { host: otherBoot === undefined ? unknownBoot(two) : onMachine(two, otherBoot) });
      const pass = (durationMs: number): void => {
        one.monotonicMs += durationMs;
        two.monotonicMs += durationMs;
      };
      const attempt = () =>
        observer.acquireLease('l', 'two', 1_000).then(
          (lease) => lease.token,
          (error: { code: string }) => error.code,
        );
      let lease = await holder.acquireLease('l', 'one', 1_000);
      pass(900);
      expect(await attempt()).toBe('STATE_LEASE_HELD');
      lease = await holder.renewLease(lease);
      pass(999);
      expect(await attempt()).toBe('STATE_LEASE_HELD'); // another count of renewals than it saw: its watch begins anew
      pass(999);
      expect(await attempt()).toBe('STATE_LEASE_HELD');
      pass(1);
      expect(await attempt()).toBe(lease.token + 1);
      expect(lease.validUntilMonotonicMs).toBeLessThan(one.monotonicMs);
    });
  });

  test('another platform, a newer format and a foreign database are refused, untouched', async () => {
    const path = temporary();
    await (await open(path)).close();
    await expect(open(path, { platform: 'other' })).rejects.toMatchObject({ code: 'STATE_OTHER_PLATFORM' });
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(open(path)).rejects.toMatchObject({ code: 'STATE_NEWER_FORMAT' });
    const foreign = join(path, '..', 'foreign.db');
    const other = new DatabaseSync(foreign);
    other.exec('CREATE TABLE t (x)');
    other.close();
    const bytes = readFileSync(foreign);
    await expect(open(foreign)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
    expect(readFileSync(foreign).equals(bytes)).toBe(true);
  });

  test('a file that is no database, and one with damaged pages, are STATE_DAMAGED', async () => {
    const path = temporary();
    const store = await open(path);
    for (let index = 0; index < 500; index += 1) await store.commit([put(`k/${index}`, 'x'.repeat(100))]);
    await store.close();
    const file = openSync(path, 'r+');
    const size = statSync(path).size;
    for (let at = 8_192; at + 4_096 <= size; at += 8_192) writeSync(file, Buffer.alloc(4_096, 0x5a), 0, 4_096, at);
    closeSync(file);
    await expect(open(path)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
    const text = join(path, '..', 'text.db');
    writeFileSync(text, 'this is not a database at all\n'.repeat(100));
    await expect(open(text)).rejects.toMatchObject({ code: 'STATE_DAMAGED' });
  });

  test('a lock that another process holds is waited for, then STATE_LOCKED; reading goes on, and so does this process', async () => {
    const path = temporary();
    const store = await open(path, { lockedMaxMs: 1_500 });
    await store.commit([put('a', 1)]);
    const locker = child(path, 'lock');
    await locker.firstLine;
    let longestMs = 0;
    let lastMs = performance.now();
    const ticker = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
    }, 1);
    cleanups.push(() => clearInterval(ticker));
    await expect(store.commit([put('a', 2)])).rejects.toMatchObject({ code: 'STATE_LOCKED', kind: 'transient' });
    // One that waits without letting others go on holds everything up for all of its time.
    expect(longestMs).toBeLessThan(700);
    expect((await store.get('a'))?.value).toBe(1);
    const waiting = (await open(path, { lockedMaxMs: 10_000 })).commit([put('a', 3)]);
    locker.kill('SIGKILL');
    await waiting;
    expect((await store.get('a'))?.value).toBe(3);
  });

  test.runIf(process.getuid?.() === 0)(
    'a full disk is STATE_FULL: small commits still fit, nothing is lost, and with space it goes on',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'hf-full-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', directory]);
      cleanups.push(() => {
        execFileSync('umount', ['-l', directory]);
        rmSync(directory, { recursive: true, force: true });
      });
      const store = await open(join(directory, 'state.db'));
      const revision = await store.commit([put('small', 'before')]);
      const outcomes = await Promise.allSettled([
        store.commit([put('first', 'fits')]),
        store.commit([put('large', 'x'.repeat(2_000_000))]),
        store.commit([put('last', 'fits')]),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect((outcomes[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'STATE_FULL', kind: 'refused' });
      expect(await store.get('small')).toEqual({ key: 'small', value: 'before', revision });
      expect((await store.range('')).map(({ key }) => key)).toEqual(['first', 'last', 'small']);
      writeFileSync(join(directory, 'filler'), '');
      const filler = openSync(join(directory, 'filler'), 'w');
      expect(() => {
        for (;;) writeSync(filler, Buffer.alloc(4_096));
      }).toThrow('ENOSPC');
      closeSync(filler);
      const until = async (): Promise<string> => {
        for (let count = 0; count < 1_000; count += 1) {
          const error = await store.commit([put(`fill/${count}`, 'x'.repeat(1_000))]).then(
            () => undefined,
            (thrown: { code: string }) => thrown,
          );
          if (error !== undefined) return error.code;
        }
        return 'never full';
      };
      expect(await until()).toBe('STATE_FULL');
      rmSync(join(directory, 'filler'));
      await store.commit([put('small', 'after')]);
    },
  );

  test('the log of changes is bounded; a watch from before its beginning is lost, and says so', async () => {
    const path = temporary();
    const store = await open(path, { keptRevisions: 50 });
    await Promise.all(Array.from({ length: 600 }, (_, index) => store.commit([put('k', index)])));
    const errors: Error[] = [];
    const late: unknown[] = [];
    const good: unknown[] = [];
    store.watch('', (event) => late.push(event), { afterRevision: 5, onError: (error) => errors.push(error) });
    store.watch('', (event) => good.push(event.value), { afterRevision: 590 });
    await expect.poll(() => good.length).toBe(10);
    expect(errors).toMatchObject([{ code: 'STATE_CONFLICT' }]);
    expect(late).toEqual([]);
    const database = new DatabaseSync(path, { readOnly: true });
    cleanups.push(() => database.close());
    expect(Number(database.prepare('SELECT count(*) AS count FROM changes').get()?.count)).toBeLessThan(50 + 256 + 1);
  });

  test('several processes open a new file at once', async () => {
    const path = temporary();
    const children = Array.from({ length: 4 }, (_, index) => child(path, 'put', `k/${index}`, 'x'));
    await Promise.all(children.map(({ firstLine }) => firstLine));
    expect(await (await open(path)).range('k/')).toHaveLength(4);
  });

  test('2,000 durable commits a second and more, asked for in parallel', async () => {
    const store = await open(temporary());
    const count = 4_000;
    const startedMs = performance.now();
    let next = 0;
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        while (next < count) {
          const mine = next;
          next += 1;
          await store.commit([put(`k/${mine}`, 'x'.repeat(200))]);
        }
      }),
    );
    const perSecond = count / ((performance.now() - startedMs) / 1_000);
    expect(await store.range('k/')).toHaveLength(count);
    expect(perSecond).toBeGreaterThan(2_000);
  });
});
