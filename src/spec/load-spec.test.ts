import { describe, expect, test } from 'vitest';
import { fakeCatalog } from '../../test/fakes/driver-catalog.ts';
import { fakeHost } from '../../test/fakes/host.ts';
import { db, env, expectFaults, faultsIn, good, head, load } from '../../test/spec/expect-faults.ts';
import { Secret } from '../base/secret.ts';
import { formatFaults, loadSpec } from './load-spec.ts';
import { UnresolvedSecret } from './secret-placement.ts';

describe('a sound spec', () => {
  test('gives defaults, milliseconds and shares', async () => {
    const spec = await load({ 'orders.yaml': good });
    expect(spec.name).toBe('orders');
    expect([...spec.regions.values()].map(({ role }) => role)).toEqual(['active', 'standby', 'witness']);
    expect(spec.watch).toEqual({ everyMs: 1_000, timeoutMs: 1_000, failures: 3 });
    expect(spec.failover).toEqual({
      automatic: false,
      graceMs: 3_000,
      lostWhen: 'any',
      readyShare: 0.8,
      lossBudgetMs: 0,
      coolDownMs: 3_600_000,
      commitWindowMs: 1_800_000,
      approvals: 2,
      salvageDirectory: '/var/tmp',
    });
    expect(spec.failback).toEqual({ canaryShares: [0.1, 0.5, 1], bakeMs: 300_000 });
    const component = spec.components.get('orders-db');
    expect(component).toMatchObject({
      driver: 'memory-store',
      kind: 'data',
      vital: true,
      needs: [],
      replication: 'asynchronous',
      canaryEveryMs: 1_000,
    });
    expect(component?.options).toEqual({ database: 'main', 'lag-limit': 10_000 });
    expect(spec.notices).toEqual([]);
    expect(spec.files).toEqual(['orders.yaml']);
  });

  test('keeps what it says of objectives, hands, failback and a component', async () => {
    const spec = await load({
      'orders.yaml': `${head}objectives: { rto: 5m, rpo: 0s, availability: 99.9% }
failback: { canary: [25%, 100%], bake: 0s, abort-when: { error-rate: "> 1%", p95: "> 2s" } }
components:
  orders-db:
    driver: memory-store
    vital: false
    replication: synchronous
    rpo: 0s
    canary-every: 250ms
    sites:
      us-east-1: { url: "store://east", hands: local }
      us-west-2: { url: "store://west", hands: { ssh: { host: 10.1.1.5, as: postgres } } }
  api:
    driver: fake-workload
    needs: [orders-db]
    replicas: { full: 10 }
    start: [run, api]
    sites:
      us-east-1:
      us-west-2: { port: 80, hands: { local: { as: api } } }
`,
    });
    expect(spec.objectives).toEqual({ rtoMs: 300_000, rpoMs: 0, availability: expect.closeTo(0.999) });
    expect(spec.failback).toEqual({ canaryShares: [0.25, 1], bakeMs: 0, abortWhen: { errorRateAbove: 0.01, p95AboveMs: 2_000 } });
    const store = spec.components.get('orders-db');
    expect(store).toMatchObject({ vital: false, replication: 'synchronous', rpoMs: 0, canaryEveryMs: 250 });
    expect(store?.sites.get('us-east-1')?.hands).toEqual({ kind: 'local' });
    expect(store?.sites.get('us-west-2')?.hands).toEqual({ kind: 'ssh', host: '10.1.1.5', port: 22, user: 'root', as: 'postgres' });
    const api = spec.components.get('api');
    expect(api).toMatchObject({ kind: 'workload', vital: false, needs: ['orders-db'], options: { replicas: { full: 10, standby: 0 } } });
    expect(api?.sites.get('us-east-1')).toEqual({ region: 'us-east-1', options: {} });
    expect(api?.sites.get('us-west-2')?.hands).toEqual({ kind: 'local', as: 'api' });
  });

  test('takes anchors, aliases and merge keys', async () => {
    const spec = await load({
      'orders.yaml': `${head}components:
  orders-db: &store
    driver: memory-store
    sites:
      us-east-1: &east { url: "store://east", password: { env: DB_PASSWORD } }
      us-west-2: { <<: *east, url: "store://west" }
  other: *store
`,
    });
    expect(spec.components.get('orders-db')?.sites.get('us-west-2')?.options).toMatchObject({ url: 'store://west' });
    expect(spec.components.get('other')?.sites.size).toBe(2);
  });

  test('of several files is one, whatever their names; another text has another digest', async () => {
    const parts = {
      'a.yaml': head,
      'b.yaml': `holdfast: v1\ncomponents:\n${db}`,
      'c.yaml': 'components:\n  probe: { driver: fake-check }\n',
    };
    const spec = await load(parts);
    expect([...spec.components.keys()]).toEqual(['orders-db', 'probe']);
    expect(spec.files).toEqual(['a.yaml', 'b.yaml', 'c.yaml']);
    expect((await load({ x: parts['a.yaml'], y: parts['b.yaml'], z: parts['c.yaml'] })).digest).toBe(spec.digest);
    expect((await load({ ...parts, 'c.yaml': `${parts['c.yaml']}# more\n` })).digest).not.toBe(spec.digest);
  });

  test('says which of its sections have no effect yet', async () => {
    const spec = await load({
      'orders.yaml': `${good}    backup:
      - { what: base, every: "0 * * * *", keep: { proven: 7, daily: 30 }, prove: { every: weekly, level: P4 }, to: main }
      - { what: wal, continuous: true, keep: 7d }
repositories:
  main: { driver: s3, bucket: dr-backups, region: us-west-2, encryption: { kms: "alias/holdfast", key: { env: DB_PASSWORD } }, lock: 30d }
drills:
  - { kind: failover, every: quarterly, window: "Sat 02:00-06:00 UTC", approve: 1 }
tell:
  on-call: { channel: pagerduty, key: { env: NOT_SET_AND_NOT_NEEDED } }
`,
    });
    expect(spec.notices.map(({ line, column, path, message }) => ({ line, column, path, message }))).toEqual([
      { line: 18, column: 1, path: 'drills', message: 'drills are read and checked, but this version does not act on them yet' },
      { line: 20, column: 1, path: 'tell', message: 'tell is read and checked, but this version does not act on it yet' },
      {
        line: 15,
        column: 46,
        path: 'components.orders-db.backup[1].keep',
        message: expect.stringMatching(/kept for 7 d, and base for 30 d/),
      },
    ]);
    expect(spec.components.get('orders-db')?.backup?.[1]).toEqual({ what: 'wal', to: 'main', keep: { forMs: 604_800_000 } });
    expect(spec.repositories?.get('main')).toMatchObject({
      driver: 's3',
      inRegion: 'us-west-2',
      lockMs: 2_592_000_000,
      storeKey: 'alias/holdfast',
      encryption: { kind: 'key', secret: expect.any(Secret) },
    });
    expect(spec.drills).toHaveLength(1);
    expect(spec.tell?.get('on-call')).toEqual({ channel: 'pagerduty', key: { env: 'NOT_SET_AND_NOT_NEEDED' } });
  });

  test('says what single keys ask for and do not get', async () => {
    const spec = await load({ 'orders.yaml': `${good}failover: { commit-window: 10m }\nfailback: { canary: [10%, 100%] }\n` });
    expect(spec.notices.map(({ path, hint }) => ({ path, hint }))).toEqual([
      { path: 'failover.commit-window', hint: 'A failover is final at once: go back with holdfast reprotect and holdfast failback.' },
      { path: 'failback.canary', hint: 'A failback moves all traffic at once.' },
    ]);
  });
});

describe('secrets', () => {
  const withPassword = (password: string) => `${head}components:
  orders-db:
    driver: memory-store
    sites:
      us-east-1: { url: "store://east", password: ${password} }
      us-west-2: { url: "store://west", tls: { ca: /ca.pem, key: { file: /run/key } } }
`;
  const passwordOf = (spec: Awaited<ReturnType<typeof load>>) => {
    const options = spec.components.get('orders-db')?.sites.get('us-east-1')?.options;
    return (options as { password: Secret }).password;
  };

  test('are resolved from the environment and from files, also deep inside', async () => {
    const host = fakeHost({ env, files: { 'orders.yaml': withPassword('{ env: DB_PASSWORD }'), '/run/key': 'key text\n' } });
    const loaded = await loadSpec(['orders.yaml'], { catalog: fakeCatalog, host });
    expect(passwordOf(loaded)).toBeInstanceOf(Secret);
    expect(passwordOf(loaded).reveal()).toBe('correct horse');
    const west = loaded.components.get('orders-db')?.sites.get('us-west-2')?.options as { tls: { key: Secret } };
    expect(west.tls.key.reveal()).toBe('key text');
    expect(JSON.stringify([...(loaded.components.get('orders-db')?.sites.values() ?? [])])).not.toContain('correct horse');
  });

  test('that are not set are faults at their references, all of them', async () => {
    await expectFaults(
      withPassword('{ env: ▲NOT_SET }').replace('file: /run/key', 'file: ▲/run/key'),
      {
        message: /^the environment variable NOT_SET is not set/,
        hint: /Set the environment variable/,
        path: 'components.orders-db.sites.us-east-1.password.env',
      },
      { message: /^the file \/run\/key/, hint: /write the file/ },
    );
  });

  test('written into the spec are refused, and shown nowhere', async () => {
    const marked = withPassword('▲hunter2').replace(', tls: { ca: /ca.pem, key: { file: /run/key } }', '');
    await expectFaults(marked, {
      message: '"password" must be a reference to a secret',
      hint: /\{ env: NAME_OF_A_VARIABLE \} or \{ file: /,
    });
    const text = marked.replace('▲', '');
    const faults = await faultsIn({ 'orders.yaml': text });
    expect(JSON.stringify(faults)).not.toContain('hunter2');
    const shown = formatFaults(faults, new Map([['orders.yaml', text]]));
    expect(shown).not.toContain('hunter2');
    expect(shown).toContain('password: [redacted] }');
  });

  test('of another shape than a reference are refused', async () => {
    for (const wrong of ['{ env: "" }', '{ evn: X }', '{ env: A, file: B }', '[x]', '12']) {
      const [fault] = await faultsIn({ 'orders.yaml': withPassword(wrong) });
      expect(fault).toMatchObject({ line: 11, column: 51, message: '"password" must be a reference to a secret' });
    }
  });

  test('stay unread when asked to', async () => {
    const spec = await load({ 'orders.yaml': withPassword('{ env: NOT_SET }') }, false);
    expect(passwordOf(spec)).toBeInstanceOf(UnresolvedSecret);
    expect(passwordOf(spec).source).toBe('env:NOT_SET');
    expect(() => passwordOf(spec).reveal()).toThrow(/NOT_SET was not looked up/);
  });
});

describe('faults of the whole', () => {
  test('a missing version', () =>
    expectFaults(`▲name: orders\n${good.split('\n').slice(2).join('\n')}`, {
      message: '"holdfast: v1" is missing',
      hint: 'Begin the file with holdfast: v1.',
    }));
  test('another version hides everything else, which could not be judged', () =>
    expectFaults('holdfast: ▲v2\nnaem: x\n', {
      message: 'this spec is written for version v2, and this Holdfast reads v1',
      hint: /use a Holdfast that reads v2/,
      path: 'holdfast',
    }));
  test('no version at all', () =>
    expectFaults(good.replace('v1', '▲1'), { message: '"holdfast" must name the version of the spec', hint: 'Write holdfast: v1.' }));
  test('missing sections', () =>
    expectFaults(
      '▲▲▲holdfast: v1\n',
      { message: '"name" is missing', hint: /Add name/ },
      { message: '"regions" is missing', hint: /Add regions/ },
      { message: '"components" is missing', hint: /Add components/ },
    ));
  test('an unknown key', () =>
    expectFaults(`${good}▲failovr: {}\n`, { message: 'unknown key "failovr"', hint: 'Did you mean "failover"?', path: 'failovr' }));
  test('an unknown key that is near to none', () =>
    expectFaults(`${good}▲xyzzy: {}\n`, { message: 'unknown key "xyzzy"', hint: /^Known here: holdfast, name,/ }));
  test('a name that is none', () =>
    expectFaults(good.replace('name: orders', 'name: ▲Orders!'), {
      message: '"Orders!" is not a name',
      hint: /lower-case letters/,
      path: 'name',
    }));
  test('a number as a name', () =>
    expectFaults(good.replace('name: orders', 'name: ▲12'), {
      message: '"name" must be a text, not a number',
      hint: 'Put it in quotes: "12".',
    }));
  test('empty components', () => expectFaults(`${head}▲components:\n`, { message: '"components" is empty', hint: /orders-db/ }));
  test('files that can not be read are named, all of them', async () => {
    const options = { catalog: fakeCatalog, host: fakeHost({ files: { 'b.yaml': good } }) };
    await expect(loadSpec(['a.yaml', 'b.yaml', 'c.yaml'], options)).rejects.toMatchObject({
      code: 'SPEC_UNREADABLE',
      subject: 'a.yaml, c.yaml',
    });
    await expect(loadSpec([], options)).rejects.toMatchObject({ code: 'SPEC_UNREADABLE' });
  });
});

describe('faults of YAML', () => {
  test('a key that is given twice', () =>
    expectFaults(`${good}  ▲orders-db: { driver: fake-check }\n`, {
      message: '"orders-db" is given twice',
      hint: 'It is also on line 8: keep one of the two.',
    }));
  test('a tab', () =>
    expectFaults(`${good}▲\twatch: {}\n`.replace('▲\t', '▲\t'), { message: /Tabs are not allowed/, hint: 'Indent with spaces.' }));
  test('a bracket that is not closed', () =>
    expectFaults(`${good}watch: { every: 1s\n▲`, { message: /^this is not well-formed YAML/, hint: /./ }));
  test('a second document', () =>
    expectFaults(`${good}▲---\nname: other\n`, { message: 'a second document begins here', hint: /one document in a file/ }));
  test('a fault in one file leaves the others unjudged', async () => {
    const faults = await faultsIn({ 'a.yaml': 'holdfast: v1\nnaem: x\n', 'b.yaml': 'components: [' });
    expect(new Set(faults.map(({ file }) => file))).toEqual(new Set(['b.yaml']));
  });
});

describe('faults between files', () => {
  test('the same name in two files names both places', async () => {
    const faults = await faultsIn({ 'a.yaml': good, 'b.yaml': `name: other\ncomponents:\n${db}` });
    expect(faults).toMatchObject([
      {
        file: 'b.yaml',
        line: 1,
        column: 1,
        path: 'name',
        message: '"name" is given in two files',
        hint: 'It is also in a.yaml line 2: keep one of the two.',
      },
      {
        file: 'b.yaml',
        line: 3,
        column: 3,
        path: 'components.orders-db',
        message: '"orders-db" of components is given in two files',
        hint: 'It is also in a.yaml line 8: keep one of the two.',
      },
    ]);
  });
  test('a fault points into the file that it is in', async () => {
    const faults = await faultsIn({ 'a.yaml': head, 'b.yaml': `components:\n${db}    vita: true\n` });
    expect(faults).toMatchObject([{ file: 'b.yaml', line: 7, column: 5, hint: 'Did you mean "vital"?' }]);
  });
});
