/** What only a state in etcd has to stand: another's prefix, a full or a restored cluster, lost answers, history that is gone, certificates and roles. */
import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { acceptEtcdState } from '../../src/stores/etcd/etcd-store.ts';
import { makeMembers, type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { describeSystem } from '../systems/requirement.ts';
import { startTcpRelay } from '../systems/tcp-relay.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';
import { EtcdStoreWorld, failureOf, host, put, remove, short, until } from './etcd-store-world.ts';

describeSystem('etcd', 'the state in etcd', () => {
  const world = new EtcdStoreWorld();
  let server: RunningEtcd;
  beforeAll(async () => {
    server = await startEtcd();
  });
  afterAll(() => server.stop());
  beforeEach(() => world.begin());
  afterEach(() => world.closeAll());

  describe('whose state it is', () => {
    it("refuses another platform's prefix, and keys that are nobody's", async () => {
      await world.open([server.url]);
      const other = await failureOf(world.open([server.url], { platform: 'other' }));
      expect(other).toMatchObject({ code: 'STATE_OTHER_PLATFORM', details: { platform: 'test' } });
      expect(other.hint).toMatch(/prefix of its own/);
      await server.ctl('put', '/foreign/thing', '1');
      expect(await failureOf(world.open([server.url], { prefix: '/foreign/' }))).toMatchObject({ code: 'STATE_NOT_EMPTY' });
    });

    it('refuses another cluster under a prefix that this machine knows, and one that was emptied', async () => {
      await (await world.open([server.url])).close();
      const another = await startEtcd();
      world.onEnd(() => another.stop());
      expect(await failureOf(world.open([another.url]))).toMatchObject({ code: 'STATE_WENT_BACK', details: { revision: 0 } });
      const elsewhere = join(world.directory, 'another-machine');
      await (await world.open([another.url], { directory: elsewhere })).close();
      expect(await failureOf(world.open([another.url]))).toMatchObject({ code: 'STATE_OTHER_CLUSTER' });
    });
  });

  describe('commits', () => {
    it('are all or nothing however many changes and expectations they have', async () => {
      const store = await world.open([server.url]);
      const keys = Array.from({ length: 700 }, (_, index) => `many/${index}`);
      const revision = await store.commit(keys.map((key, index) => put(key, 1, index < 100 ? 'absent' : 'any')));
      expect(new Set((await store.range('many/')).map((entry) => entry.revision))).toEqual(new Set([revision]));
      const wrong = keys.map((key, index) => put(key, 2, index === 690 ? revision - 1 : 'any'));
      expect(await failureOf(store.commit(wrong))).toMatchObject({ code: 'STATE_CONFLICT', details: { key: 'many/690', revision } });
      expect(await failureOf(store.commit(keys.map((key) => put(key, 2, revision))))).toMatchObject({ code: 'STATE_TOO_LARGE' });
      expect(new Set((await store.range('many/')).map((entry) => entry.value))).toEqual(new Set([1]));
      expect(await store.commit(keys.map((key, index) => put(key, 3, index < 90 ? revision : 'any')))).toBe(revision + 1);
    });

    it('whose answer is lost have an unknown outcome, and are not sent twice', async () => {
      const relay = await startTcpRelay(server.port);
      world.onEnd(() => relay.stop());
      const direct = await world.open([server.url]);
      const cut = await world.open([`http://127.0.0.1:${relay.port}`], { timeoutMs: 1_000 });
      const told: string[] = [];
      direct.watch('counted', (event) => told.push(short(event)));
      await cut.commit([put('counted', 1)]);
      relay.set('deaf');
      expect(await failureOf(cut.commit([put('counted', 2)]))).toMatchObject({ code: 'SYSTEM_OUTCOME_UNKNOWN', kind: 'unknown-outcome' });
      relay.set('cut');
      expect(await failureOf(cut.get('counted'))).toMatchObject({ code: 'STATE_UNREACHABLE' });
      // Never sent: so nothing is unknown.
      expect(await failureOf(cut.commit([put('counted', 3)]))).toMatchObject({ code: 'STATE_UNREACHABLE', kind: 'transient' });
      relay.set('pass');
      await cut.commit([put('counted', 4)]);
      await until(() => told.includes('counted=4'));
      expect(told).toEqual(['counted=1', 'counted=2', 'counted=4']);
    });
  });

  describe('leases', () => {
    it('are renewed without a revision', async () => {
      const store = await world.open([server.url]);
      let lease = await store.acquireLease('l', 'one', 5_000);
      const before = await store.commit([put('a', 1)]);
      for (let turn = 0; turn < 5; turn += 1) lease = await store.renewLease(lease);
      expect(await store.commit([put('a', 2)])).toBe(before + 1);
    });

    it('that are asked for while another holds them cost no revision either', async () => {
      const store = await world.open([server.url]);
      await store.acquireLease('l', 'one', 5_000);
      const before = await store.commit([put('a', 1)]);
      expect(await failureOf(store.acquireLease('l', 'two', 5_000))).toMatchObject({ code: 'STATE_LEASE_HELD' });
      expect(await store.commit([put('a', 2)])).toBe(before + 1);
    });
  });

  describe('watches', () => {
    it('go on after their connection broke, and tell the difference after a compaction, deletions included', async () => {
      const relay = await startTcpRelay(server.port);
      world.onEnd(() => relay.stop());
      const direct = await world.open([server.url]);
      const watching = await world.open([`http://127.0.0.1:${relay.port}`], { timeoutMs: 1_000 });
      await direct.commit([put('w/stays', 0), put('w/goes', 0), put('x', 0)]);
      await watching.get('x');
      const told: string[] = [];
      const revisions: number[] = [];
      const errors: Error[] = [];
      const options = { onError: (error: Error) => errors.push(error) };
      watching.watch(
        'w/',
        (event) => {
          told.push(short(event));
          revisions.push(event.revision);
        },
        options,
      );
      await direct.commit([put('w/a', 1)]);
      await until(() => told.length === 1);
      relay.reset();
      await direct.commit([put('w/a', 2)]);
      await until(() => told.length === 2);
      relay.set('cut');
      await direct.commit([put('w/a', 3)]);
      await direct.commit([put('w/b', 1), remove('w/goes')]);
      const last = await direct.commit([put('w/a', 4)]);
      await server.ctl('compact', String(last));
      relay.set('pass');
      await until(() => told.length === 5);
      await direct.commit([put('w/c', 1)]);
      await until(() => told.length === 6);
      expect(told).toEqual(['w/a=1', 'w/a=2', 'w/b=1', 'w/a=4', '-w/goes', 'w/c=1']);
      expect(revisions).toEqual(revisions.toSorted((left, right) => left - right));
      expect(errors).toEqual([]);
    });

    it('that are to begin where nothing is kept any more say so', async () => {
      const store = await world.open([server.url]);
      const first = await store.commit([put('w/a', 1)]);
      await store.commit([put('w/a', 2)]);
      const last = await store.commit([put('w/a', 3)]);
      await server.ctl('compact', String(last));
      const errors: unknown[] = [];
      store.watch('w/', () => {}, { afterRevision: first, onError: (error) => errors.push(error) });
      await until(() => errors.length === 1);
      expect(errors[0]).toMatchObject({ code: 'STATE_CONFLICT' });
    });

    it('notice a member that says nothing more, and go to another', async () => {
      const relay = await startTcpRelay(server.port);
      world.onEnd(() => relay.stop());
      const direct = await world.open([server.url]);
      const watching = await world.open([`http://127.0.0.1:${relay.port}`, server.url], { timeoutMs: 900 });
      const told: string[] = [];
      watching.watch('w/', (event) => told.push(short(event)));
      await direct.commit([put('w/a', 1)]);
      await until(() => told.length === 1);
      relay.set('deaf');
      await direct.commit([put('w/a', 2)]);
      await until(() => told.length === 2);
      expect(told).toEqual(['w/a=1', 'w/a=2']);
    });
  });

  it('forgets old revisions by age, one process for all, and watches go on', async () => {
    const upkeep = { keepHistoryMs: 300, upkeepEveryMs: 100 };
    const store = await world.open([server.url], upkeep);
    await world.open([server.url], upkeep);
    const told: string[] = [];
    store.watch('w/', (event) => told.push(short(event)));
    const first = await store.commit([put('w/a', 1)]);
    await store.commit([put('w/a', 2)]);
    const old = () => server.ctl('get', `${world.prefix}e/w/a`, '--rev', String(first)).catch(String);
    await expect.poll(old, { timeout: 20_000 }).toContain('compacted');
    await store.commit([put('w/a', 3)]);
    await until(() => told.length === 3);
    const holders = (await store.readReport()).leases.filter(({ name }) => name === 'upkeep');
    expect(holders).toMatchObject([{ held: true }]);
  });

  it('tells its members, size and leases', async () => {
    const store = await world.open([server.url]);
    await store.acquireLease('serve', 'one', 5_000);
    const revision = await store.commit([put('a', 1)]);
    const report = await store.readReport();
    expect(report).toMatchObject({ kind: 'etcd', place: world.prefix, revision, isFull: false });
    expect(report.sizeBytes).toBeGreaterThan(10_000);
    expect(report.members).toMatchObject([{ name: 'm1', addresses: [server.url], leads: true, version: expect.stringMatching(/^3\./) }]);
    expect(report.members[0]?.fault).toBeUndefined();
    expect(report.leases).toMatchObject([{ name: 'serve', holder: 'one', held: true }]);
  });

  it('full: changes are refused with what to do, while reads and leases go on', async () => {
    const small = await startEtcd({ args: ['--quota-backend-bytes', '200000'] });
    world.onEnd(() => small.stop());
    const store = await world.open([small.url]);
    const lease = await store.acquireLease('l', 'one', 30_000);
    // What is compared with the quota is the file, which grows when writes of the last moments are committed: any number of quick ones may pass.
    const refused = async () => await store.commit([put('big', 'x'.repeat(60_000))]).then(String, (error) => error);
    await expect.poll(refused, { timeout: 30_000 }).toMatchObject({
      code: 'STATE_FULL',
      hint: expect.stringMatching(/defrag/),
      details: { sizeBytes: expect.any(Number), inUseBytes: expect.any(Number) },
    });
    expect((await store.get('big'))?.value).toHaveLength(60_000);
    expect((await store.renewLease(lease)).token).toBe(lease.token);
    await expect.poll(async () => (await store.readReport()).isFull).toBe(true);
    await store.releaseLease(lease);
  });
});

describeSystem('etcd', 'a cluster restored from an old snapshot', () => {
  const world = new EtcdStoreWorld();
  beforeEach(() => world.begin());
  afterEach(() => world.closeAll());

  it('is refused by every process that has seen more, until a person accepts it; tokens go on growing', async () => {
    const members = await makeMembers(1);
    const server = await startEtcd({ members });
    world.onEnd(() => server.stop());
    const store = await world.open([server.url]);
    await store.commit([put('a', 'old')]);
    const snapshot = join(world.directory, 'snapshot.db');
    await server.ctl('snapshot', 'save', snapshot);
    const lease = await store.acquireLease('l', 'one', 2_000);
    await store.commit([put('a', 'new')]);
    const lost: unknown[] = [];
    store.watch('a', () => {}, { onError: (error) => lost.push(error) });

    await server.kill();
    await rm(join(server.dir, 'data'), { recursive: true });
    const peer = `http://127.0.0.1:${members[0]?.peerPort}`;
    await server.ctl(
      ...['snapshot', 'restore', snapshot, '--name', 'm1', '--data-dir', join(server.dir, 'data'), '--initial-cluster', `m1=${peer}`],
      ...['--initial-cluster-token', `t${members[0]?.peerPort}`, '--initial-advertise-peer-urls', peer],
    );
    await server.start();

    // The process that ran all the while acts on nothing more.
    const running = await failureOf(store.commit([put('a', 'newer')]));
    expect(running.code).toBe('STATE_WENT_BACK');
    expect(await server.ctl('get', '--prefix', `${world.prefix}e/`)).not.toContain('newer');
    expect(await failureOf(store.get('a'))).toMatchObject({ code: 'STATE_WENT_BACK' });
    await until(() => lost.length === 1);
    await store.close();
    // So does one that starts now, by what this machine remembers.
    const starting = await failureOf(world.open([server.url]));
    expect(starting).toMatchObject({ code: 'STATE_WENT_BACK', kind: 'refused', hint: expect.stringMatching(/holdfast state accept/) });

    const accepted = await acceptEtcdState(world.options([server.url]), 'ada', 'the disks were lost');
    expect(accepted.code).toBe('STATE_WENT_BACK');
    const again = await world.open([server.url]);
    expect((await again.get('a'))?.value).toBe('old');
    expect((await again.acquireLease('l', 'two', 2_000)).token).toBeGreaterThan(lease.token);
    await again.commit([put('a', 'on')]);
    expect(await failureOf(acceptEtcdState(world.options([server.url]), 'ada', 'twice'))).toMatchObject({ code: 'USAGE' });
  });
});

describeSystem('etcd', 'a state behind certificates and users', () => {
  const world = new EtcdStoreWorld();
  let server: RunningEtcd;
  let pki: string;
  const openssl = (line: string) => execFileSync('openssl', line.split(' '), { stdio: 'ignore', cwd: pki });
  const sign = (name: string, days: number) => {
    openssl(
      `req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=${name} -addext subjectAltName=IP:127.0.0.1 -keyout ${name}-key.pem -out ${name}.csr`,
    );
    openssl(`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -copy_extensions copy -days ${days} -out ${name}.pem`);
  };
  const tls = (name = 'own') => ({
    caFile: join(pki, 'ca.pem'),
    certificateFile: join(pki, `${name}.pem`),
    keyFile: join(pki, `${name}-key.pem`),
  });
  const password = (text: string) => new Secret(text, 'test');
  const own = () => ({ ...tls(), user: 'holdfast', password: password('right') });
  const etcdctl = async (...words: string[]) =>
    execFileSync(
      'etcdctl',
      [
        ...words,
        '--endpoints',
        server.url,
        '--cacert',
        join(pki, 'ca.pem'),
        '--cert',
        join(pki, 'own.pem'),
        '--key',
        join(pki, 'own-key.pem'),
      ],
      { env: { ...process.env, ETCDCTL_API: '3' }, stdio: ['ignore', 'pipe', 'ignore'] },
    );

  beforeAll(async () => {
    pki = await temporaryDirectory('etcd-pki');
    openssl('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /O=ca -keyout ca-key.pem -out ca.pem');
    for (const [name, days] of [
      ['server', 2],
      ['own', 2],
      ['expired', -1],
    ] as const)
      sign(name, days);
    openssl('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /O=other -keyout other-key.pem -out other.pem');
    server = await startEtcd({
      tls: { certificate: join(pki, 'server.pem'), key: join(pki, 'server-key.pem') },
      args: ['--client-cert-auth', '--trusted-ca-file', join(pki, 'ca.pem'), '--auth-token-ttl', '1'],
    });
    await etcdctl('user', 'add', 'root:root');
    await etcdctl('user', 'add', 'holdfast:right');
    await etcdctl('user', 'add', 'reader:right');
    for (const [role, kind] of [
      ['holdfast', 'readwrite'],
      ['reader', 'read'],
    ] as const) {
      await etcdctl('role', 'add', role);
      await etcdctl('role', 'grant-permission', role, '--prefix=true', kind, '/holdfast/');
      await etcdctl('user', 'grant-role', role, role);
    }
    await etcdctl('user', 'grant-role', 'root', 'root');
    await etcdctl('auth', 'enable');
  });
  afterAll(async () => {
    await server.stop();
    await rm(pki, { recursive: true, force: true });
  });
  beforeEach(() => world.begin());
  afterEach(() => world.closeAll());

  it('is used by who shows them, also after the token has run out and the members have started again', async () => {
    const store = await world.open([server.url], own());
    const told: string[] = [];
    store.watch('a', (event) => told.push(short(event)));
    const lease = await store.acquireLease('l', 'one', 60_000);
    await store.commit([put('a', 1)]);
    await until(() => told.length === 1);
    // A token that nobody uses lasts a second here; a member that starts again knows none.
    await host.clock.sleep(2_200);
    await store.commit([{ ...put('a', 2), lease } as ReturnType<typeof put>]);
    await server.kill();
    await server.start();
    await expect
      .poll(
        () =>
          store.commit([put('a', 3)]).then(
            () => 'done',
            (error) => error.code,
          ),
        { timeout: 15_000 },
      )
      .toBe('done');
    await until(() => told.includes('a=3'));
    expect((await store.renewLease(lease)).token).toBe(lease.token);
    expect((await store.readReport()).members).toHaveLength(1);
  });

  it.each([
    ['a wrong password', () => ({ ...own(), password: password('wrong') }), /state.etcd.user and its password/],
    ['no user', () => tls(), /state.etcd.user/],
    ['a role that may only read', () => ({ ...own(), user: 'reader' }), /read and write permission/],
    ['a prefix that the role does not know', () => ({ ...own(), prefix: '/elsewhere/' }), /read and write permission/],
    ['an expired certificate of its own', () => ({ ...own(), ...tls('expired') }), /expired/],
    ['an authority that does not vouch for the members', () => ({ ...own(), caFile: join(pki, 'other.pem') }), /state.etcd.ca/],
  ])('refuses %s, and says what to look at', async (_, access, hint) => {
    const error = await failureOf(world.open([server.url], { timeoutMs: 3_000, ...access() }));
    expect({ code: error.code, hint: error.hint }, error.message).toEqual({
      code: 'SYSTEM_WRONG_CREDENTIALS',
      hint: expect.stringMatching(hint),
    });
    expect(JSON.stringify(error)).not.toContain('wrong"');
  });
});
