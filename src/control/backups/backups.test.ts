import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryBackend } from '../../../test/fakes/memory-backend.ts';
import { toyRow } from '../../../test/fakes/toy-backups.ts';
import { holdfast } from '../../../test/fakes/toy-command-line.ts';
import { ToyPlatform } from '../../../test/fakes/toy-control.ts';
import { toySpecText } from '../../../test/fakes/toy-platform.ts';
import { ToyStoreBackups } from '../../../test/fakes/toy-store-backups.ts';
import { fail } from '../../base/errors.ts';
import { listExecutions, listOpenExecutions } from '../../state/journal.ts';
import { executionUnderWay } from '../executions.ts';
import { readBackupFaults } from './backup-faults.ts';
import { readBackupStatus } from './backup-status.ts';
import { RepositoryOpener } from './repository-opener.ts';

const backup = `    backup:
      - { what: base, every: "*/10 * * * *", jitter: 0%, keep: { proven: 2 }, prove: { every: "25 0 * * *", level: P4, jitter: 0%, targets: newest, within: 20s } }
      - { what: log, continuous: true, keep: 7d }
`;
const text = toySpecText('{ automatic: true, grace: 1s }', 'repositories: { main: { driver: memory, prune: "35 * * * *" } }\n').replace(
  '    replication: synchronous\n',
  `    replication: synchronous\n${backup}`,
);

let platform: ToyPlatform;
let store: ToyStoreBackups;
let backend: MemoryBackend;

beforeEach(async () => {
  store = new ToyStoreBackups();
  backend = new MemoryBackend({ nowMs: () => platform.host.clock.nowMs() });
  platform = new ToyPlatform(text, { driver: store, backend });
  const opener = new RepositoryOpener({ catalog: platform.repositories, host: platform.host, platform: 'toy' });
  await opener.create({ name: 'main', driver: 'memory', options: {} }, async () => '', new AbortController().signal);
});
afterEach(() => platform.close());

/** Compression has threads of its own: while an execution is under way real time has to go by beside the virtual one. */
const until = async (holds: () => boolean | Promise<boolean>, withinMs = 30_000, stepMs = 100) => {
  for (let goneMs = 0; goneMs <= withinMs; goneMs += stepMs) {
    if (await holds()) return;
    await platform.host.clock.advance(stepMs);
    if ((await listOpenExecutions(platform.state.open())).length > 0) await delay(1);
  }
  throw new Error(`it did not come to hold within ${withinMs} ms of virtual time`);
};
const letGoBy = async (durationMs: number, stepMs = 250) => {
  for (let goneMs = 0; goneMs < durationMs; goneMs += stepMs) await platform.host.clock.advance(stepMs);
};
const ended = async (kind: string) =>
  (await listExecutions(platform.state.open())).filter((each) => each.kind === kind && each.endedAtMs !== undefined).reverse();
const run = async (line: string) => {
  // The command's clock is virtual too, and waits for threads that are not.
  const result = await holdfast(platform, line.split(' '), { withinMs: 3_600_000, meanwhile: () => delay(1) });
  return { ...result, answer: line.includes('--json') ? (result.json() as Record<string, never>) : undefined };
};
/** Between two scheduled backups. Each virtual second costs many looks at sites: what has to come several times comes often. */
const period = 10 * 60_000;

describe('serve', () => {
  it('[S5-03] takes the first backup at once, the next ones by the clock, each an execution, none twice', async () => {
    await platform.serve();
    await until(async () => (await ended('backup')).length === 1);
    expect((await ended('backup'))[0]).toMatchObject({ status: 'done', reason: 'there is none yet', startedBy: 'serve-1' });
    await until(async () => (await ended('backup')).length === 3, 3 * period, 1_000);
    const begun = (await ended('backup')).map(({ startedAtMs }) => startedAtMs);
    expect(begun.slice(1).map((ms) => ms % period < 10_000)).toEqual([true, true]);
    expect(store.taken).toEqual(['east', 'east', 'east']);
  });

  it('[S4-42] proves by schedule, and the proof is in the repository', async () => {
    await platform.serve();
    await until(async () => (await ended('proof')).length === 1, 3 * period, 1_000);
    expect((await ended('proof'))[0]).toMatchObject({ status: 'done' });
    const { answer } = await run('backups db --json');
    const levels = (answer as unknown as { backups: { level: string }[] }).backups.map(({ level }) => level);
    expect(levels.filter((level) => level === 'P4')).toHaveLength(1);
    expect(store.restorer.runningCopies.size).toBe(0);
  });

  it('[S5-08] prunes by schedule where the spec says so: what is not proven stays', async () => {
    await platform.serve();
    await until(async () => (await ended('prune')).length === 1, 4 * period, 1_000);
    expect((await ended('prune'))[0]).toMatchObject({ status: 'done', reason: 'every 35 * * * *' });
    const { answer } = await run('backups db --json');
    expect((answer as unknown as { backups: unknown[] }).backups.length).toBe((await ended('backup')).length);
  });

  it('a backup by schedule whose store is away for hours is no silence: the store is an alarm at once, what hangs after its time', async () => {
    const { control } = await platform.serve();
    await until(async () => (await ended('backup')).length === 1);
    backend.fault = () => ({ error: fail('STORE_UNREACHABLE', { message: 'the store is away' }) });
    const alarms = async () => (await readBackupFaults(control.backups, true)).map(({ alarm, message }) => `${alarm}: ${message}`);
    expect(await alarms()).toEqual(expect.arrayContaining([expect.stringMatching(/^store-unreachable: .*main.* the store is away/)]));
    await until(async () => (await alarms()).some((line) => /^backup-(overrun|failed)/.test(line)), 4 * period, 30_000);
    backend.fault = () => undefined;
    await until(
      async () => (await alarms()).every((line) => !/^(store-unreachable|backup-(overrun|failed))/.test(line)),
      2 * period,
      10_000,
    );
  });

  it('a backup that is killed is taken up by the next process, under the same id, and is there once', async () => {
    let reached = false;
    store.duringTake = async () => {
      reached = true;
      await new Promise(() => {});
    };
    const first = await platform.serve();
    await until(() => reached);
    first.kill();
    store.duringTake = async () => {};
    await platform.serve();
    await until(async () => (await ended('backup')).length === 1);
    const { answer } = await run('backups db --json');
    expect((answer as unknown as { backups: unknown[] }).backups).toHaveLength(1);
    expect(await listExecutions(platform.state.open())).toHaveLength(1);
  });

  it('a backup under way keeps no failover from happening; one under way keeps new backups from beginning', async () => {
    let release = () => {};
    store.duringTake = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    const { control } = await platform.serve();
    await until(() => store.taken.length === 1);
    // The next one is due while the failover is under way.
    await letGoBy(period - 20_000 - (platform.host.clock.nowMs() % period), 2_000);
    const waiting: (() => void)[] = [];
    platform.world.beforeApply = () => new Promise<void>((resolve) => void waiting.push(resolve));
    platform.world.kill('east');
    await until(async () => (await executionUnderWay(control)) !== undefined);
    release();
    await until(async () => (await ended('backup')).length === 1);
    await letGoBy(22_000);
    expect(platform.host.clock.nowMs() % period).toBeLessThan(30_000);
    expect(store.taken).toEqual(['east']);
    platform.world.beforeApply = undefined;
    for (const goOn of waiting) goOn();
    await until(async () => (await ended('failover')).length === 1);
    store.duringTake = async () => {};
    await until(() => store.taken.length === 2, period, 1_000);
    expect(store.taken[1]).toBe('west');
  });

  it('[S4-02] archives all the time, tells how far it came, begins anew after a failure, and follows a failover', async () => {
    let failures = 0;
    store.beforeArchive = async () => {
      failures += 1;
      if (failures < 3) throw fail('SYSTEM_UNREACHABLE', { message: 'not yet' });
    };
    const { control } = await platform.serve();
    await until(() => store.archivedFrom.length === 1, 20_000);
    const status = async () => (await readBackupStatus(control.parts.spec, platform.state.open(), platform.host.clock.nowMs())).archives[0];
    await until(async () => (await status())?.state === 'archiving');
    expect(await status()).toMatchObject({ component: 'db', region: 'east', failures: 0 });
    expect((await status())?.lagMs).toBeLessThan(2_500);
    platform.world.kill('east');
    await until(() => store.archivedFrom.at(-1) === 'west', 60_000);
    await until(async () => (await status())?.region === 'west');
  });

  it('a backup that fails ends as failed, holds nothing up, and is tried again before the next one is due', async () => {
    let tries = 0;
    store.duringTake = async () => {
      tries += 1;
      if (tries === 1) throw fail('BACKUP_TOOL_FAILED', { message: 'the tool broke' });
    };
    await platform.serve();
    await until(async () => (await ended('backup')).length === 2, period, 1_000);
    expect((await ended('backup')).map(({ status, reason }) => [status, reason])).toEqual([
      ['failed', 'there is none yet'],
      ['done', 'the one before failed'],
    ]);
  });
});

describe('a new repository', () => {
  const encrypted = (key = '{ passphrase: { file: /passphrase } }') => {
    const empty = new MemoryBackend({ nowMs: () => platform.host.clock.nowMs() });
    const withKey = text.replace(/{ driver: memory.* }(?= })/, `{ driver: memory, encryption: ${key} }`);
    platform = new ToyPlatform(withKey, { driver: store, backend: empty });
    return empty;
  };
  beforeEach(async () => {
    backend = encrypted();
    await platform.host.files.writeAtomically('/passphrase', 'a long sentence');
  });
  const create = (answers?: readonly (string | undefined)[]) =>
    holdfast(platform, ['repository', 'create'], { withinMs: 600_000, meanwhile: () => delay(1), ...(answers ? { answers } : {}) });

  it('is not made where nobody sees its recovery key, types something else, or nothing', async () => {
    expect(await create()).toMatchObject({ code: 1, err: expect.stringMatching(/KEY_NOT_PROVEN.*nobody is there/) });
    expect(await create(['hfk1-something-else'])).toMatchObject({ code: 1, err: expect.stringMatching(/KEY_NOT_PROVEN/) });
    expect(await create([''])).toMatchObject({ code: 1, err: expect.stringMatching(/was not typed back/) });
    expect(await create([undefined])).toMatchObject({ code: 1 });
    expect(await run('repository check')).toMatchObject({ code: 3, out: expect.stringMatching(/there is no repository/) });
  });

  it('is made with a file for scripts: readable by its owner only, never over another file, and the key opens it', async () => {
    const made = await run('repository create --recovery-key-file /kept --json');
    expect(made.code, made.err).toBe(0);
    const key = (await platform.host.files.readText('/kept')).trim();
    expect(key).toMatch(/^hfk1-/);
    expect(`${made.out}${made.err}`).not.toContain(key);
    expect(await run('repository create --recovery-key-file /kept')).toMatchObject({ code: 1 });
    expect(await run('repository show')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/encrypted[\s\S]*passphrase[\s\S]*recovery/),
    });
    await platform.host.files.writeAtomically('/passphrase', key);
    expect(await run('repository check')).toMatchObject({ code: 0 });
    await platform.host.files.writeAtomically('/passphrase', 'another sentence');
    expect(await run('repository check')).toMatchObject({ code: 3, out: expect.stringMatching(/opens none of the 2 key slots/) });
  });

  it('a leaked passphrase is changed without touching a backup: a new one is added, the old one revoked, the last recovery key never', async () => {
    await run('repository create --recovery-key-file /kept --json');
    expect((await run('backup db')).code).toBe(0);
    const before = backend.names('backups/');
    await platform.host.files.writeAtomically('/new', 'another long sentence');
    const added = await run('repository add-key --passphrase-file /new --json');
    expect(added.code, added.err).toBe(0);
    const { slots } = JSON.parse((await run('repository show --json')).out.trim().split('\n').at(-1) as string);
    const [old] = slots.filter((each: { kind: string }) => each.kind === 'passphrase');
    const recovery = slots.find((each: { kind: string }) => each.kind === 'recovery');
    expect(await run(`repository revoke-key ${old.slot}`)).toMatchObject({ code: 0 });
    expect(await run('repository check')).toMatchObject({ code: 3, out: expect.stringMatching(/opens none of the 2 key slots/) });
    await platform.host.files.writeAtomically('/passphrase', 'another long sentence');
    expect(await run(`repository revoke-key ${recovery.slot}`)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/only recovery slot/),
    });
    expect(await run('verify db --level P1')).toMatchObject({ code: 0 });
    expect(backend.names().filter((name) => before.includes(name))).toEqual(before);
  });

  it('with a key in a file: the file is made with it, and opens it from then on', async () => {
    backend = encrypted('{ key: { file: /machine.key } }');
    const made = await run('repository create --recovery-key-file /kept --json');
    expect(made.code, made.err).toBe(0);
    expect(await platform.host.files.readText('/machine.key')).not.toBe(await platform.host.files.readText('/kept'));
    expect(await run('repository check')).toMatchObject({ code: 0 });
    expect((await run('backup db')).code).toBe(0);
  });
});

describe('commands', () => {
  it('[S4-47] [S4-48] backup, then verify finds it by the catalogue and says what was shown', async () => {
    const taken = await run('backup db --json');
    expect(taken.code, taken.err).toBe(0);
    expect(taken.answer).toMatchObject({ outcome: 'done', repository: 'main', backup: { what: 'base' } });
    const verified = await run('verify db --level P4 --json');
    expect(verified.code, verified.err).toBe(0);
    expect(verified.answer).toMatchObject({
      proof: { reached: 'P4', ok: true, backupId: (taken.answer as unknown as { backup: { backupId: string } }).backup.backupId },
    });
    const listed = await run('backups');
    expect(listed.out).toMatch(/leads back to .*\n.* db +base +base-\S+ +main .*P4/);
  });

  it('[S5-30] a proof that takes longer than it may is flagged', async () => {
    await run('backup db');
    expect((await run('verify db --level P2 --json')).answer).toMatchObject({ proof: { overrun: false } });
    store.duringStart = () => platform.host.clock.sleep(25_000);
    const slow = await run('verify db --level P2');
    expect(slow).toMatchObject({ code: 0, out: expect.stringMatching(/It took longer than the spec allows/) });
  });

  it('a proof that does not pass ends with 1 and says which check', async () => {
    store.rows = [toyRow(1), { ...toyRow(2), sum: 'wrong' }];
    await run('backup db');
    const failed = await run('verify db --level P4 --json');
    expect(failed.code).toBe(1);
    expect(failed.answer).toMatchObject({
      outcome: 'failed',
      error: { code: 'PROOF_FAILED', message: expect.stringMatching(/sums of rows: 1 of 2/) },
    });
    expect((await run('backups db --json')).answer).toMatchObject({ backups: [{ level: 'none' }] });
  });

  it('damage on purpose is caught, and said', async () => {
    await run('backup db');
    const { code, out, err } = await run('verify db --level P4 --sabotage');
    expect(code, `${out}${err}`).toBe(0);
    expect(out).toMatch(/was damaged \d times on purpose, and its proof caught it \d times/);
    expect(await run('verify db --sabotage nonsense')).toMatchObject({
      code: 1,
      out: expect.stringMatching(/there is no damage "nonsense"/),
    });
  });

  it('restore shows first, refuses what is not empty, and brings the rows back', async () => {
    await run('backup db');
    const shown = await run('restore db --into /back --dry-run');
    expect(shown).toMatchObject({
      code: 0,
      out: expect.stringMatching(/Restore of db into \/back\n +from +base-\S+ in main.*not proven[\s\S]*a dry run/),
    });
    expect(await platform.host.files.exists('/back')).toBe(false);
    expect(await run('restore db --into /back')).toMatchObject({ code: 2, err: expect.stringMatching(/nobody is there to say yes/) });
    const restored = await run('restore db --into /back --yes --json');
    expect(restored.code, restored.err).toBe(0);
    expect(JSON.parse(await platform.host.files.readText('/back/rows.json'))).toEqual(store.rows);
    expect(await run('restore db --into /back --yes')).toMatchObject({ code: 1, err: expect.stringMatching(/RESTORE_TARGET_NOT_EMPTY/) });
  });

  it.each([
    ['restore db --to 13am --into /x', 2, /not an instant/],
    ['restore db --to 2026-11-20T10:00:00 --into /x', 2, /no time zone/],
    ['restore db --to 2020-01-01T00:00:00Z --into /x', 1, /no backup of db leads to/],
    ['restore db --to 2020-01-01T00:00:00Z --lsn 0/1 --into /x', 2, /different targets/],
    ['restore db', 2, /--into/],
    ['verify db --level P9', 2, /P1, P2/],
    ['verify db --target sometime', 2, /not an instant/],
    ['backup api', 2, /api is not backed up/],
    ['backup dd', 2, /no component "dd"/],
    ['backup db --what log', 2, /There are: base to main/],
    ['backups show base-1', 2, /no backup base-1/],
    ['repository show other', 2, /no repository "other"/],
    ['wal-push /x --component db', 2, /no log that can be pushed/],
  ])('%s: %s and a word on what is wrong', async (line, code, words) => {
    const { code: found, err } = await run(line);
    expect(found, err).toBe(code);
    expect(err).toMatch(words);
  });

  it('[S5-08] prune is a dry run unless told otherwise, and never takes what is not proven away', async () => {
    for (let count = 0; count < 3; count += 1) await run('backup db');
    const dry = await run('backups prune --json');
    expect(dry.answer).toMatchObject({ dryRun: true, repositories: [{ repository: 'main', remove: [] }] });
    const wet = await run('backups prune --yes --json');
    expect(wet.code, wet.err).toBe(0);
    expect((await run('backups --json')).answer).toMatchObject({ backups: [{}, {}, {}] });
  });

  it('[S4-51] check says that nothing is backed up, and that nobody archives; after a backup it says how old the newest is', async () => {
    const none = await run('check --json');
    expect(none.code).toBe(3);
    const alarmsOf = (answer: unknown) => (answer as { backups: { alarm: string; message: string }[] }).backups.map(({ alarm }) => alarm);
    expect(alarmsOf(none.answer)).toEqual(expect.arrayContaining(['backup-missing', 'archive-stopped']));
    await run('backup db');
    await platform.host.clock.advance(7 * 3_600_000);
    const old = (await run('check --json')).answer as unknown as { backups: { alarm: string; message: string }[] };
    expect(old.backups.find(({ alarm }) => alarm === 'backup-missing')?.message).toMatch(/the newest base backup of db is 7 h/);
  });

  it('a repository that can not be reached is said by name, wherever it is needed', async () => {
    backend.fault = () => ({ error: fail('STORE_UNREACHABLE', { message: 'the store is away' }) });
    expect(await run('repository check')).toMatchObject({ code: 3, out: expect.stringMatching(/main: the store is away/) });
    expect(await run('backups')).toMatchObject({ code: 1, out: expect.stringMatching(/main: the store is away/) });
    for (const line of ['backup db', 'verify db', 'restore db --into /x --dry-run', 'backups prune'])
      expect(await run(line)).toMatchObject({ code: 1, err: expect.stringMatching(/STORE_UNREACHABLE.*the store is away/) });
    expect(await listExecutions(platform.state.open())).toEqual([]);
    const check = (await run('check --json')).answer as unknown as { backups: { alarm: string }[] };
    expect(check.backups.map(({ alarm }) => alarm)).toContain('store-unreachable');
  });
});
