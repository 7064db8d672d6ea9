/** Snapshots of etcd on real members: taken by the gateway or by etcdctl, restored, and found wanting where they are damaged. */
import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { CheckResult, RecoveryTarget, Restorer, RunningCopy } from '../../src/contracts/backup.ts';
import { openBackupSource } from '../../src/drivers/etcd/backup-source.ts';
import { driver } from '../../src/drivers/etcd/driver.ts';
import { prefixOf } from '../../src/drivers/etcd/fingerprint.ts';
import type { EtcdContext } from '../../src/drivers/etcd/observe.ts';
import type { EtcdSiteOptions } from '../../src/drivers/etcd/options.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { makeMembers, type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { freePort } from '../systems/ports.ts';
import { describeSystem } from '../systems/requirement.ts';
import { fingerprintKey, type KeptBackup, restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';

const host = nodeHost({ logTo: 'silent' });
const newest: RecoveryTarget = { kind: 'newest' };
const directories = new TestDirectories();
afterEach(() => directories.removeAll());

interface Access {
  readonly user?: string;
  readonly password?: string;
  readonly site?: Partial<EtcdSiteOptions>;
  readonly silenceMs?: number;
  readonly probeTimeoutMs?: number;
}

function contextOf(endpoints: readonly string[], access: Access = {}): EtcdContext {
  const options = access.user === undefined ? {} : { user: access.user, password: new Secret(access.password ?? '', 'test') };
  return {
    host,
    platform: 'test',
    component: 'cluster',
    region: 'east',
    options,
    site: { endpoints, ...access.site },
    sites: new Map(),
    replication: 'asynchronous',
    hands: undefined,
    probeTimeoutMs: access.probeTimeoutMs ?? 2_000,
  };
}

const take = async (endpoints: readonly string[], access: Access = {}) =>
  takeBackup(
    openBackupSource(contextOf(endpoints, access), access.silenceMs === undefined ? {} : { silenceMs: access.silenceMs }),
    host,
    'snapshot',
    { workDirectory: await directories.make('take') },
  );

async function openRestorer(access: Access = {}): Promise<Restorer> {
  const workDirectory = await directories.make('work');
  const { options } = contextOf([], access);
  return driver.backups?.openRestorer(restorerContext(host, { component: 'cluster', options, workDirectory })) as Restorer;
}

const restore = async (backup: KeptBackup, access: Access = {}) =>
  (await openRestorer(access)).restore(backup.reader(), newest, join(await directories.make('restored'), 'new'));

async function withCopy<T>(backup: KeptBackup, work: (copy: RunningCopy) => Promise<T>, access: Access = {}): Promise<T> {
  const copy = await (await restore(backup, access)).start();
  try {
    return await work(copy);
  } finally {
    await copy.stop();
  }
}

const compare = (backup: KeptBackup, access: Access = {}): Promise<readonly CheckResult[]> =>
  withCopy(backup, (copy) => copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey), access);

const failed = (results: readonly CheckResult[]): readonly string[] =>
  results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}

const observe = (endpoints: readonly string[], access: Access = {}) =>
  driver.open(contextOf(endpoints, access)).observe(new AbortController().signal);

describeSystem('etcd', 'backups of etcd', () => {
  let etcd: RunningEtcd;

  beforeAll(async () => {
    etcd = await startEtcd();
    for (const [key, value] of [
      ['/registry/pods/default/web-1', 'running'],
      ['/registry/pods/default/web-2', 'waiting'],
      ['/registry/secrets/default/token', 'not to be seen'],
      ['plain', 'value'],
    ] as const)
      await etcd.ctl('put', key, value);
    await etcd.ctl('put', '/registry/pods/default/web-2', 'running');
    const lease = /lease (\w+)/.exec(await etcd.ctl('lease', 'grant', '600'))?.[1] as string;
    await etcd.ctl('put', '--lease', lease, '/leases/holder', 'me');
  });
  afterAll(() => etcd.stop());

  it('[S4-12] takes the store with its digest, and reads revision and keys from the artefact', async () => {
    const { facts, parts } = await take([etcd.url]);
    const bytes = parts.get('snapshot.db') as Buffer;
    expect(bytes.length % 512).toBe(32);
    const status = JSON.parse(await etcd.ctl('endpoint', 'status', '-w', 'json')) as [
      { Status: { header: { revision: number }; version: string } },
    ];
    const { revision } = status[0].Status.header;
    expect(facts).toMatchObject({
      engine: 'etcd',
      engineVersion: status[0].Status.version,
      dataBytes: bytes.length,
      position: { offset: String(revision), text: `revision ${revision}` },
      more: { revision: String(revision), keys: 5 },
    });
    const entries = Object.fromEntries((facts?.fingerprint?.entries ?? []).map(({ name, count }) => [name, count]));
    expect(entries).toEqual({ '/registry/pods': 2, '/registry/secrets': 1, 'other keys': 1, 'keys with a lease': 1 });
    expect(facts?.fingerprint?.limits).toEqual([]);
    expect(JSON.stringify(facts)).not.toMatch(/not to be seen|running/);
    expect(facts?.identity).toBe((await observe([etcd.url])).identity);
  });

  it('[S4-12] comes back with equal keys at the same revision, and answers questions', async () => {
    const backup = await take([etcd.url]);
    expect((await (await openRestorer()).preview(backup.reader(), newest)).problems).toEqual([]);
    const restored = await restore(backup);
    expect((await readdir(restored.directory)).sort()).toEqual(['data', 'snapshot.db']);
    expect(failed(await restored.checkStopped())).toEqual([]);
    const copy = await restored.start();
    try {
      expect(copy.reached.position).toMatchObject({ offset: backup.facts?.more?.revision });
      expect(failed(await copy.check())).toEqual([]);
      const results = await copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey);
      expect(failed(results)).toEqual([]);
      expect(results).toHaveLength(4);
      expect([await copy.ask('/registry/pods/default/web-2'), await copy.ask('count /registry/'), await copy.ask('none')]).toEqual([
        'running',
        3,
        null,
      ]);
      expect(await copy.readCanary()).toBeUndefined();
    } finally {
      await copy.stop();
      await copy.stop();
    }
    // Nothing of it runs on: the same directory can be started again.
    const again = await restored.start();
    await again.stop();
  });

  it('[S4-12] a key changed, removed or added shows under its prefix, and another revision too', async () => {
    const backup = await take([etcd.url]);
    await etcd.ctl('put', '/registry/secrets/default/token', 'another');
    await etcd.ctl('del', '/registry/pods/default/web-1');
    await etcd.ctl('put', '/registry/nodes/n1', 'new');
    const later = await take([etcd.url]);
    expect(Number(later.facts?.more?.revision)).toBe(Number(backup.facts?.more?.revision) + 3);
    later.facts = { ...later.facts, fingerprint: backup.facts?.fingerprint, more: backup.facts?.more } as NonNullable<typeof later.facts>;
    const words = failed(
      await withCopy(later, async (copy) => [
        ...(await copy.check()),
        ...(await copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey)),
      ]),
    ).join('\n');
    expect(words).toMatch(/the revision is the one that was backed up/);
    expect(words).toMatch(/registry\/secrets equals its fingerprint: 1 keys, and some differ/);
    expect(words).toMatch(/registry\/pods equals its fingerprint: 2 keys in the backup, 1 in the copy/);
    expect(words).toMatch(/keys under other prefixes equals its fingerprint: none in the backup, 1 in the copy/);
  });

  it('a flipped byte and a cut tail are caught before anything is started, also by the check of what was restored', async () => {
    const backup = await take([etcd.url]);
    for (const damaged of [
      backup.flipped('snapshot.db', 5_000),
      backup.flipped('snapshot.db', -1),
      backup.changed('snapshot.db', (bytes) => bytes.subarray(0, -512)),
    ])
      expect((await failureOf(restore(damaged))).code).toBe('BACKUP_DAMAGED');
    const restored = await restore(backup);
    const file = join(restored.directory, 'snapshot.db');
    const bytes = await readFile(file);
    bytes[9_000] = (bytes[9_000] as number) ^ 1;
    await writeFile(file, bytes);
    expect(failed(await restored.checkStopped())).toEqual(['the snapshot has its digest: its digest is not that of its content']);
  });

  it('refuses a directory that holds anything, an instant that it can not reach, and an older etcd', async () => {
    const backup = await take([etcd.url]);
    const into = await directories.make('full');
    await writeFile(join(into, 'precious'), '');
    expect((await failureOf((await openRestorer()).restore(backup.reader(), newest, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
    expect((await failureOf((await openRestorer()).restore(backup.reader(), { kind: 'time', atMs: 0 }, `${into}/x`))).code).toBe(
      'RESTORE_TARGET_UNREACHABLE',
    );
    backup.facts = { ...backup.facts, engineVersion: '9.9.1' } as NonNullable<typeof backup.facts>;
    expect((await (await openRestorer()).preview(backup.reader(), newest)).problems[0]?.message).toMatch(/was written by 9\.9\.1/);
  });

  it('without a work directory says what was not read, and P4 is not claimed', async () => {
    const backup = await takeBackup(openBackupSource(contextOf([etcd.url])), host, 'snapshot');
    expect(backup.facts?.fingerprint).toMatchObject({ entries: [], limits: [expect.stringMatching(/not read from the snapshot/)] });
    expect(failed(await compare(backup))).toHaveLength(1);
    expect(await withCopy(backup, (copy) => copy.check())).toEqual([
      expect.objectContaining({ ok: true, detail: expect.stringMatching(/at least \d+/) }),
    ]);
  });

  it('an empty and idle cluster is backed up and restored', async () => {
    const empty = await startEtcd();
    try {
      const backup = await take([empty.url]);
      expect(backup.facts?.more).toMatchObject({ revision: '1', keys: 0 });
      expect(failed(await compare(backup))).toEqual([]);
    } finally {
      await empty.stop();
    }
  });

  it('is saved by etcdctl where the gateway is off, to the same content', async () => {
    const withoutGateway = await startEtcd({ args: ['--enable-grpc-gateway=false'] });
    try {
      await withoutGateway.ctl('put', '/a/b/c', 'd');
      const backup = await take([withoutGateway.url]);
      expect(backup.facts?.more).toMatchObject({ revision: '2', keys: 1 });
      expect(failed(await compare(backup))).toEqual([]);
      const error = await failureOf(takeBackup(openBackupSource(contextOf([withoutGateway.url])), host, 'snapshot'));
      expect(error.message).toMatch(/gateway of etcd is off/);
    } finally {
      await withoutGateway.stop();
    }
  });

  it('with several members a follower gives the snapshot, and one member less is a warning, no leader is down', async () => {
    const members = await makeMembers(3);
    const started = await Promise.all(members.map(({ name }) => startEtcd({ members, name })));
    const urls = started.map(({ url }) => url);
    try {
      await expect.poll(async () => (await observe(urls)).health, { timeout: 20_000 }).toBe('up');
      await started[0]?.ctl('put', '/a/b/c', 'd');
      await expect
        .poll(async () => (await observe(urls)).facts, { timeout: 10_000 })
        .toMatchObject({ members: 3, answering: 3, raftLag: '0' });
      const leader = String((await observe(urls)).facts?.leader);
      const backup = await take(urls);
      const taken = started.find(({ url }) => new URL(url).host === backup.facts?.more?.member) as RunningEtcd;
      expect((await observe([taken.url])).facts?.leader).toBe(leader);
      expect(failed(await compare(backup))).toEqual([]);
      await started[2]?.kill();
      await expect
        .poll(async () => (await observe(urls)).faults, { timeout: 10_000 })
        .toEqual([expect.objectContaining({ severity: 'warning', message: expect.stringMatching(/a member does not answer/) })]);
      expect((await observe(urls)).health).toBe('up');
      await started[1]?.kill();
      await expect.poll(async () => (await observe(urls)).health, { timeout: 20_000 }).toBe('down');
      expect((await failureOf(take(urls))).kind).toMatch(/refused|transient/);
    } finally {
      for (const each of started) await each.stop();
    }
  });

  it('tells of an alarm', async () => {
    const small = await startEtcd({ args: ['--quota-backend-bytes', '100000'] });
    try {
      // What is compared with the quota is the file, which grows when the writes of the last 100 ms are committed: any number of quick ones may pass.
      const refused = () =>
        small.ctl('put', '/big', 'x'.repeat(60_000)).then(
          () => false,
          (error: unknown) => String(error).includes('database space exceeded'),
        );
      await expect.poll(refused, { timeout: 30_000 }).toBe(true);
      await expect
        .poll(async () => (await observe([small.url])).faults?.map(({ message }) => message), { timeout: 10_000 })
        .toEqual(['etcd is out of space and takes no writes']);
    } finally {
      await small.stop();
    }
  });
});

describeSystem('etcd', 'backups of etcd behind TLS and users', () => {
  let etcd: RunningEtcd;
  let pki: string;
  const password = 'kept-from-everybody';

  beforeAll(async () => {
    pki = await new TestDirectories().make('pki');
    for (const [name, subject] of [
      ['cert', '/O=holdfast'],
      ['named', '/CN=holdfast'],
    ] as const)
      execFileSync(
        'openssl',
        `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj ${subject} -addext subjectAltName=IP:127.0.0.1 -keyout ${pki}/${name}-key.pem -out ${pki}/${name}.pem`.split(
          ' ',
        ),
        { stdio: 'ignore' },
      );
    execFileSync('sh', ['-c', 'cat "$1/cert.pem" "$1/named.pem" > "$1/both.pem"', 'sh', pki]);
    etcd = await startEtcd({ tls: { certificate: `${pki}/cert.pem`, key: `${pki}/cert-key.pem`, clientCa: `${pki}/both.pem` } });
    await etcd.ctl('put', '/a/b/c', 'd');
    await etcd.ctl('user', 'add', `root:${password}`);
    await etcd.ctl('user', 'grant-role', 'root', 'root');
    await etcd.ctl('auth', 'enable');
  });
  afterAll(async () => {
    await etcd?.stop();
    await host.files.remove(pki);
  });

  const site = async (name = 'cert'): Promise<Partial<EtcdSiteOptions>> => ({
    ca: `${pki}/cert.pem`,
    certificate: `${pki}/${name}.pem`,
    key: new Secret(await readFile(`${pki}/${name}-key.pem`, 'utf8'), 'test'),
  });

  it('is taken and restored with the user and the certificate', async () => {
    const access = { user: 'root', password, site: await site() };
    expect(await observe([etcd.url], access)).toMatchObject({ health: 'up' });
    const backup = await take([etcd.url], access);
    expect(failed(await compare(backup, access))).toEqual([]);
    expect(JSON.stringify(backup.facts)).not.toMatch(/kept-from|PRIVATE/);
  });

  it('a certificate with a common name does not pass the gateway: a look says so, and etcdctl takes the snapshot', async () => {
    const access = { user: 'root', password, site: await site('named') };
    expect(await observe([etcd.url], access)).toMatchObject({
      health: 'unknown',
      evidence: { detail: expect.stringMatching(/CommonName/) },
    });
    const work = await directories.make('take');
    const backup = await takeBackup(openBackupSource(contextOf([etcd.url], access)), host, 'snapshot', { workDirectory: work });
    expect(failed(await compare(backup, access))).toEqual([]);
    expect((await readdir(work)).filter((name) => /key|db$|data/.test(name))).toEqual([]);
    const wrong = await failureOf(take([etcd.url], { ...access, password: 'not-the-one' }));
    expect(wrong.code).toBe('SYSTEM_WRONG_CREDENTIALS');
    expect(JSON.stringify(wrong)).not.toMatch(/not-the-one|PRIVATE/);
  });

  it('a wrong password, no user and an unknown certificate are told as such, without secrets', async () => {
    const wrong = await failureOf(take([etcd.url], { user: 'root', password: 'not-the-one', site: await site() }));
    expect(wrong.code).toBe('SYSTEM_WRONG_CREDENTIALS');
    expect(JSON.stringify(wrong)).not.toMatch(/not-the-one|kept-from|PRIVATE/);
    expect((await failureOf(take([etcd.url], { site: await site() }))).code).toBe('SYSTEM_WRONG_CREDENTIALS');
    expect(await observe([etcd.url], { user: 'root', password: 'not-the-one', site: await site() })).toMatchObject({
      health: 'unknown',
      evidence: { kind: 'not-allowed' },
    });
    expect((await failureOf(take([etcd.url], { user: 'root', password }))).details.cause).toBe('tls');
    const backup = await take([etcd.url], { user: 'root', password, site: await site() });
    expect((await failureOf(compare(backup, { user: 'root', password: 'not-the-one' }))).code).toBe('SYSTEM_WRONG_CREDENTIALS');
  });
});

describe('backups of etcd from members that misbehave', () => {
  const servers: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];
  afterEach(() => {
    for (const { server, sockets } of servers.splice(0)) {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });

  async function listen(server: Server): Promise<string> {
    const port = await freePort();
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
    servers.push({ server, sockets });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${port}`;
  }

  const line = (blob: Buffer): string => `${JSON.stringify({ result: { remaining_bytes: '1', blob: blob.toString('base64') } })}\n`;

  const startLiar = (snapshot: RequestListener): Promise<string> =>
    listen(
      createHttpServer((request, response) => {
        if (request.url === '/v3/maintenance/snapshot') return snapshot(request, response);
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({ header: { cluster_id: '7', member_id: '1', revision: '5' }, version: '3.4.23', leader: '1', raftIndex: '9' }),
        );
      }),
    );

  it.each([
    ['a stream that ends early and well', 'BACKUP_INCOMPLETE', (_request, response) => response.end(line(Buffer.alloc(1_024)))],
    [
      'a stream of the right size with another digest',
      'BACKUP_INCOMPLETE',
      (_request, response) => response.end(line(Buffer.alloc(512 + 32))),
    ],
    ['nothing at all', 'BACKUP_INCOMPLETE', (_request, response) => response.end()],
    ['a message that is cut', 'BACKUP_INCOMPLETE', (_request, response) => response.end('{"result":{"blob":"AAAA')],
    [
      'an error within the stream',
      'BACKUP_TOOL_FAILED',
      (_request, response) => response.end('{"error":{"grpc_code":14,"message":"leader changed"}}\n'),
    ],
    [
      'a refusal',
      'SYSTEM_WRONG_CREDENTIALS',
      (_request, response) => response.writeHead(403).end('{"code":7,"message":"etcdserver: permission denied"}'),
    ],
    [
      'a connection that is cut',
      'SYSTEM_UNREACHABLE',
      (_request, response) => {
        response.writeHead(200);
        response.write(line(Buffer.alloc(512)), () => response.destroy());
      },
    ],
    ['silence before the stream', 'TIMED_OUT', () => {}],
    ['silence within the stream', 'TIMED_OUT', (_request, response) => void response.write(line(Buffer.alloc(512)))],
  ] as readonly (readonly [string, string, RequestListener])[])('rejects %s', async (_name, code, snapshot) => {
    const url = await startLiar(snapshot);
    expect((await failureOf(take([url], { silenceMs: 300 }))).code).toBe(code);
  });

  it('a server that accepts and never answers is unknown, and out of time; one that is no etcd is told as such', async () => {
    const silent = await listen(createServer());
    expect(await observe([silent], { probeTimeoutMs: 200 })).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
    expect((await failureOf(take([silent]))).code).toBe('TIMED_OUT');
    const other = await listen(createHttpServer((_request, response) => response.end('<html>')));
    expect(await observe([other])).toMatchObject({ health: 'down', evidence: { kind: 'wrong-answer' } });
    const closed = await freePort();
    expect(await observe([`http://127.0.0.1:${closed}`])).toMatchObject({ health: 'down', evidence: { kind: 'refused' } });
  });

  it('groups keys by their first two names', () => {
    for (const [key, prefix] of [
      ['/registry/pods/default/web', '/registry/pods'],
      ['/registry/pods', '/registry'],
      ['a/b/c', 'a/b'],
      ['plain', 'other keys'],
      ['/', 'other keys'],
      ['\x00\xff/binary/x', 'other keys'],
    ] as const)
      expect(prefixOf(Buffer.from(key, 'latin1'))).toBe(prefix);
  });

  it('options: what belongs together, and a password in the clear', () => {
    const faultsOf = (options: Record<string, unknown>, own: Record<string, unknown>) =>
      (
        driver.validate?.({ options, sites: new Map([['east', own as unknown as EtcdSiteOptions]]), replication: 'asynchronous' }) ?? []
      ).map(({ message }) => message);
    const secret = new Secret('x', 'test');
    expect(faultsOf({ user: 'root' }, { endpoints: ['https://h:1'] })).toEqual(['user and password go together']);
    expect(faultsOf({}, { endpoints: ['https://h:1'], key: secret })).toEqual(['certificate and key go together']);
    expect(faultsOf({ user: 'root', password: secret }, { endpoints: ['http://10.0.0.1:2379'] })).toEqual([
      'the password would go over the network in the clear',
    ]);
    expect(faultsOf({ user: 'root', password: secret }, { endpoints: ['http://127.0.0.1:2379'] })).toEqual([]);
  });
});
