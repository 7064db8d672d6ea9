import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { FileStreams, Host } from '../../host/host.ts';
import { nodeHost } from '../../host/node/node-host.ts';
import { backend } from './backend.ts';
import { FileStore } from './file-store.ts';

const host = nodeHost({ logTo: 'silent' });
const signal = new AbortController().signal;
let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-file-store-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function errorOf(work: Promise<unknown>): Promise<HoldfastError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('there was no error');
}

/** A host whose file system answers one call as it likes. */
function withStreams(change: Partial<FileStreams>): Host {
  return { ...host, fileStreams: { ...host.fileStreams, ...change } };
}

/** As the file system's own error comes through the host. */
function systemError(code: string, syscall: string): HoldfastError {
  const cause = Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
  return fail('SYSTEM_REFUSED', { message: `can not write: ${code}`, details: { cause: code }, cause });
}

async function namesIn(store: FileStore, prefix = ''): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}

describe('the place', () => {
  it('that is missing is never made by the way: an unmounted disk must not become one', async () => {
    const store = new FileStore(join(directory, 'absent'), host, undefined);
    const attempts = [
      () => store.put('a', new Uint8Array(1)),
      () => store.get('a'),
      () => store.head('a'),
      () => store.remove('a'),
      () => namesIn(store),
      () => store.probe(signal),
    ];
    for (const attempt of attempts) expect((await errorOf(attempt())).code).toBe('STORE_MISSING_PLACE');
    expect(await readdir(directory)).toEqual([]);
    await store.ensurePlace();
    expect(await store.put('a', new Uint8Array(1))).toBe('created');
  });

  it('that is a file is no place', async () => {
    await writeFile(join(directory, 'file'), 'x');
    expect((await errorOf(new FileStore(join(directory, 'file'), host, undefined).put('a', new Uint8Array(1)))).code).toBe(
      'STORE_MISSING_PLACE',
    );
  });

  it('is an absolute path, and nothing else is understood', () => {
    expect(backend.options.safeParse({ path: '/srv/backups' }).success).toBe(true);
    expect(backend.options.safeParse({ path: 'backups' }).success).toBe(false);
    expect(backend.options.safeParse({ path: '/srv', bucket: 'b' }).success).toBe(false);
  });
});

describe('trouble', () => {
  const put = (change: Partial<FileStreams>) => new FileStore(directory, withStreams(change), undefined).put('a/b', new Uint8Array(9));
  const refuses = (code: string) => ({ createOnce: () => Promise.reject(systemError(code, 'open')) });

  it('has a code of its own for each kind', async () => {
    expect((await errorOf(put(refuses('ENOSPC')))).code).toBe('STORE_FULL');
    expect((await errorOf(put(refuses('EDQUOT')))).code).toBe('STORE_FULL');
    expect((await errorOf(put(refuses('EACCES')))).code).toBe('STORE_NOT_ALLOWED');
    expect((await errorOf(put(refuses('EROFS')))).code).toBe('STORE_NOT_ALLOWED');
    const broken = await errorOf(put(refuses('EIO')));
    expect([broken.code, broken.kind]).toEqual(['STORE_UNREACHABLE', 'transient']);
  });

  it('at the barrier is told, and the next barrier tries all of it again', async () => {
    const synced: string[] = [];
    let isBroken = true;
    const sync = async (path: string) => {
      if (isBroken) throw systemError('EIO', 'fsync');
      synced.push(path.slice(directory.length));
    };
    const store = new FileStore(directory, withStreams({ sync }), undefined);
    await store.put('a/b', new Uint8Array(1));
    expect((await errorOf(store.barrier())).code).toBe('STORE_UNREACHABLE');
    isBroken = false;
    await store.barrier();
    expect(synced.toSorted()).toEqual(['', '/a', '/a/b']);
    await store.barrier();
    expect(synced).toHaveLength(3);
  });

  it('is a file shorter than it was a moment ago: never handed on as whole', async () => {
    const store = new FileStore(
      directory,
      withStreams({
        read: async function* () {
          yield new Uint8Array(3);
        },
      }),
      undefined,
    );
    await store.put('a', new Uint8Array(9));
    expect((await errorOf(store.get('a'))).message).toContain('3 of 9 bytes');
  });

  it('is a wish that a directory can not fulfil', async () => {
    const store = backend.open({ path: directory }, host, { storeKey: 'alias/holdfast' });
    expect((await errorOf(store.put('a', new Uint8Array(1)))).code).toBe('STORE_NO_KEY_SERVICE');
  });

  it('is a file system without hard links, which the probe sees', async () => {
    const store = new FileStore(directory, withStreams({ createOnce: () => Promise.reject(systemError('EPERM', 'link')) }), undefined);
    const found = await store.probe(signal);
    expect(found.putIfAbsent).toBe(false);
    expect(found.notes.join(' ')).toContain('hard links');
  });

  it('is a file system that gives a name twice, which the probe sees', async () => {
    const twice = withStreams({
      createOnce: async (path, content) => {
        await mkdir(join(path, '..'), { recursive: true });
        await writeFile(path, content);
        return 'created';
      },
    });
    expect((await new FileStore(directory, twice, undefined).probe(signal)).putIfAbsent).toBe(false);
  });
});

const canMount = process.getuid?.() === 0 && process.platform === 'linux' && mountsWork();

describe.runIf(canMount)('a small disk of its own', () => {
  it('that is full is said to be full, shows no half object, and goes on once there is room', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory]);
    try {
      const store = new FileStore(directory, host, undefined);
      await store.put('first', new Uint8Array(1_500_000));
      const error = await errorOf(store.put('second', new Uint8Array(1_500_000)));
      expect([error.code, error.kind]).toEqual(['STORE_FULL', 'refused']);
      expect(await namesIn(store)).toEqual(['first']);
      expect(await readdir(join(directory, '.tmp'))).toEqual([]);
      await store.remove('first');
      expect(await store.put('second', new Uint8Array(1_500_000))).toBe('created');
      execFileSync('mount', ['-o', 'remount,ro', directory]);
      expect((await errorOf(store.put('third', new Uint8Array(1)))).code).toBe('STORE_NOT_ALLOWED');
      expect((await errorOf(store.remove('second'))).code).toBe('STORE_NOT_ALLOWED');
      expect(await store.get('second')).toHaveLength(1_500_000);
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});

function mountsWork(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // a container without the right to mount
  }
}

describe('what a crash leaves', () => {
  it('is never listed, and removed a day later', async () => {
    const store = new FileStore(directory, host, undefined);
    await store.put('a/b', new Uint8Array(1));
    const fresh = join(directory, '.tmp', '.c.0123456789ab.tmp');
    const old = join(directory, '.tmp', '.d.0123456789ab.tmp');
    await writeFile(fresh, 'half');
    await writeFile(old, 'half');
    await writeFile(join(directory, 'a', '.hidden'), 'not ours');
    await writeFile(join(directory, 'a', 'not ours either'), 'x');
    const longAgo = new Date(Date.now() - 25 * 3_600_000);
    await utimes(old, longAgo, longAgo);
    expect(await namesIn(store)).toEqual(['a/b']);
    expect((await readdir(join(directory, 'a'))).toSorted()).toEqual(['.hidden', 'b', 'not ours either']);
    // A process that lives on looks again ten minutes later; another one at once.
    expect(await namesIn(new FileStore(directory, host, undefined))).toEqual(['a/b']);
    expect(await readdir(join(directory, '.tmp'))).toEqual(['.c.0123456789ab.tmp']);
  });

  it('is objects of a probe, which a later one removes', async () => {
    const store = new FileStore(directory, host, undefined);
    await store.put('probe/dead/once', new Uint8Array(1));
    await store.put('probe/alive/once', new Uint8Array(1));
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    await utimes(join(directory, 'probe', 'dead', 'once'), longAgo, longAgo);
    await store.probe(signal);
    expect(await namesIn(store)).toEqual(['probe/alive/once']);
  });
});

it('makes a few objects durable one by one, and many by one flush of the file system', async () => {
  const calls: string[] = [];
  const store = new FileStore(
    directory,
    withStreams({
      sync: async (path) => void calls.push(`sync ${path.slice(directory.length)}`),
      syncFileSystem: async (path) => void calls.push(`flush ${path.slice(directory.length)}`),
    }),
    undefined,
  );
  await store.put('wal/one', new Uint8Array(1));
  await store.remove('wal/one');
  await store.put('wal/two', new Uint8Array(1));
  await store.barrier();
  expect(calls.splice(0)).toEqual(['sync /wal/one', 'sync /wal/two', 'sync /wal', 'sync ']);
  for (let i = 0; i < 1_000; i += 1) await store.put(`pieces/${i}`, new Uint8Array(1));
  await store.barrier();
  expect(calls).toEqual(['flush ']);
});

it('removes the folders that an object leaves empty, and never what else is in them', async () => {
  const store = new FileStore(directory, host, undefined);
  await store.put('a/b/c/object', new Uint8Array(1));
  await store.put('a/other', new Uint8Array(1));
  await store.remove('a/b/c/object');
  expect(await readdir(join(directory, 'a'))).toEqual(['other']);
  await store.remove('a');
  expect(await readFile(join(directory, 'a', 'other'))).toHaveLength(1);
});

it('puts and removes side by side without losing an object to a folder that is just removed', async () => {
  const store = new FileStore(directory, host, undefined);
  for (let round = 0; round < 30; round += 1) {
    await store.put('folder/old', new Uint8Array(1));
    const [, answer] = await Promise.all([store.remove('folder/old'), store.put('folder/new', new Uint8Array(1))]);
    expect(answer).toBe('created');
    expect(await namesIn(store)).toEqual(['folder/new']);
    await store.remove('folder/new');
  }
});

it('holds one folder of each level in memory, not all names: the first name of many comes at once', async () => {
  const store = new FileStore(directory, host, undefined);
  for (let i = 0; i < 40; i += 1) await store.put(`p/${i.toString().padStart(2, '0')}/object`, new Uint8Array(1));
  const listed: string[] = [];
  const list = (path: string) => {
    if (!path.endsWith('.tmp')) listed.push(path);
    return host.files.list(path);
  };
  const watching = { ...host, files: { ...host.files, list } };
  for await (const { name } of new FileStore(directory, watching, undefined).list('p/')) {
    expect(name).toBe('p/00/object');
    break;
  }
  expect(listed).toHaveLength(2);
});
