import { describe, expect, it, test } from 'vitest';
import { expectFaults, good, load, noticesIn } from '../../test/spec/expect-faults.ts';

const repositories = 'repositories: { main: { driver: filesystem, path: /r } }\n';
const backup = (items: string, rest = repositories) => `${good}    backup:\n      - ${items}\n${rest}`;
const read = async (items: string, rest = repositories) =>
  (await load({ 'orders.yaml': backup(items, rest) })).components.get('orders-db')?.backup;

describe('what it comes to', () => {
  it('[S5-03] fills in what was left out: the first kind of the driver, the only repository, UTC, a little jitter', async () => {
    expect(await read('{ every: hourly, keep: 30d }')).toEqual([
      {
        what: 'base',
        to: 'main',
        schedule: { written: 'hourly', pattern: '0 * * * *', timezone: 'UTC', jitterShare: 0.03 },
        keep: { forMs: 2_592_000_000 },
      },
    ]);
  });
  it('[S4-42] proof: when, how deep, how long it may take, which ones, own checks', async () => {
    const [base] =
      (await read(
        '{ every: daily, timezone: Europe/Zurich, prove: { every: monthly, level: P5, within: 1h, targets: newest, checks: [{ ask: "SELECT count(*) FROM orders", expect: "> 0" }] } }',
      )) ?? [];
    expect(base?.prove).toEqual({
      schedule: { written: 'monthly', pattern: '0 3 1 * *', timezone: 'Europe/Zurich', jitterShare: 0.03 },
      level: 'P5',
      withinMs: 3_600_000,
      checks: [{ ask: 'SELECT count(*) FROM orders', expect: '> 0' }],
      targets: ['newest'],
    });
  });
  it('several entries of one component, each kind once for each repository', async () => {
    const both = await read(
      '{ what: base, every: daily }\n      - { what: wal, continuous: true, keep: 7d }\n      - { what: wal, keep: 8d, to: main2 }',
      'repositories: { main: { driver: filesystem, path: /r }, main2: { driver: filesystem, path: /s } }\n',
    ).catch((error) => error.details.faults[0].message);
    expect(both).toMatch(/there are several repositories/);
    expect((await read('{ what: base, every: daily }\n      - { what: wal, keep: { days: 7d } }'))?.map(({ what }) => what)).toEqual([
      'base',
      'wal',
    ]);
  });
  it('secrets of repositories are read, also where those of components are not', async () => {
    const text = backup(
      '{ every: daily }',
      'repositories: { main: { driver: filesystem, path: /r, encryption: { passphrase: { env: DB_PASSWORD } } } }\n',
    );
    const spec = await load({ 'orders.yaml': text });
    const encryption = spec.repositories?.get('main')?.encryption;
    expect(encryption?.kind === 'passphrase' && encryption.secret.reveal()).toBe('correct horse');
  });
});

describe('faults', () => {
  test('a schedule that is none', () =>
    expectFaults(backup('{ what: base, every: ▲nightly }'), { message: '"nightly" is not a schedule', hint: /hourly, daily, weekly/ }));
  test('a schedule that never comes', () =>
    expectFaults(backup('{ what: base, every: ▲"0 0 30 2 *" }'), {
      message: '"0 0 30 2 *" never comes',
      hint: /cron pattern of five fields/,
    }));
  test('neither a schedule nor continuous', () =>
    expectFaults(backup('▲{ what: base }'), { message: 'nothing says when this is backed up', hint: /every: daily/ }));
  test('both', () => expectFaults(backup('{ what: base, every: daily, continuous: ▲true }'), { message: /not both/, hint: /Take/ }));
  test('what the driver does not have', () =>
    expectFaults(backup('{ what: ▲bsae, every: daily }'), { message: 'Memory store has no backup "bsae"', hint: 'Did you mean "base"?' }));
  test('what nothing is like', () =>
    expectFaults(backup('{ what: ▲snapshots, every: daily }'), {
      message: /no backup "snapshots"/,
      hint: /base \(all of it\), dump \(statements\), wal/,
    }));
  test('a component that holds nothing', () =>
    expectFaults(`${good}  probe: { driver: fake-check, ▲backup: [{ every: daily }] }\n${repositories}`, {
      message: 'Fake check has nothing that can be backed up',
      hint: /Take "backup" out/,
    }));
  test('a log on a schedule, and a base all the time', () =>
    expectFaults(
      backup('{ what: wal, every: ▲daily }\n      - { what: base, continuous: ▲true }'),
      { message: /archived all the time, and has no schedule/, hint: /continuous: true/ },
      { message: /can't be taken all the time/, hint: /every: daily/ },
    ));
  test('proof of a log', () =>
    expectFaults(backup('{ what: wal, continuous: true, ▲prove: { every: weekly } }'), { message: /proven together with/, hint: /Move/ }));
  test('an unknown repository', () =>
    expectFaults(backup('{ what: base, every: daily, to: ▲mian }'), { message: /backed up to "mian"/, hint: 'Did you mean "main"?' }));
  test('no repository at all', () =>
    expectFaults(backup('▲{ what: base, every: daily }', ''), { message: /nothing says where orders-db/, hint: /Add repositories/ }));
  test('the same twice', () =>
    expectFaults(backup('{ every: daily }\n      - ▲{ what: base, every: weekly }'), {
      message: /backed up to main twice/,
      hint: /Take one/,
    }));
  test('an expectation that nothing can meet', () =>
    expectFaults(backup('{ every: daily, prove: { every: weekly, checks: [{ ask: q, expect: ▲"> many" }] } }'), {
      message: /compared with/,
      hint: /"> 0"/,
    }));
  test('a proof that is to be quick, and a level that is none', () =>
    expectFaults(
      backup('{ every: daily, prove: { every: weekly, level: ▲P6, within: ▲10ms } }'),
      { message: /"level" must be one of P1, P2, P3, P4, P5/, hint: /Did you mean/ },
      { message: /too short/, hint: /from 1.00 s/ },
    ));
  test('too much jitter', () => expectFaults(backup('{ every: daily, jitter: ▲80% }'), { message: /more than half/, hint: /up to 50%/ }));
});

describe('faults of repositories', () => {
  test('an unknown kind', () =>
    expectFaults(`${good}repositories: { main: { driver: ▲s4, bucket: b } }\n`, {
      message: 'there is no kind of repository "s4"',
      hint: 'Did you mean "s3"?',
    }));
  test('without its kind', () =>
    expectFaults(`${good}repositories: { ▲main: { bucket: b } }\n`, { message: '"driver" is missing in repository main', hint: /./ }));
  test("a key that is none of its kind's", () =>
    expectFaults(`${good}repositories: { main: { driver: filesystem, path: /r, ▲buckt: b } }\n`, {
      message: /unknown key "buckt"/,
      hint: /./,
    }));
  test('a region that is none', () =>
    expectFaults(`${good}repositories: { main: { driver: filesystem, path: /r, in-region: ▲us-west } }\n`, {
      message: /no such region/,
      hint: 'Did you mean "us-west-2"?',
    }));
  test('two ways to open it, or none', () =>
    expectFaults(
      `${good}repositories:\n  a: { driver: filesystem, path: /r, encryption: ▲{ passphrase: { env: DB_PASSWORD }, key: { env: DB_PASSWORD } } }\n  b: { driver: filesystem, path: /s, encryption: ▲{} }\n`,
      { message: /not by both/, hint: /Take one/ },
      { message: /names no key/, hint: /passphrase/ },
    ));
  test('a passphrase written out is not shown', async () => {
    const error = await load({
      'orders.yaml': `${good}repositories: { a: { driver: filesystem, path: /r, encryption: { passphrase: hunter2 } } }\n`,
    }).catch((thrown) => thrown);
    expect(error.code).toBe('SPEC_INVALID');
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });
});

describe('notices: what a spec promises and can not keep', () => {
  it('[S5-08] a log that is kept for less time than the backups before it', async () => {
    expect(await noticesIn(backup('{ every: hourly, keep: 30d }\n      - { what: wal, keep: 168h }'))).toEqual([
      {
        line: 15,
        path: 'components.orders-db.backup[1].keep',
        message: expect.stringMatching(/wal of orders-db is kept for 7 d, and base for 30 d/),
        hint: expect.stringMatching(/orders.yaml line 14/),
      },
    ]);
  });
  it('[S5-08] seven hourly ones and thirty days', async () => {
    const [notice, ...others] = await noticesIn(backup('{ every: hourly, keep: { proven: 7, days: 30d } }'));
    expect(others).toEqual([]);
    expect(notice).toMatchObject({
      line: 14,
      message: expect.stringMatching(/7 backups of base of orders-db reach back 7 h, and "days" keeps 30 d/),
    });
  });
  it('kept for less than the time between two', async () => {
    const [notice] = await noticesIn(backup('{ every: weekly, keep: 1d }'));
    expect(notice).toMatchObject({
      line: 14,
      message: expect.stringMatching(/kept for 1 d, and up to 7 d go by/),
      hint: expect.stringMatching(/line 14/),
    });
  });
  it('[S5-02] an objective that the schedule can not keep, and one that the archive keeps', async () => {
    const [notice] = await noticesIn(backup('{ every: daily }', `objectives: { rpo: 15m }\n${repositories}`));
    expect(notice).toMatchObject({
      line: 14,
      message: expect.stringMatching(/no more than 15 min of orders-db/),
      hint: expect.stringMatching(/line 15/),
    });
    expect(await noticesIn(backup('{ every: daily }\n      - { what: wal }', `objectives: { rpo: 15m }\n${repositories}`))).toEqual([]);
  });
  it('proven less often than it is kept', async () => {
    const [notice] = await noticesIn(backup('{ every: daily, keep: 7d, prove: { every: monthly } }'));
    expect(notice).toMatchObject({ message: expect.stringMatching(/proven every 31 d, and kept for 7 d/) });
  });
  it('a repository in the region that it protects', async () => {
    const [notice] = await noticesIn(backup('{ every: daily }', 'repositories: { main: { driver: s3, bucket: b, region: us-east-1 } }\n'));
    expect(notice).toMatchObject({
      line: 15,
      path: 'repositories.main.region',
      message: expect.stringMatching(/only into us-east-1/),
      hint: expect.stringMatching(/line 14/),
    });
    expect(await noticesIn(backup('{ every: daily }', 'repositories: { main: { driver: s3, bucket: b, region: us-west-2 } }\n'))).toEqual(
      [],
    );
  });
});

test('one region will do where there are backups, and it is said that nothing could take over', async () => {
  const alone = `holdfast: v1
name: alone
regions: { here: { role: active } }
components:
  db: { driver: memory-store, sites: { here: { url: "store://here" } }, backup: [{ every: daily }] }
${repositories}`;
  expect(await noticesIn(alone)).toContainEqual(
    expect.objectContaining({
      line: 3,
      path: 'regions',
      message: expect.stringMatching(/^no region is a standby: nothing could take over/),
    }),
  );
});
