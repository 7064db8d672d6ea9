/** Snapshots of Redis on real servers: taken by the replication stream, restored, and found wanting where they are damaged. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { CheckResult, RecoveryTarget, Restorer, RunningCopy } from '../../src/contracts/backup.ts';
import { freePort } from '../systems/ports.ts';
import { type RunningRedis, startRedis } from '../systems/redis.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { fingerprintKey, KeptBackup, restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';
import { driver, failureOf, host, password, sourceOf } from './redis-backup-source.ts';

const newest: RecoveryTarget = { kind: 'newest' };
const directories = new TestDirectories();
const dayMs = 86_400_000;

async function openRestorer(): Promise<Restorer> {
  const workDirectory = await directories.make('work');
  return driver.backups?.openRestorer(
    restorerContext(host, { component: 'cache', options: driver.componentOptions.parse({}), workDirectory }),
  ) as Restorer;
}

async function withCopy<T>(backup: KeptBackup, work: (copy: RunningCopy) => Promise<T>): Promise<T> {
  const restored = await (await openRestorer()).restore(backup.reader(), newest, await directories.make('restored'));
  const copy = await restored.start();
  try {
    return await work(copy);
  } finally {
    await copy.stop();
  }
}

const compare = (backup: KeptBackup): Promise<readonly CheckResult[]> =>
  withCopy(backup, (copy) => copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey));

const failed = (results: readonly CheckResult[]): readonly string[] =>
  results.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);

afterEach(() => directories.removeAll());

describeSystem('redis', 'backups of Redis', () => {
  let redis: RunningRedis;

  beforeAll(async () => {
    redis = await startRedis({ password });
    const lines: string[][] = [
      ['MSET', ...Array.from({ length: 500 }, (_, at) => [`order:${at}`, `value ${at} ${'x'.repeat(200)}`]).flat()],
      ['HSET', 'customer:1', 'name', 'Ada', 'town', 'London'],
      ['RPUSH', 'queue', 'first', 'second'],
      ['SADD', 'tags', 'red', 'green', 'blue'],
      ['ZADD', 'scores', '1', 'one', '2', 'two'],
      ['XADD', 'events', '*', 'kind', 'paid'],
      ['SET', 'session:1', 'soon', 'PX', String(2 * dayMs)],
      ['SET', 'session:2', 'later', 'PX', String(40 * dayMs)],
      ['SET', 'holdfast:canary:cache', JSON.stringify({ number: 41, atMs: 1_700_000_000_000, epoch: 3 })],
    ];
    for (const words of lines) await redis.command(...words);
    await redis.command('EVAL', "redis.call('SELECT', 3); return redis.call('SET', 'elsewhere', 'in database 3')", '0');
  });
  afterAll(() => redis.stop());

  const take = async (work?: string) =>
    takeBackup(sourceOf(redis.port), host, 'snapshot', { workDirectory: work ?? (await directories.make('take')) });

  it.each(['yes', 'no'])('[S5-05] takes the whole by the replication stream and says what it holds (diskless: %s)', async (diskless) => {
    await redis.command('CONFIG', 'SET', 'repl-diskless-sync', diskless);
    const beforeMs = Date.now();
    const work = await directories.make('take');
    const { facts, parts } = await take(work);
    expect(parts.get('dump.rdb')?.toString('latin1', 0, 5)).toBe('REDIS');
    expect(facts).toMatchObject({ engine: 'redis', dataBytes: parts.get('dump.rdb')?.length, canary: { number: 41, epoch: 3 } });
    expect(facts?.consistentAtMs).toBeGreaterThan(beforeMs - 2_000);
    expect(facts?.consistentAtMs).toBeLessThanOrEqual(Date.now() + 1_000);
    const info = await redis.command('INFO', 'replication');
    expect(facts?.more).toMatchObject({
      dbsize: 509,
      dbsizeFrom: 'artefact',
      appendOnly: true,
      replid: /master_replid:(\w+)/.exec(info)?.[1],
    });
    expect(facts?.engineVersion).toBe(/redis_version:(\S+)/.exec(await redis.command('INFO', 'server'))?.[1]);
    const entries = Object.fromEntries(
      (facts?.fingerprint?.entries ?? []).map(({ name, count }) => [name.replace(/\d{4}-.*Z/, 'TIME'), count]),
    );
    expect(entries).toMatchObject({ 'string keys': 502, 'hash keys': 1, 'list keys': 1, 'set keys': 1, 'zset keys': 1, 'stream keys': 1 });
    expect(facts?.fingerprint?.limits?.join()).toMatch(/no snapshot reads/);
    expect(JSON.stringify(facts)).not.toMatch(/Ada|London|kept-from/);
    expect((await readdir(work)).filter((name) => name.endsWith('.rdb') || name.endsWith('.sock'))).toEqual([]);
    expect(await redis.command('INFO', 'replication')).toMatch(/connected_slaves:0/);
  });

  it('[S5-29] comes back with equal keys and values, also the ones in other databases, and answers questions', async () => {
    const backup = await take();
    const restorer = await openRestorer();
    const into = join(await directories.make('restored'), 'new');
    expect((await restorer.preview(backup.reader(), newest)).problems).toEqual([]);
    const restored = await restorer.restore(backup.reader(), newest, into);
    expect(await readdir(into)).toEqual(['dump.rdb']);
    expect(await restored.checkStopped()).toEqual([expect.objectContaining({ name: 'redis-check-rdb', level: 'P3', ok: true })]);
    const copy = await restored.start();
    try {
      const results = await copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey);
      expect(failed(results)).toEqual([]);
      expect(results.length).toBe(backup.facts?.fingerprint?.entries.length);
      expect(results.map(({ name }) => name)).toContain('hash keys equal their fingerprint');
      expect(await copy.readCanary()).toEqual({ number: 41, atMs: 1_700_000_000_000, epoch: 3 });
      expect([await copy.ask('HGET customer:1 name'), await copy.ask('DBSIZE'), await copy.ask('GET "no such key"')]).toEqual([
        'Ada',
        508,
        null,
      ]);
      // Walled off: no port, no writes, nothing kept, no way to a primary.
      expect((await failureOf(copy.ask('SET a b'))).message).toMatch(/NOREPLICAS/);
      const [client = '', ...args] = copy.address.split(' ');
      for (const [setting, value] of [
        ['port', '0'],
        ['appendonly', 'no'],
        ['save', ''],
        ['replicaof', ''],
      ] as const)
        expect((await runProgram([client, ...args, '--raw', 'CONFIG', 'GET', setting])).stdout.trimEnd()).toBe(
          `${setting}\n${value}`.trimEnd(),
        );
    } finally {
      await copy.stop();
      await copy.stop();
    }
    expect(await readdir(into)).toEqual(['dump.rdb']);
    expect(existsSync(copy.address.replace('redis-cli -s ', ''))).toBe(false);
  });

  it('[S5-29] a value changed, a key removed and a database emptied show in the content', async () => {
    const backup = await take();
    const other = await startRedis({ password });
    try {
      await writeFile(join(await directories.make('other'), 'note'), '');
      const changes = [
        () => redis.command('HSET', 'customer:1', 'town', 'Paris'),
        () => redis.command('DEL', 'order:7'),
        () => redis.command('SET', 'session:2', 'later', 'PX', String(41 * dayMs)),
        () => redis.command('SADD', 'more', 'x'),
      ];
      for (const change of changes) await change();
      const changed = await take();
      changed.facts = { ...changed.facts, fingerprint: backup.facts?.fingerprint } as NonNullable<typeof changed.facts>;
      const words = failed(await compare(changed)).join('\n');
      expect(words).toMatch(/hash keys equal their fingerprint: 1 keys, and the content of some differs/);
      expect(words).toMatch(/string keys equal their fingerprint: 502 in the backup, 501 in the copy/);
      expect(words).toMatch(/keys that expire from .*: 1 keys, and the content of some differs/);
      expect(words).toMatch(/set keys equal their fingerprint: 1 in the backup, 2 in the copy/);
      changed.facts = { ...changed.facts, fingerprint: { entries: [], limits: ['nothing was read'] } } as NonNullable<typeof changed.facts>;
      expect(failed(await compare(changed))).toEqual(['content equals its fingerprint: nothing to compare with: nothing was read']);
    } finally {
      await other.stop();
      await redis.command('SET', 'order:7', `value 7 ${'x'.repeat(200)}`);
      await redis.command('HSET', 'customer:1', 'town', 'London');
      await redis.command('DEL', 'more');
    }
  });

  it('a flipped byte and a cut tail are caught by redis-check-rdb, and do not start or do not compare', async () => {
    const backup = await take();
    const size = backup.parts.get('dump.rdb')?.length as number;
    for (const damaged of [
      backup.flipped('dump.rdb', Math.floor(size / 2)),
      backup.flipped('dump.rdb', -3),
      backup.changed('dump.rdb', (bytes) => bytes.subarray(0, size - 100)),
    ]) {
      const restored = await (await openRestorer()).restore(damaged.reader(), newest, await directories.make('damaged'));
      const [result] = await restored.checkStopped();
      expect(result).toMatchObject({ level: 'P3', ok: false });
      expect((await failureOf(restored.start())).code).toBe('BACKUP_TOOL_FAILED');
    }
  });

  it('refuses a directory that holds anything, and an instant that it can not reach', async () => {
    const backup = await take();
    const into = await directories.make('full');
    await writeFile(join(into, 'dump.rdb'), 'precious');
    const restorer = await openRestorer();
    expect((await failureOf(restorer.restore(backup.reader(), newest, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
    const time: RecoveryTarget = { kind: 'time', atMs: Date.now() };
    expect((await restorer.preview(backup.reader(), time)).problems).toHaveLength(1);
    expect((await failureOf(restorer.restore(backup.reader(), time, await directories.make('x')))).code).toBe('RESTORE_TARGET_UNREACHABLE');
    backup.facts = { ...backup.facts, engineVersion: '99.1' } as NonNullable<typeof backup.facts>;
    expect((await restorer.preview(backup.reader(), newest)).problems[0]?.message).toMatch(/older server can not read it/);
  });

  it('without a work directory says that keys were not counted, and P4 is not claimed', async () => {
    const backup = await takeBackup(sourceOf(redis.port), host, 'snapshot');
    expect(backup.facts?.fingerprint?.limits?.join()).toMatch(/neither counted nor digested/);
    expect(failed(await compare(backup))).toHaveLength(1);
  });

  it('a snapshot larger than "fingerprint" is kept whole, and not looked into', async () => {
    const work = await directories.make('take');
    const backup = await takeBackup(sourceOf(redis.port, { fingerprint: '10KiB' }), host, 'snapshot', { workDirectory: work });
    expect(backup.facts?.fingerprint?.limits?.join()).toMatch(/larger than "fingerprint" allows/);
    expect(backup.facts?.more).toMatchObject({ dbsizeFrom: 'server' });
    expect(await readdir(work)).toEqual([]);
    expect(failed(await compare(backup))).toHaveLength(1);
    expect(await withCopy(backup, (copy) => copy.ask('GET elsewhere'))).toBeNull();
    expect(await withCopy(backup, (copy) => copy.ask('HGET customer:1 name'))).toBe('Ada');
  });

  it('[S3-48] an empty and idle server is backed up and restored, and its loss is the age of its newest backup, never nothing', async () => {
    const empty = await startRedis({ password });
    try {
      const backup = await takeBackup(sourceOf(empty.port), host, 'snapshot', { workDirectory: await directories.make('take') });
      expect(backup.facts?.canary).toBeUndefined();
      expect(failed(await compare(backup))).toEqual([]);
      expect(backup.facts?.consistentAtMs).toBeLessThanOrEqual(Date.now());
    } finally {
      await empty.stop();
    }
  });

  it('works on a replica, and is as old as what the replica has heard', async () => {
    const replica = await startRedis({ password, replicaOf: { address: '127.0.0.1', port: redis.port } });
    try {
      await expect.poll(() => replica.command('INFO', 'replication'), { timeout: 20_000 }).toMatch(/master_link_status:up/);
      const backup = await takeBackup(sourceOf(replica.port), host, 'snapshot', { workDirectory: await directories.make('take') });
      expect(backup.facts?.more).toMatchObject({ role: 'standby', dbsize: 509 });
      expect(backup.facts?.consistentAtMs).toBeLessThan(Date.now() - 1_000);
      expect(failed(await compare(backup))).toEqual([]);
    } finally {
      await replica.stop();
    }
  });

  it('is under load as one instant: the canary in it is never older than the backup says', async () => {
    let acknowledged = 0;
    let goOn = true;
    const writer = (async () => {
      while (goOn) {
        const atMs = Date.now();
        await redis.command('SET', 'holdfast:canary:cache', JSON.stringify({ number: acknowledged + 1, atMs, epoch: 3 }));
        acknowledged += 1;
      }
    })();
    try {
      await expect.poll(() => acknowledged).toBeGreaterThan(3);
      const before = acknowledged;
      const backup = await take();
      expect(backup.facts?.canary?.number).toBeGreaterThanOrEqual(before);
      expect(failed(await compare(backup))).toEqual([]);
    } finally {
      goOn = false;
      await writer;
      await redis.command('SET', 'holdfast:canary:cache', JSON.stringify({ number: 41, atMs: 1_700_000_000_000, epoch: 3 }));
    }
  });

  it('a wrong password is told as such, and never shown', async () => {
    const error = await failureOf(takeBackup(sourceOf(redis.port, { password: 'not-the-one' }), host, 'snapshot'));
    expect(error.code).toBe('SYSTEM_WRONG_CREDENTIALS');
    expect(JSON.stringify(error)).not.toMatch(/not-the-one|kept-from/);
  });

  it('the privileges that the README lists are enough, and without psync it says what is missing', async () => {
    const readme = await readFile(new URL('../../src/drivers/redis/README.md', import.meta.url), 'utf8');
    const privileges = (/^\s*ACL SETUSER holdfast on >PASSWORD (.+)$/m.exec(readme)?.[1] ?? '').replace('~*', '~holdfast:*').split(' ');
    expect(privileges).toContain('+psync');
    await redis.command('ACL', 'SETUSER', 'holdfast', 'reset', 'on', '>user-password', ...privileges);
    const login = { user: 'holdfast', password: 'user-password' };
    const backup = await takeBackup(sourceOf(redis.port, login), host, 'snapshot', { workDirectory: await directories.make('take') });
    expect(failed(await compare(backup))).toEqual([]);
    await redis.command('ACL', 'SETUSER', 'holdfast', '-psync');
    const error = await failureOf(takeBackup(sourceOf(redis.port, login), host, 'snapshot'));
    expect([error.code, error.message]).toEqual(['SYSTEM_WRONG_CREDENTIALS', expect.stringMatching(/psync/i)]);
  });

  it('comes over TLS as well, and not from a server whose certificate nobody vouches for', async () => {
    const pki = await directories.make('pki');
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=redis -addext subjectAltName=IP:127.0.0.1 -keyout ${pki}/key.pem -out ${pki}/cert.pem`.split(
        ' ',
      ),
      { stdio: 'ignore' },
    );
    const tlsPort = await freePort();
    const secure = await startRedis({
      password,
      config: {
        'tls-port': String(tlsPort),
        'tls-cert-file': `${pki}/cert.pem`,
        'tls-key-file': `${pki}/key.pem`,
        'tls-ca-cert-file': `${pki}/cert.pem`,
        'tls-auth-clients': 'no',
      },
    });
    try {
      await secure.command('SETRANGE', 'a', '3000000', 'x');
      const backup = await takeBackup(sourceOf(tlsPort, { ca: `${pki}/cert.pem` }), host, 'snapshot', {
        workDirectory: await directories.make('take'),
      });
      expect(failed(await compare(backup))).toEqual([]);
      const other = await directories.make('other');
      execFileSync(
        'openssl',
        `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout ${other}/key.pem -out ${other}/cert.pem`.split(
          ' ',
        ),
        { stdio: 'ignore' },
      );
      const error = await failureOf(takeBackup(sourceOf(tlsPort, { ca: `${other}/cert.pem` }), host, 'snapshot'));
      expect(error.details.cause).toBe('tls');
    } finally {
      await secure.stop();
    }
  });

  it('a store that fails and a signal end the backup, with nothing left running', async () => {
    const kept = new KeptBackup();
    const work = await directories.make('take');
    const options = { fingerprintKey, workDirectory: work };
    const context = { signal: new AbortController().signal, log: host.log, progress: () => {} };
    await expect(sourceOf(redis.port).take('snapshot', kept.sink({ failAfterBytes: 10 }), options, context)).rejects.toThrow(
      'the store is full',
    );
    expect(kept.ended.size).toBe(0);
    const controller = new AbortController();
    const taking = takeBackup(sourceOf(redis.port), host, 'snapshot', {
      workDirectory: await directories.make('take'),
      signal: controller.signal,
      slowMs: 50,
    });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(taking).rejects.toThrow();
    await expect.poll(() => redis.command('INFO', 'replication')).toMatch(/connected_slaves:0/);
  });

  it('a part of 64 MiB goes through with back-pressure: one piece at a time, and the server waits', async () => {
    const large = await startRedis({ password, config: { 'repl-diskless-sync': 'yes', rdbcompression: 'no' } });
    try {
      await large.command('DEBUG', 'JMAP').catch(() => '');
      for (let at = 0; at < 64; at += 1)
        await large.command('EVAL', "return redis.call('SETRANGE', KEYS[1], 1048575, 'z')", '1', `big:${at}`);
      const backup = await takeBackup(sourceOf(large.port), host, 'snapshot', { workDirectory: await directories.make('take') });
      expect(backup.parts.get('dump.rdb')?.length).toBeGreaterThan(64 * 1_048_576);
      expect(backup.pendingMax).toBe(1);
      expect(failed(await compare(backup))).toEqual([]);
    } finally {
      await large.stop();
    }
  });
});
