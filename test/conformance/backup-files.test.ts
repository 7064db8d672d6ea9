/** Backups of directories: taken while others write, restored byte for byte, and found wanting where they are damaged. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, renameSync, rmSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { CheckResult, RecoveryTarget, RestoredCopy, Restorer } from '../../src/contracts/backup.ts';
import type { AnyDriver } from '../../src/contracts/driver.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import { driver as etcdDriver } from '../../src/drivers/etcd/driver.ts';
import { type FilesContext, openBackupSource } from '../../src/drivers/files/backup-source.ts';
import { driver } from '../../src/drivers/files/driver.ts';
import { TarWriter } from '../../src/drivers/files/tar-writer.ts';
import { openHands } from '../../src/hands/open-hands.ts';
import type { FileStreams, Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { compileFailover } from '../../src/plans/compile-failover.ts';
import type { Situation } from '../../src/plans/situation.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import type { Spec } from '../../src/spec/spec.ts';
import { fakeCatalog, fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';
import { env, good } from '../spec/expect-faults.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { backupContext, fingerprintKey, KeptBackup, restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';
import { openDriverSite } from './open-site.ts';

const host = nodeHost({ logTo: 'silent' });
const newest: RecoveryTarget = { kind: 'newest' };
const directories = new TestDirectories();
afterEach(() => directories.removeAll());

function contextOf(
  path: string,
  options: Record<string, unknown> = {},
  parts: { readonly host?: Host; readonly hands?: Hands } = {},
): FilesContext {
  return {
    host: parts.host ?? host,
    platform: 'test',
    component: 'vectors',
    region: 'east',
    options: driver.componentOptions.parse(options),
    site: driver.siteOptions.parse({ path }),
    sites: new Map(),
    replication: 'asynchronous',
    hands: parts.hands,
    probeTimeoutMs: 1_000,
  };
}

const take = (path: string, options: Record<string, unknown> = {}, parts: { readonly host?: Host; readonly hands?: Hands } = {}) =>
  takeBackup(openBackupSource(contextOf(path, options, parts)), host, 'files');

async function openRestorer(options: Record<string, unknown> = {}): Promise<Restorer> {
  const workDirectory = await directories.make('work');
  return driver.backups?.openRestorer(
    restorerContext(host, { component: 'vectors', options: driver.componentOptions.parse(options), workDirectory }),
  ) as Restorer;
}

async function restore(backup: KeptBackup, options: Record<string, unknown> = {}): Promise<RestoredCopy> {
  return await (await openRestorer(options)).restore(backup.reader(), newest, join(await directories.make('restored'), 'new'));
}

async function compare(backup: KeptBackup, restored?: RestoredCopy): Promise<readonly CheckResult[]> {
  const copy = await (restored ?? (await restore(backup))).start();
  try {
    return await copy.compare(backup.facts?.fingerprint ?? { entries: [] }, fingerprintKey);
  } finally {
    await copy.stop();
  }
}

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

async function makeTenants(): Promise<string> {
  const root = await directories.make('files');
  for (const tenant of ['tenant-1', 'tenant-2', 'größe 日本'])
    for (const at of [0, 1, 2]) {
      await mkdir(join(root, tenant, 'deep'), { recursive: true });
      await writeFile(join(root, tenant, 'deep', `file ${at}.bin`), Buffer.alloc(1_000 * at + 1, at), { mode: 0o640 });
    }
  await writeFile(join(root, 'readme'), 'at the top');
  await writeFile(join(root, 'large.bin'), Buffer.alloc(5_000_001, 9));
  await mkdir(join(root, 'empty'));
  await mkdir(join(root, 'read-only'));
  await writeFile(join(root, 'read-only', 'x'), 'x');
  await chmod(join(root, 'read-only'), 0o555);
  await symlink('/etc/passwd', join(root, 'tenant-1', 'leads-out'));
  await symlink('/etc', join(root, 'directory-outside'));
  await symlink('nowhere', join(root, 'dangling'));
  return root;
}

/** Everything below, in words: what two directories must agree on. */
async function describeTree(root: string, below = ''): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(join(root, below))).sort()) {
    const path = join(below, name);
    const facts = await lstat(join(root, path));
    const mode = (facts.mode & 0o7777).toString(8);
    if (facts.isSymbolicLink()) lines.push(`${path} -> ${await readlink(join(root, path))}`);
    else if (facts.isDirectory()) lines.push(`${path}/ ${mode}`, ...(await describeTree(root, path)));
    else lines.push(`${path} ${mode} ${(await readFile(join(root, path))).toString('base64')}`);
  }
  return lines;
}

/** The real streams, with something done to the directory when a file is first read. */
function disturbed(onRead: (path: string, time: number) => void, when: 'before' | 'after first piece' = 'after first piece'): Host {
  const times = new Map<string, number>();
  const fileStreams: FileStreams = {
    ...host.fileStreams,
    read: async function* (path, options) {
      const time = (times.get(path) ?? 0) + 1;
      times.set(path, time);
      if (when === 'before') onRead(path, time);
      let isFirst = true;
      for await (const bytes of host.fileStreams.read(path, options)) {
        yield bytes;
        if (isFirst && when !== 'before') onRead(path, time);
        isFirst = false;
      }
    },
  };
  return { ...host, fileStreams };
}

describe('backups of files', () => {
  it('[S3-41] come back byte for byte, with names, modes and links as they were, and nothing from outside', async () => {
    const root = await makeTenants();
    const backup = await take(root);
    expect([...backup.parts.keys()]).toEqual(['files.tar']);
    expect(backup.parts.get('files.tar')?.includes('root:')).toBe(false);
    const restored = await restore(backup);
    expect(await describeTree(restored.directory)).toEqual(await describeTree(root));
    expect(failed(await restored.checkStopped())).toEqual([]);
    const results = await compare(backup, restored);
    expect(failed(results)).toEqual([]);
    expect(results.map(({ name }) => name.replace(' equals its fingerprint', '')).sort()).toEqual(
      ['.', 'empty', 'größe 日本', 'read-only', 'tenant-1', 'tenant-2'].sort(),
    );
    expect(backup.facts).toMatchObject({ engine: 'files', dataBytes: 5_000_001 + 10 + 1 + 3 * 3_003, more: { files: 12 } });
  });

  it('[S3-39] a byte turned over in a content shows in the comparison, in a header at once, and a cut archive is none', async () => {
    const root = await makeTenants();
    const backup = await take(root);
    const bytes = backup.parts.get('files.tar') as Buffer;
    const inContent = bytes.indexOf(Buffer.alloc(5_000, 9)) + 2_000_000;
    expect(failed(await compare(backup.flipped('files.tar', inContent))).join()).toMatch(/same count and size, and other content/);
    expect((await failureOf(restore(backup.flipped('files.tar', 10)))).code).toBe('BACKUP_DAMAGED');
    for (const end of [100, 4_000_000, bytes.length - 1_024])
      expect((await failureOf(restore(backup.changed('files.tar', (whole) => whole.subarray(0, end))))).code).toBe('BACKUP_DAMAGED');
  });

  it('[S3-41] a tenant that is missing in the copy is named, and so is one too many, a file too few and a mode that changed', async () => {
    const root = await makeTenants();
    const backup = await take(root);
    const restored = await restore(backup);
    rmSync(join(restored.directory, 'tenant-1'), { recursive: true });
    rmSync(join(restored.directory, 'tenant-2', 'deep', 'file 0.bin'));
    await chmod(join(restored.directory, 'readme'), 0o600);
    await mkdir(join(restored.directory, 'tenant-9'));
    const words = failed(await compare(backup, restored)).join('\n');
    expect(words).toMatch(/tenant-1 is missing: 3 files/);
    expect(words).toMatch(/tenant-2 .*3 files of 3003 bytes in the backup, 2 of/);
    expect(words).toMatch(/^\. equals its fingerprint: same count/m);
    expect(words).toMatch(/all other directories .*not in the backup/);
  });

  it('[S3-41] never writes over anything: old files stay, also behind a link in the archive', async () => {
    const root = await makeTenants();
    const backup = await take(root);
    const into = await directories.make('full');
    await writeFile(join(into, 'readme'), 'precious');
    expect((await failureOf((await openRestorer()).restore(backup.reader(), newest, into))).code).toBe('RESTORE_TARGET_NOT_EMPTY');
    expect(await readFile(join(into, 'readme'), 'utf8')).toBe('precious');
    const outside = await directories.make('outside');
    for (const paths of [['link', 'link/evil'], ['../evil'], ['/tmp/evil'], ['missing/evil'], ['a/../../evil']]) {
      const pieces: Uint8Array[] = [];
      const tar = new TarWriter({ write: async (bytes) => void pieces.push(bytes), end: async () => {} });
      for (const path of paths) {
        const kind = path === 'link' ? 'link' : 'file';
        await tar.begin({ path, kind, sizeBytes: 0, mode: 0o600, modifiedMs: 0, ...(kind === 'link' ? { target: outside } : {}) });
        await tar.end();
      }
      await tar.finish();
      const evil = backup.changed('files.tar', () => Buffer.concat(pieces));
      expect((await failureOf(restore(evil))).code).toBe('BACKUP_DAMAGED');
    }
    expect(await readdir(outside)).toEqual([]);
  });

  it.each(['readme', 'large.bin'])(
    '[S3-38] a file that is renamed over while it is read comes as the old or the new whole: %s',
    async (name) => {
      const root = await makeTenants();
      const whole = Buffer.alloc(4_000_003, 5);
      const quiet = disturbed((path, time) => {
        if (!path.endsWith(name) || time > 2) return;
        execFileSync('sh', ['-c', `head -c ${whole.length} /dev/zero | tr '\\000' '\\005' > "$1.tmp" && mv "$1.tmp" "$1"`, 'sh', path]);
      });
      const backup = await take(root, { exclude: ['**/*.tmp'] }, { host: quiet });
      const restored = await restore(backup);
      // Compared element by element, as toEqual does, four million bytes take ten seconds.
      expect((await readFile(join(restored.directory, name))).equals(whole)).toBe(true);
      expect(failed([...(await restored.checkStopped()), ...(await compare(backup, restored))])).toEqual([]);
    },
  );

  it('a file that grows under every reading fails the backup by name; one that goes away is left out', async () => {
    const root = await makeTenants();
    const growing = disturbed((path) => {
      if (path.endsWith('large.bin')) appendFileSync(path, 'more');
    });
    const error = await failureOf(take(root, { 'read-again': 2 }, { host: growing }));
    expect(error.code).toBe('BACKUP_INCOMPLETE');
    expect(error.message).toMatch(/large\.bin changed each of the 3 times/);
    for (const name of ['large.bin', 'readme']) {
      const going = disturbed((path) => {
        if (path.endsWith(name)) rmSync(path, { force: true });
      });
      const backup = await take(root, {}, { host: going });
      const restored = await restore(backup);
      expect((await readdir(restored.directory)).includes(name)).toBe(false);
      expect(failed([...(await restored.checkStopped()), ...(await compare(backup, restored))])).toEqual([]);
    }
  });

  it('takes what include and exclude say, with the directories that lead there', async () => {
    const root = await makeTenants();
    const backup = await take(root, { include: ['**/file 1.bin', 'tenant-2'], exclude: ['größe*', '**/file 2.bin'] });
    const restored = await restore(backup);
    expect((await describeTree(restored.directory)).map((line) => line.split(/(?<=\/|bin) /)[0])).toEqual([
      'tenant-1/',
      'tenant-1/deep/',
      'tenant-1/deep/file 1.bin',
      'tenant-2/',
      'tenant-2/deep/',
      'tenant-2/deep/file 0.bin',
      'tenant-2/deep/file 1.bin',
    ]);
    expect(failed(await compare(backup, restored))).toEqual([]);
  });

  it('runs before and after by hands, after also when the backup fails, and says which one failed', async () => {
    const root = await makeTenants();
    const log = join(await directories.make('hooks'), 'log');
    const hands = openHands({ kind: 'local' }, { host });
    const hook = (word: string): string[] => ['sh', '-c', 'echo "$1" >> "$2"', 'sh', word, log];
    const options = { before: hook('before'), after: hook('after') };
    await take(root, options, { hands });
    expect(await readFile(log, 'utf8')).toBe('before\nafter\n');
    const kept = new KeptBackup();
    const source = openBackupSource(contextOf(root, options, { hands }));
    await expect(source.take('files', kept.sink({ failAfterBytes: 1_000 }), { fingerprintKey }, backupContext(host))).rejects.toThrow(
      'the store is full',
    );
    expect(await readFile(log, 'utf8')).toBe('before\nafter\nbefore\nafter\n');
    expect((await failureOf(take(root, { ...options, before: ['false'] }, { hands }))).code).toBe('COMMAND_FAILED');
    expect((await failureOf(take(root, { ...options, after: ['false'] }, { hands }))).code).toBe('COMMAND_FAILED');
    expect((await failureOf(take(root, options))).code).toBe('HANDS_MISSING');
    await hands.close();
  });

  it('a directory that is not there is an error, not an empty backup; an empty one is backed up and restored', async () => {
    const root = await directories.make('files');
    expect((await failureOf(take(join(root, 'not-mounted')))).code).toBe('NOT_FOUND');
    const backup = await take(root);
    const restored = await restore(backup);
    expect(failed([...(await restored.checkStopped()), ...(await compare(backup, restored))])).toEqual([]);
    expect(await readdir(restored.directory)).toEqual([]);
  });

  it('stops at once when it is told to, and answers questions about its copy', async () => {
    const root = await makeTenants();
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(takeBackup(openBackupSource(contextOf(root)), host, 'files', { signal: controller.signal })).rejects.toThrow('enough');
    const copy = await (await restore(await take(root))).start();
    expect([await copy.ask('size readme'), await copy.ask('size no-such-file')]).toEqual([10, null]);
    expect(await copy.ask('sha256 readme')).toMatch(/^[0-9a-f]{64}$/);
    for (const question of ['size ../../etc/passwd', 'size /etc/passwd', 'rm readme'])
      expect((await failureOf(copy.ask(question))).code).toBe('USAGE');
    const time: RecoveryTarget = { kind: 'time', atMs: 0 };
    expect((await (await openRestorer()).preview((await take(root)).reader(), time)).problems).toHaveLength(1);
  });

  it('1,000,000 small files go through within 256 MB of memory, all of the process', { timeout: 240_000 }, async () => {
    const count = 1_000_000;
    // As bin/holdfast starts the program.
    const flags = /--max-semi-space-size=\d+/.exec(await readFile(join(repositoryDirectory, 'bin/holdfast'), 'utf8')) ?? [''];
    const program = join(repositoryDirectory, 'test/conformance/fixtures/many-files.ts');
    const { stdout } = await runProgram([process.execPath, flags[0], program, String(count)], { timeoutMs: 200_000 });
    const { peakBytes, ...rest } = JSON.parse(stdout) as { peakBytes: number };
    expect(rest).toEqual({ bytes: count * 1_024 + 1_024, files: count, entries: 5_001, counted: count });
    expect(peakBytes).toBeLessThan(256 * 1_048_576);
  });

  it('is up when its directory can be read, down when there is none, and unknown when it hangs', async () => {
    const root = await makeTenants();
    const look = (path: string, on = host) =>
      openDriverSite(driver, { host: on, options: {}, site: { path }, probeTimeoutMs: 200 }).observe(new AbortController().signal);
    expect(await look(root)).toMatchObject({ health: 'up', evidence: { kind: 'answered' }, facts: { entriesAtTop: 9 } });
    expect(await look(`${root}/readme`)).toMatchObject({ health: 'down', evidence: { kind: 'wrong-answer' } });
    expect(await look(`${root}/none`)).toMatchObject({ health: 'down' });
    const hangs = { ...host, fileStreams: { ...host.fileStreams, stat: () => new Promise<undefined>(() => {}) } };
    expect(await look(root, hangs)).toMatchObject({ health: 'unknown', evidence: { kind: 'timeout' } });
  });
});

describe('files and etcd in a failover', () => {
  it('a component of files in one region only, or in both, leaves the plan as it is', async () => {
    const catalog = new Map<string, AnyDriver>([...fakeCatalog, ['files', driver], ['etcd', etcdDriver]]);
    const loadText = (more: string) =>
      loadSpec(['orders.yaml'], {
        catalog,
        repositories: fakeRepositories,
        host: fakeHost({ env, files: { 'orders.yaml': `${good}${more}` } }),
      });
    const planOf = (spec: Spec) => {
      const situation: Situation = {
        nowMs: 0,
        activeRegion: 'us-east-1',
        epoch: 1,
        observation: () => undefined,
        lastUp: () => undefined,
        can: (component, region, verb) => {
          const found = spec.components.get(component);
          if (found?.sites.has(region) !== true) return false;
          // The store of the test names no verbs: it can do all that data stores do.
          return found.kind === 'data' || catalog.get(found.driver)?.verbs.some((each) => each.verb === verb) === true;
        },
        canBringBack: () => false,
        timing: () => ({ ms: 100, from: 'guess' }),
        estimatedLossMs: () => 0,
      };
      const request = { from: 'us-east-1', to: 'us-west-2', onVerdict: false, budgetMs: 0, approvals: 0, because: 'test' };
      return compileFailover(spec, situation, request);
    };
    const without = planOf(await loadText(''));
    const components = `  vectors:
    driver: files
    profile: faiss
    backup: [{ what: files, every: hourly }]
    sites: { us-east-1: { path: /srv/vectors } }
  uploads:
    driver: files
    backup: [{ what: files, every: hourly }]
    sites: { us-east-1: { path: /srv/uploads }, us-west-2: { path: /srv/uploads } }
  cluster:
    driver: etcd
    backup: [{ what: snapshot, every: hourly }]
    sites: { us-east-1: { endpoints: ["http://10.0.1.5:2379"] } }
repositories:
  main: { driver: filesystem, path: /srv/backups }
`;
    const spec = await loadText(components);
    expect([...spec.components.values()].map(({ name, vital }) => [name, vital])).toEqual([
      ['orders-db', true],
      ['vectors', false],
      ['uploads', false],
      ['cluster', false],
    ]);
    const plan = planOf(spec);
    expect(plan.steps.map(({ id }) => id)).toEqual(without.steps.map(({ id }) => id));
    expect(plan.mayLose).toBe(without.mayLose);
    await expect(loadText(components.replace('what: snapshot', 'what: files'))).rejects.toThrow();
  });
});

describeSystem('faiss', 'backups of FAISS indices', () => {
  const write = `
import sys, faiss, numpy
root, tenant, kind, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
vectors = numpy.random.default_rng(count).random((count, 16), dtype="float32")
index = faiss.index_factory(16, kind)
index.train(vectors)
index.add(vectors) if "IDMap" not in kind else index.add_with_ids(vectors, numpy.arange(count) + 1000)
faiss.write_index(index, f"{root}/{tenant}/main.faiss")
`;
  const kinds = [
    ['tenant-1', 'Flat', 500, 'IxF2 (flat, L2)'],
    ['tenant-2', 'IVF4,Flat', 600, 'IwFl (IVF flat)'],
    ['tenant-3', 'HNSW8', 300, 'IHNf (HNSW flat)'],
    ['tenant-4', 'IDMap,Flat', 200, 'IxMp (id map)'],
  ] as const;

  async function makeIndices(): Promise<string> {
    const root = await directories.make('faiss');
    for (const [tenant, kind, count] of kinds) {
      await mkdir(join(root, tenant));
      execFileSync('/usr/bin/python3', ['-I', '-c', write, root, tenant, kind, String(count)], { stdio: 'ignore' });
    }
    await mkdir(join(root, 'tenant-5'));
    await writeFile(join(root, 'tenant-5', 'main.index'), Buffer.alloc(100, 'z'));
    return root;
  }

  it('[S3-42] vectors and dimension are read from each head, and FAISS gives the same ids from the copy', {
    timeout: 120_000,
  }, async () => {
    const root = await makeIndices();
    const backup = await take(root, { profile: 'faiss' });
    const notes = backup.facts?.more?.faiss as readonly Record<string, unknown>[];
    expect(notes.map(({ path, kind, ntotal, dimension }) => [path, kind, ntotal, dimension])).toEqual([
      ...kinds.map(([tenant, , count, kind]) => [`${tenant}/main.faiss`, kind, count, 16]),
      ['tenant-5/main.index', undefined, undefined, undefined],
    ]);
    expect(notes.slice(0, 4).every(({ ids }) => Array.isArray(ids) && ids.length === 3)).toBe(true);
    expect(notes[4]?.unknown).toMatch(/kind "zzzz" is not known/);
    expect(backup.facts?.fingerprint?.limits?.join('\n')).toMatch(/FAISS can not read tenant-5\/main.index/);
    const restored = await restore(backup);
    const results = await restored.checkStopped();
    expect(failed(results)).toEqual([]);
    expect(results.filter(({ name }) => name.startsWith('FAISS answers')).map(({ detail }) => detail)).toEqual(
      kinds.map(([, , count]) => `${count} vectors of 16 dimensions; the sample query gives the same ids`),
    );
    const copy = await restored.start();
    expect([await copy.ask('ntotal tenant-2/main.faiss'), await copy.ask('dimension tenant-2/main.faiss')]).toEqual([600, 16]);
  });

  it('[S3-42] an index that is another one, cut, or damaged in its head is caught', { timeout: 120_000 }, async () => {
    const root = await makeIndices();
    const backup = await take(root, { profile: 'faiss' });
    const restored = await restore(backup);
    execFileSync('/usr/bin/python3', ['-I', '-c', write, restored.directory, 'tenant-1', 'Flat', '499'], { stdio: 'ignore' });
    const second = join(restored.directory, 'tenant-2', 'main.faiss');
    await writeFile(second, (await readFile(second)).subarray(0, 2_000));
    renameSync(join(restored.directory, 'tenant-3', 'main.faiss'), join(restored.directory, 'tenant-3', 'old.faiss'));
    const fourth = join(restored.directory, 'tenant-4', 'main.faiss');
    const bytes = await readFile(fourth);
    bytes[16] = 7;
    await writeFile(fourth, bytes);
    const words = failed(await restored.checkStopped()).join('\n');
    expect(words).toMatch(/tenant-1\/main.faiss has the head that it had: .*499 vectors.*it was .*500 vectors/);
    expect(words).toMatch(/FAISS answers from tenant-1\/main.faiss/);
    expect(words).toMatch(/FAISS answers from tenant-2\/main.faiss/);
    expect(words).toMatch(/tenant-3\/main.faiss has the head that it had: the file is missing/);
    expect(words).toMatch(/tenant-4\/main.faiss has the head that it had: not understood/);
  });
});
