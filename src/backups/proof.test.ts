import { beforeEach, describe, expect, it } from 'vitest';
import { segmentName } from '../../test/fakes/catalogue.ts';
import { type FakeHost, fakeHost } from '../../test/fakes/host.ts';
import { makeWorld, type RepositoryWorld, startMs } from '../../test/fakes/repository-world.ts';
import {
  archiveToyEvents,
  type ToyBackupParts,
  type ToyBehaviour,
  type ToyEvent,
  takeToyBackup,
  toyBackups,
  toyPosition,
  toyRow,
} from '../../test/fakes/toy-backups.ts';
import { fail } from '../base/errors.ts';
import type { ProofLevel } from '../contracts/backup.ts';
import { type ProofRequest, proveBackup } from './proof.ts';
import { parseExpectation } from './proof-expectation.ts';
import type { ProofTarget } from './proof-targets.ts';
import { type ProofRecord, provenLevel } from './records.ts';

const scratchDirectory = '/scratch';
const rows = [1, 2, 3].map((id) => toyRow(id));
const history = '7000000000000000001';
const newest: ProofTarget = { target: { kind: 'newest' }, text: 'newest' };
const consistent: ProofTarget = { target: { kind: 'consistent' }, text: 'newest' };

let world: RepositoryWorld;
let host: FakeHost;

beforeEach(async () => {
  world = await makeWorld({ encrypted: true });
  host = fakeHost({ nowMs: startMs });
});

const take = (parts: Partial<ToyBackupParts> = {}) =>
  takeToyBackup(world.repository, { backupId: 'b1', rows, atMs: startMs - 60_000, ...parts });

interface Wish extends Partial<ProofRequest> {
  readonly behaviour?: ToyBehaviour;
}

async function prove(level: ProofLevel, wish: Wish = {}) {
  // Two proofs of one test are not of the same instant.
  await host.clock.advance(1_000);
  const backups = toyBackups(wish.behaviour);
  const backup = await world.repository.findBackup('orders-db', 'b1');
  if (!backup) throw new Error('the test took no backup');
  const record = await proveBackup({
    repository: world.repository,
    component: 'orders-db',
    backups,
    options: {},
    entry: { backup },
    level,
    target: consistent,
    host,
    scratchDirectory,
    by: 'test',
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...wish,
  });
  await expectNothingLeft(record);
  expect(backups.runningCopies.size, 'every copy is stopped').toBe(0);
  return { record, backups };
}

/** After any proof: the record is there, and nothing else is. */
async function expectNothingLeft(record: ProofRecord) {
  const [entry] = (await world.repository.readCatalogue('orders-db')).entries;
  if (record.sabotage === undefined) expect(entry?.proofs.at(-1)).toEqual(record);
  expect(entry?.leases).toEqual([]);
  expect(await host.files.list(scratchDirectory)).toEqual([]);
}

const failures = (record: ProofRecord) =>
  record.checks.filter(({ ok }) => !ok).map(({ level, name, detail }) => `${level} ${name}: ${detail}`);

describe('levels are cumulative, and each is made to fail by its own fault', () => {
  it.each(['P1', 'P2', 'P3', 'P4', 'P5'] as const)('[S4-45] a sound backup reaches %s, and no more than was asked for', async (level) => {
    await take();
    const { record, backups } = await prove(level);
    expect([record.ok, record.reached, failures(record)]).toEqual([true, level, []]);
    expect(backups.restores).toBe(level === 'P1' ? 0 : 1);
    const [entry] = (await world.repository.readCatalogue()).entries;
    expect(provenLevel(entry as NonNullable<typeof entry>)).toBe(level);
  });

  it('[S4-45] P1: a byte that turned over in a stored piece', async () => {
    await take();
    const piece = world.backend
      .names()
      .find(
        (name) => /pieces/.test(name) || (world.backend.content(name).length > 0 && /b1/.test(name) && !/manifest|head|lease/.test(name)),
      );
    world.backend.flipBit(piece as string, 5);
    const { record, backups } = await prove('P5');
    expect([record.ok, record.reached]).toEqual([false, 'none']);
    expect(failures(record)[0]).toMatch(/^P1 every piece is there/);
    expect(backups.restores).toBe(0);
  });

  it('[S4-45] P2: content that the engine does not start with', async () => {
    await take({ fileText: 'no json at all' });
    const { record } = await prove('P5', { behaviour: { noChecks: true } });
    expect([record.ok, record.reached]).toEqual([false, 'P1']);
    expect(failures(record)[0]).toMatch(/^P2 it starts: /);
  });

  it('[S4-45] P3: content that is wrong in itself', async () => {
    await take({ rows: [...rows, { ...toyRow(4), sum: 'wrong' }] });
    const { record } = await prove('P5');
    expect([record.ok, record.reached]).toEqual([false, 'P2']);
    expect(failures(record)).toEqual(['P3 sums of rows: 1 of 4 are wrong']);
  });

  it('[S4-49] P4: content that is sound and is not what was there', async () => {
    await take({ fingerprintOf: [...rows, toyRow(4)] });
    const { record } = await prove('P5');
    expect([record.ok, record.reached]).toEqual([false, 'P3']);
    expect(failures(record)).toEqual(['P4 orders equals its fingerprint: 3 of 4 rows']);
  });

  it('P4 can not be decided without a fingerprint: it is not reached, and the record says why', async () => {
    await take({ fingerprintOf: null });
    const { record } = await prove('P4');
    expect([record.ok, record.reached]).toEqual([false, 'P3']);
    expect(failures(record)[0]).toMatch(/no fingerprint, so this can not be decided/);
    expect((await prove('P3')).record.ok).toBe(true);
  });

  it('P4 shows nothing where there is nothing, unless the user says that it may be empty', async () => {
    await take({ rows: [] });
    expect(failures((await prove('P4')).record)[0]).toMatch(/holds nothing at all/);
    expect((await prove('P4', { allowEmpty: true })).record.reached).toBe('P4');
  });

  it('P3 of a driver without checks of its own is not reached', async () => {
    await take();
    const { record } = await prove('P3', { behaviour: { noChecks: true } });
    expect([record.ok, record.reached]).toEqual([false, 'P2']);
    expect(failures(record)[0]).toMatch(/the driver has none/);
  });
});

describe('P5: it came to the point that it should have come to', () => {
  const events: ToyEvent[] = [11, 12, 13, 14, 15].map((number) => ({
    number,
    atMs: startMs + number * 1_000,
    row: toyRow(number),
    canary: { number, atMs: startMs + number * 1_000, epoch: 1 },
  }));
  const canary = { number: 10, atMs: startMs - 61_000, epoch: 1 };
  const archive = () => world.repository.openArchive('orders-db', history);
  const time = (atMs: number, expected: ProofTarget['expected'] = {}): ProofTarget => ({
    target: { kind: 'time', atMs },
    text: 'an instant',
    expected,
  });

  beforeEach(async () => {
    await take({ upTo: 10, canary, fingerprintOf: [...rows, toyRow(11)], fingerprintAt: 11 });
  });

  it('[S4-45] restores twice: to the exact position of the fingerprint for the content, and to the target', async () => {
    await archiveToyEvents(await archive(), events);
    const { record, backups } = await prove('P5', {
      target: { ...newest, expected: { atMs: startMs + 15_000, position: toyPosition(15) } },
    });
    expect([record.ok, record.reached, failures(record)]).toEqual([true, 'P5', []]);
    expect(backups.restores).toBe(2);
    expect(record.canary).toEqual({ number: 15, gapMs: 0 });
    expect(record.reachedDetail).toBe('event #15');
  });

  it('a hole in the log that looks like its end: everything below passes, P5 does not', async () => {
    await archiveToyEvents(
      await archive(),
      events.filter(({ number }) => number !== 13),
    );
    const { record } = await prove('P5', { target: { ...newest, expected: { atMs: startMs + 15_000, position: toyPosition(15) } } });
    expect([record.ok, record.reached]).toEqual([false, 'P4']);
    expect(failures(record).join()).toMatch(/ended at #12, before #15.*newest write is from 2026-11-20T10:00:12.000Z/);
  });

  it('a canary that had been acknowledged and is not there is a lost write', async () => {
    await archiveToyEvents(await archive(), events.slice(0, 3));
    const expected = { canary: { number: 14, atMs: startMs + 14_000, epoch: 1 } };
    const { record } = await prove('P5', { target: time(startMs + 14_500, expected) });
    expect(failures(record)).toEqual([
      'P5 its canary is there: the newest canary row is number 13; 14 was acknowledged before: 1 are lost',
    ]);
  });

  it('a canary that is older at the instant than it may be', async () => {
    await archiveToyEvents(await archive(), events.slice(0, 1));
    const { record } = await prove('P5', { target: time(startMs + 60_000, { canaryGapMaxMs: 5_000 }) });
    expect(failures(record)).toEqual([
      'P5 its canary is there: the newest canary row is 49 s older than the wanted instant; 5.00 s is the most',
    ]);
  });

  it('a system that was idle for long before the end of its log has not fallen short', async () => {
    await archiveToyEvents(await archive(), events);
    const { record } = await prove('P5', { target: { ...newest, expected: { atMs: startMs + 3_600_000 } } });
    expect(record.ok).toBe(true);
    expect(record.checks.map(({ detail }) => detail).join()).toMatch(/its position is right, so nothing was committed in between/);
  });

  it('an instant in the window, exactly', async () => {
    await archiveToyEvents(await archive(), events);
    const { record } = await prove('P5', { target: time(startMs + 13_500, { canaryGapMaxMs: 1_000 }) });
    expect([record.ok, record.canary]).toEqual([true, { number: 13, gapMs: 500 }]);
  });

  it('[S4-45] later than the objective for recovery is not in time', async () => {
    await archiveToyEvents(await archive(), events);
    const slow = { at: async (phase: string) => (phase === 'restore' ? host.clock.advance(400_000) : undefined) };
    const { record } = await prove('P5', { target: newest, rtoMs: 300_000, behaviour: slow });
    expect(record.reached).toBe('P4');
    expect(failures(record)).toEqual(['P5 it was in time: restored and started in 6 min 40 s; the objective is 5 min']);
    expect(record.phases).toEqual({ verifyMs: 0, fetchMs: 400_000, startMs: 0, checkMs: 0 });
  });

  it('a gap that the driver refuses to cross counts against the point, not against the start', async () => {
    await archiveToyEvents(await archive(), events);
    let restores = 0;
    const at = (phase: string) => {
      if (phase === 'restore') restores += 1;
      if (phase === 'restore' && restores === 2) throw fail('ARCHIVE_GAP', { message: 'segment 13 is missing' });
    };
    const { record } = await prove('P5', { target: newest, behaviour: { at } });
    expect([record.reached, failures(record)]).toEqual(['P4', ['P5 it can be restored: segment 13 is missing']]);
    expect(record.inconclusive).toBeUndefined();
    expect(segmentName(13)).toMatch(/D$/);
  });
});

describe("the user's own questions", () => {
  const ask = (question: string, expectation: string) => ({ ask: question, expect: parseExpectation(expectation) });

  it('[S4-45] pass by what they answer, and never on no answer', async () => {
    await take();
    const good = await prove('P4', { userChecks: [ask('count', '= 3'), ask('count', '> 0'), ask('count', 'matches /^3$/')] });
    expect(good.record.reached).toBe('P4');
    const bad = await prove('P4', {
      userChecks: [ask('nothing', '> 0'), ask('nothing', '!= 5'), ask('count', '> 3'), ask('gibberish', '> 0'), ask('count', '= 3')],
    });
    expect(bad.record.reached).toBe('P3');
    expect(failures(bad.record)).toEqual([
      'P4 nothing: no answer; expected > 0',
      'P4 nothing: no answer; expected != 5',
      'P4 count: the answer is 3; expected > 3',
      'P4 gibberish: the toy does not understand "gibberish"',
    ]);
  });
});

describe('whatever happens', () => {
  it.each(['restore', 'start', 'check', 'compare'] as const)(
    '[S4-50] an error in %s leaves a failed record and nothing else',
    async (phase) => {
      await take();
      const at = (now: string) => {
        if (now === phase) throw fail('BACKUP_TOOL_FAILED', { message: `${phase} broke` });
      };
      const { record } = await prove('P4', { behaviour: { at } });
      expect(record.ok).toBe(false);
      expect(failures(record).join()).toContain(`${phase} broke`);
    },
  );

  it('[S4-50] stopped in the middle it cleans up, and the record says that it decides nothing', async () => {
    await take();
    await prove('P4');
    const stop = new AbortController();
    const at = (phase: string) => {
      if (phase === 'start') stop.abort(fail('INTERRUPTED', { message: 'a person stopped it' }));
    };
    const { record } = await prove('P4', { behaviour: { at }, signal: stop.signal });
    expect([record.ok, record.inconclusive]).toEqual([false, 'stopped: a person stopped it']);
    const [entry] = (await world.repository.readCatalogue()).entries;
    expect(provenLevel(entry as NonNullable<typeof entry>), 'the proof from before still counts').toBe('P4');
  });

  it.each(['HANDS_NO_PROGRAM', 'STATE_FULL'] as const)('%s says something of the prover and nothing of the backup', async (code) => {
    await take();
    const at = (phase: string) => {
      if (phase === 'restore') throw fail(code, { message: 'not here' });
    };
    const { record } = await prove('P2', { behaviour: { at } });
    expect([record.ok, record.inconclusive]).toEqual([false, 'not here']);
  });

  it('[S5-30] longer than its budget is flagged, and passes all the same', async () => {
    await take();
    const at = async (phase: string) => void (phase === 'check' && (await host.clock.advance(40 * 60_000)));
    const { record } = await prove('P3', { behaviour: { at }, budgetMs: 3_600_000 });
    expect([record.ok, record.tookMs, record.budgetMs]).toEqual([true, 80 * 60_000, 3_600_000]);
  });

  it('holds a lease all the while, and renews it', async () => {
    await take();
    const seen: number[] = [];
    const at = async () => {
      world.nowMs += 30 * 60_000;
      await host.clock.advance(30 * 60_000);
      const [entry] = (await world.repository.readCatalogue()).entries;
      seen.push(entry?.leases.filter(({ untilMs, what }) => untilMs > world.nowMs && what === 'a proof').length ?? 0);
    };
    await prove('P4', { behaviour: { at } });
    expect(seen.length).toBeGreaterThan(4);
    expect(Math.min(...seen)).toBeGreaterThan(0);
  });

  it('a backup under a tombstone is not proven', async () => {
    const backup = await take();
    await world.repository.writeTombstone({ component: 'orders-db', backupId: 'b1', atMs: startMs, because: 'old', by: 'test' });
    const request = {
      repository: world.repository,
      component: 'orders-db',
      backups: toyBackups(),
      options: {},
      entry: { backup },
      level: 'P2' as const,
      target: consistent,
      host,
      scratchDirectory,
      by: 'test',
      signal: new AbortController().signal,
      onProgress: () => undefined,
    };
    await expect(proveBackup(request)).rejects.toThrow(/has a tombstone/);
    expect((await world.repository.readCatalogue()).entries[0]?.leases).toEqual([]);
  });

  it('directories of a prover that died are removed by the next one, and those of a living one are not', async () => {
    await take();
    host = fakeHost({
      nowMs: startMs,
      files: {
        '/scratch/proof-dead/owner': 'pid 1',
        '/scratch/proof-dead/copy-0/rows.json': '[]',
        '/scratch/proof-alive/owner': 'pid 2',
        '/scratch/mine': 'x',
      },
    });
    const processes = { ...host.processes, self: 'pid 3', isGone: (self: string) => self === 'pid 1' };
    const backup = await world.repository.findBackup('orders-db', 'b1');
    if (!backup) throw new Error('the test took no backup');
    await proveBackup({
      repository: world.repository,
      component: 'orders-db',
      backups: toyBackups(),
      options: {},
      entry: { backup },
      level: 'P2',
      target: consistent,
      host: { ...host, processes },
      scratchDirectory,
      by: 'test',
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expect(await host.files.list('/scratch')).toEqual(['mine', 'proof-alive']);
  });
});
