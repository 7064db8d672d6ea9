import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fail } from '../../../base/errors.ts';
import { nodeHost } from '../../../host/node/node-host.ts';
import { decompress } from './decompress.ts';
import { unpackTar } from './unpack-tar.ts';

const host = nodeHost({ logTo: 'silent' });
let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-tar-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function* pieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function makeTar(): Buffer {
  const from = join(directory, 'from');
  mkdirSync(join(from, 'base/1'), { recursive: true });
  writeFileSync(join(from, 'base/1/100'), randomBytes(3_000_000), { mode: 0o600 });
  writeFileSync(join(from, 'base/1/200'), Buffer.alloc(0), { mode: 0o640 });
  writeFileSync(join(from, 'PG_VERSION'), '15\n', { mode: 0o600 });
  symlinkSync('/somewhere/else', join(from, 'link'));
  return execFileSync('tar', ['--format=ustar', '-C', from, '-cf', '-', '.'], { maxBuffer: 64 * 1024 * 1024 });
}

const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const into = () => {
  const target = join(directory, 'into');
  mkdirSync(target);
  return target;
};

for (const size of [511, 4_096, 1_000_003]) {
  test(`files, modes and links come back as they were, from pieces of ${size} bytes`, async () => {
    const tar = makeTar();
    const target = into();
    let told = 0;
    const unpacked = await unpackTar(host, pieces(tar, size), target, (bytes) => {
      told += bytes;
    });
    expect(unpacked).toEqual({ files: 3, bytes: 3_000_003 });
    expect(told).toBe(3_000_003);
    expect(digest(join(target, 'base/1/100'))).toBe(digest(join(directory, 'from/base/1/100')));
    expect(statSync(join(target, 'base/1/200')).size).toBe(0);
    expect(statSync(join(target, 'base/1/200')).mode & 0o777).toBe(0o640);
    expect(readdirSync(target).sort()).toEqual(['PG_VERSION', 'base', 'link']);
  });
}

test('cut short anywhere is an error, never a short file', async () => {
  const tar = makeTar();
  for (const length of [100, 512 * 3 + 7, 1_500_000, tar.length - 10_240]) {
    const target = into();
    await expect(unpackTar(host, pieces(tar.subarray(0, length), 65_536), target, () => {})).rejects.toMatchObject({
      code: 'BACKUP_DAMAGED',
    });
    rmSync(target, { recursive: true });
  }
});

test('a name that leads out of the directory, and a header that was changed, are refused', async () => {
  mkdirSync(join(directory, 'outside'));
  writeFileSync(join(directory, 'outside/x'), 'x');
  const tar = execFileSync('tar', [
    '--format=ustar',
    '-P',
    '-C',
    join(directory, 'outside'),
    '--transform=s,x,../escaped,',
    '-cf',
    '-',
    'x',
  ]);
  const target = into();
  await expect(unpackTar(host, pieces(tar, 4_096), target, () => {})).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  expect(readdirSync(directory).sort()).toEqual(['into', 'outside']);
  const changed = Buffer.from(makeTar());
  changed[10] = (changed[10] as number) ^ 1;
  await expect(unpackTar(host, pieces(changed, 4_096), target, () => {})).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
});

test('a file that is there already is never touched', async () => {
  const target = into();
  writeFileSync(join(target, 'PG_VERSION'), 'mine');
  await expect(unpackTar(host, pieces(makeTar(), 4_096), target, () => {})).rejects.toThrow(/PG_VERSION/);
  expect(readFileSync(join(target, 'PG_VERSION'), 'utf8')).toBe('mine');
});

test('an error of the source arrives as it is; bytes that are no zstd, or end early, are BACKUP_DAMAGED', async () => {
  const compressed = zstdCompressSync(makeTar());
  const target = into();
  async function* failing(): AsyncIterable<Uint8Array> {
    yield compressed.subarray(0, 10_000);
    throw fail('STORE_UNREACHABLE');
  }
  await expect(unpackTar(host, decompress('base', failing()), target, () => {})).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  const collect = async (content: AsyncIterable<Uint8Array>) => {
    for await (const _ of content);
  };
  await expect(collect(decompress('base', pieces(randomBytes(5_000), 100)))).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  await expect(collect(decompress('base', pieces(compressed.subarray(0, compressed.length - 50), 4_096)))).rejects.toMatchObject({
    code: 'BACKUP_DAMAGED',
  });
});
