/** The stand-alone restorer, in a process of its own, on repositories that the real code has made in a directory. It has the repository and the key, and nothing else. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRepository } from '../../src/backups/create-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { Secret } from '../../src/base/secret.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { FileStore } from '../../src/repositories/filesystem/file-store.ts';
import { randomBytes, startMs, testFacts, testHost } from '../fakes/repository-world.ts';

const program = resolve(import.meta.dirname, '../../restore/holdfast-restore.mjs');
const top = mkdtempSync(join(tmpdir(), 'holdfast-restore-'));
afterAll(() => rmSync(top, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], key?: string): Promise<Ended> {
  // Nothing of this project is in its environment, nor in the directory that it runs in.
  const env = { PATH: process.env.PATH ?? '', ...(key === undefined ? {} : { HOLDFAST_KEY: key }) };
  return new Promise((done) => {
    const child = execFile(process.execPath, [program, ...args], { env, cwd: top, timeout: 60_000 }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

const passphrase = 'correct horse battery';
const host = testHost({ nowMs: startMs }, 3);
const noise = randomBytes(30_000);
const segment = (seed: number) => Buffer.concat([randomBytes(5_000, seed), Buffer.alloc(16 * 1024 * 1024 - 5_000)]);

async function make(name: string, encrypted: boolean): Promise<{ repository: Repository; directory: string; key: string }> {
  const directory = join(top, name);
  mkdirSync(directory);
  let key = '';
  const repository = await createRepository({
    backend: new FileStore(directory, nodeHost({ logTo: 'silent' }), undefined),
    platform: 'orders',
    host,
    pieceBytes: 4_096,
    ...(encrypted ? { encryption: { passphrase: new Secret(passphrase, 'test'), cost: { N: 1_024, r: 8, p: 1 } } } : {}),
    confirmRecoveryKey: async (shown) => {
      key = shown;
      return shown;
    },
  });
  return { repository, directory, key };
}

async function tarOf(directory: string): Promise<Buffer> {
  return await new Promise((done, failed) =>
    execFile('tar', ['-c', '-C', directory, '.'], { encoding: 'buffer', maxBuffer: 1e8 }, (error, stdout) =>
      error ? failed(error) : done(stdout),
    ),
  );
}

/** A directory as PostgreSQL's would be, as far as the restorer looks at it. */
async function fillBackup(repository: Repository): Promise<void> {
  const source = join(top, `source-${repository.id}`);
  mkdirSync(join(source, 'pg_tblspc'), { recursive: true });
  writeFileSync(join(source, 'PG_VERSION'), '15\n');
  writeFileSync(join(source, 'noise'), noise);
  writeFileSync(join(source, 'postgresql.auto.conf'), "work_mem = '4MB'\n");
  const space = join(top, `space-${repository.id}`);
  mkdirSync(space);
  writeFileSync(join(space, 'rows'), 'in a tablespace');
  const writing = await repository.beginBackup({
    component: 'orders-db',
    backupId: 'base-1',
    what: 'base',
    signal: new AbortController().signal,
  });
  const write = async (name: string, bytes: Uint8Array, compressed: boolean) => {
    const part = writing.sink.openPart(name, { compressed });
    await part.write(bytes);
    await part.end();
  };
  await write('base.tar.zst', zstdCompressSync(await tarOf(source)), true);
  await write('16400.tar', await tarOf(space), false);
  await write('backup_manifest', Buffer.from('{"PostgreSQL-Backup-Manifest-Version": 1}'), false);
  const archive = await repository.openArchive('orders-db', '7000000000000000001');
  await archive.push('000000010000000000000003', segment(3));
  await archive.push('000000010000000000000004', segment(4));
  await archive.pushPart('000000010000000000000005', 0, segment(5).subarray(0, 9_000));
  await archive.push('00000002.history', Buffer.from('1\t0/5000000\tno recovery target specified\n'));
  await archive.push('000000010000000000000002', segment(2));
  await writing.commit(
    testFacts({
      engine: 'postgresql',
      engineVersion: '15.18',
      archive: { timeline: 1, first: '000000010000000000000003', last: '000000010000000000000003' },
      more: { segmentBytes: 16 * 1024 * 1024 },
    }),
  );
}

describe('holdfast-restore', () => {
  it('puts the log that a backup carries itself where PostgreSQL looks for it, filled up to its length, and other systems’ parts as they are', async () => {
    const { repository, directory, key } = await make('carried', true);
    const source = join(top, 'carried-source');
    mkdirSync(join(source, 'pg_tblspc'), { recursive: true });
    const write = async (component: string, engine: string, parts: Readonly<Record<string, Uint8Array>>) => {
      const writing = await repository.beginBackup({ component, backupId: 'b1', what: 'base', signal: new AbortController().signal });
      for (const [name, bytes] of Object.entries(parts)) {
        const part = writing.sink.openPart(name);
        await part.write(bytes);
        await part.end();
      }
      await writing.commit(testFacts({ engine, more: { segmentBytes: 1_048_576 } }));
    };
    await write('db', 'postgresql', {
      'base.tar': await tarOf(source),
      'wal-000000010000000000000001': Buffer.alloc(1_048_576, 7),
      'wal-000000010000000000000002.unfinished': Buffer.alloc(1_000, 8),
    });
    await write('cache', 'redis', { 'dump.rdb': noise, '../../evil': noise, '..': noise });
    await write('vectors', 'files', { 'files.tar': await tarOf(source) });
    const into = (component: string) => join(top, `into-carried-${component}`);
    for (const component of ['db', 'cache', 'vectors'])
      expect((await run(['restore', directory, component, '--into', into(component)], key)).stderr).not.toMatch(/^[A-Z_]+:/m);
    const second = readFileSync(join(into('db'), 'archive/000000010000000000000002'));
    expect([second.length, second[999], second[1_000]]).toEqual([1_048_576, 8, 0]);
    expect(readFileSync(join(into('db'), 'archive/000000010000000000000001')).equals(Buffer.alloc(1_048_576, 7))).toBe(true);
    expect(readFileSync(join(into('cache'), 'dump.rdb')).equals(Buffer.from(noise))).toBe(true);
    expect(readdirSync(into('cache')).sort()).toEqual(['_', '__.._evil', 'dump.rdb'].sort());
    expect(existsSync(join(into('vectors'), 'files/pg_tblspc'))).toBe(true);
  });
});

describe.each([
  ['plain', false],
  ['encrypted', true],
])('holdfast-restore and a %s repository', (kind, encrypted) => {
  let directory = '';
  let key: string | undefined;

  beforeAll(async () => {
    const made = await make(kind, encrypted);
    directory = made.directory;
    key = encrypted ? made.key : undefined;
    await fillBackup(made.repository);
  });

  const intoOf = (name: string) => join(top, `into-${kind}-${name}`);

  it('restores with only the repository and the key: files, tablespaces, archived log', async () => {
    const into = intoOf('whole');
    const ended = await run(['restore', directory, 'orders-db', '--into', into, '--json'], key);
    expect(ended.stderr).not.toContain('BUG');
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ backup: 'base-1', engine: 'postgresql', parts: 3, archivedLogs: 4 });
    expect(readFileSync(join(into, 'data/noise')).equals(Buffer.from(noise))).toBe(true);
    expect(readFileSync(join(into, 'tablespaces/16400/rows'), 'utf8')).toBe('in a tablespace');
    expect(readFileSync(join(into, 'data/pg_tblspc/16400/rows'), 'utf8')).toBe('in a tablespace');
    expect(existsSync(join(into, 'data/backup_manifest'))).toBe(true);
    expect(existsSync(join(into, 'data/recovery.signal'))).toBe(true);
    const settings = readFileSync(join(into, 'data/postgresql.auto.conf'), 'utf8');
    expect(settings).toContain("work_mem = '4MB'");
    expect(settings).toContain(`restore_command = 'cp "${into}/archive/%f" "%p"'`);
    expect(settings).toContain("archive_mode = 'off'");
    expect(readdirSync(join(into, 'archive')).sort()).toEqual([
      '000000010000000000000003',
      '000000010000000000000004',
      '000000010000000000000005',
      '00000002.history',
    ]);
    expect(readFileSync(join(into, 'archive/000000010000000000000004')).equals(segment(4))).toBe(true);
    expect(readFileSync(join(into, 'archive/000000010000000000000005')).equals(segment(5).fill(0, 9_000))).toBe(true);
    const again = await run(['restore', directory, 'orders-db', '--into', into], key);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('RESTORE_TARGET_NOT_EMPTY')]);
  });

  it('lists and verifies', async () => {
    const listed = await run(['list', directory, '--json'], key);
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { component: 'orders-db', backup: 'base-1', what: 'base', engine: 'postgresql 15.18' },
    ]);
    const verified = await run(['verify', directory, '--json'], key);
    expect([verified.code, JSON.parse(verified.stdout)]).toEqual([0, { backups: 1, problems: [] }]);
  });

  /** A copy of the repository with one fault; what verify and restore make of it. */
  async function damage(name: string, fault: (root: string, pieces: string) => void): Promise<{ verified: Ended; restored: Ended }> {
    const root = join(top, `${kind}-${name}`);
    cpSync(directory, root, { recursive: true });
    fault(root, join(root, 'backups/orders-db/base-1/pieces'));
    const verified = await run(['verify', root, 'orders-db', 'base-1'], key);
    const restored = await run(['restore', root, 'orders-db', 'base-1', '--into', intoOf(name)], key);
    return { verified, restored };
  }

  const flip = (path: string) => {
    const content = readFileSync(path);
    const at = content.length >> 1;
    content[at] = (content[at] as number) ^ 4;
    writeFileSync(path, content);
  };
  const faults: Record<string, (root: string, pieces: string) => void> = {
    'a flipped byte': (_, pieces) => flip(join(pieces, readdirSync(pieces)[0] as string)),
    'a missing piece': (_, pieces) => rmSync(join(pieces, readdirSync(pieces)[1] as string)),
    'a cut piece': (_, pieces) => {
      const path = join(pieces, readdirSync(pieces)[0] as string);
      writeFileSync(path, readFileSync(path).subarray(0, -1));
    },
    'two swapped pieces': (_, pieces) => {
      const [first, second] = readdirSync(pieces).map((each) => join(pieces, each)) as [string, string];
      renameSync(first, `${first}-`);
      renameSync(second, first);
      renameSync(`${first}-`, second);
    },
    'an altered manifest': (root) => {
      const path = join(root, 'backups/orders-db/base-1/manifest');
      writeFileSync(path, readFileSync(path, 'utf8').replace('"15.18"', '"15.19"'));
    },
    'a truncated manifest': (root) => {
      const path = join(root, 'backups/orders-db/base-1/manifest');
      writeFileSync(path, readFileSync(path, 'utf8').split('\n').slice(0, -2).join('\n'));
    },
    'an altered chapter': (root) => {
      const chapters = join(root, 'backups/orders-db/base-1/chapters');
      flip(join(chapters, readdirSync(chapters)[0] as string));
    },
  };

  it.each(Object.entries(faults))('[X-06] finds %s, and restores nothing of it', async (name, fault) => {
    const { verified, restored } = await damage(name.replaceAll(' ', '-'), fault);
    expect(verified.code, verified.stdout).toBe(1);
    expect([restored.code, restored.stderr]).toEqual([1, expect.stringContaining('BACKUP_DAMAGED')]);
  });

  it('[X-06] refuses to restore across a gap in the archived log, unless told to stop before it', async () => {
    const root = join(top, `${kind}-gap`);
    cpSync(directory, root, { recursive: true });
    rmSync(join(root, 'wal/orders-db/7000000000000000001/000000010000000000000004'));
    const refused = await run(['restore', root, 'orders-db', '--into', intoOf('gap')], key);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('ARCHIVE_GAP')]);
    const upTo = await run(['restore', root, 'orders-db', '--into', intoOf('up-to-gap'), '--up-to-gap'], key);
    expect(upTo.code, upTo.stderr).toBe(0);
    expect(readdirSync(join(intoOf('up-to-gap'), 'archive')).sort()).toEqual(['000000010000000000000003', '00000002.history']);
  });

  it('[X-06] finds a flipped byte in an archived log', async () => {
    const root = join(top, `${kind}-log`);
    cpSync(directory, root, { recursive: true });
    flip(join(root, 'wal/orders-db/7000000000000000001/000000010000000000000004'));
    const verified = await run(['verify', root], key);
    expect([verified.code, verified.stdout]).toEqual([1, expect.stringContaining('archived log 000000010000000000000004')]);
    const restored = await run(['restore', root, 'orders-db', '--into', intoOf('log')], key);
    expect([restored.code, restored.stderr]).toEqual([1, expect.stringContaining('BACKUP_DAMAGED')]);
  });

  it('tells a missing repository, another format and a foreign manifest apart', async () => {
    expect((await run(['list', join(top, 'nowhere')], key)).stderr).toContain('REPOSITORY_MISSING');
    const root = join(top, `${kind}-newer`);
    cpSync(directory, root, { recursive: true });
    writeFileSync(join(root, 'repo'), readFileSync(join(root, 'repo'), 'utf8').replace('"format":1', '"format":2'));
    expect((await run(['list', root], key)).stderr).toContain('REPOSITORY_NEWER_FORMAT');
    expect((await run(['list'], key)).code).toBe(2);
    expect((await run(['restore', directory, 'orders-db', '--into', intoOf('to'), '--to', '13am'], key)).code).toBe(2);
  });

  if (!encrypted) return;

  it('[S5-09] takes the passphrase as well, and refuses a wrong key, a mistyped one and none', async () => {
    expect((await run(['verify', directory], passphrase)).code).toBe(0);
    const keyFile = join(top, 'key-file');
    writeFileSync(keyFile, `${key}\n`);
    expect((await run(['verify', directory, '--key-file', keyFile])).code).toBe(0);
    const other = await make('other', true);
    const wrong = await run(['restore', directory, 'orders-db', '--into', intoOf('wrong')], other.key);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('KEY_WRONG')]);
    expect(existsSync(intoOf('wrong'))).toBe(false);
    expect((await run(['list', directory], 'another passphrase')).stderr).toContain('KEY_WRONG');
    expect((await run(['list', directory], `${key?.slice(0, -1)}${key?.endsWith('0') ? '1' : '0'}`)).stderr).toContain('mistyped');
    expect((await run(['list', directory])).stderr).toContain('KEY_MISSING');
  });
});
