import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import type { TarEntry } from './tar-entry.ts';
import { encodeHeader } from './tar-entry.ts';
import { readTar } from './tar-reader.ts';
import { TarWriter } from './tar-writer.ts';

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hf-tar-'));
  made.push(directory);
  return directory;
}

interface Item {
  readonly entry: TarEntry;
  readonly content: Buffer;
}

const fileOf = (path: string, content: Buffer, mode = 0o640): Item => ({
  entry: { path, kind: 'file', sizeBytes: content.length, mode, modifiedMs: 1_700_000_000_000 },
  content,
});

async function pack(items: readonly Item[]): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const tar = new TarWriter({ write: async (bytes) => void pieces.push(bytes), end: async () => {} });
  for (const { entry, content } of items) {
    await tar.begin(entry);
    await tar.content(content);
    await tar.end();
  }
  await tar.finish();
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

async function unpack(bytes: Buffer, pieceBytes = 1_000): Promise<Item[]> {
  const items: Item[] = [];
  for await (const { entry, content } of readTar(inPieces(bytes, pieceBytes))) {
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece);
    items.push({ entry, content: Buffer.concat(pieces) });
  }
  return items;
}

const name = fc
  .string({ unit: fc.constantFrom('a', 'Z', ' ', 'ü', '日', '-', '\\', '\n', '\u0001', '=', '.x'), minLength: 1, maxLength: 60 })
  .map((text) => `n${text}`);

test('what goes in comes out, whatever the names, sizes and pieces', async () => {
  const item = fc
    .record({
      path: fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => names.join('/')),
      content: fc.uint8Array({ maxLength: 1_600 }),
      mode: fc.nat(0o7777),
    })
    .map(({ path, content, mode }) => fileOf(path, Buffer.from(content), mode));
  await fc.assert(
    fc.asyncProperty(fc.array(item, { maxLength: 6 }), fc.integer({ min: 1, max: 3_000 }), async (items, pieceBytes) => {
      expect(await unpack(await pack(items), pieceBytes)).toEqual(items);
    }),
    { numRuns: 60 },
  );
});

test('any cut and any damaged header is an error, never a shorter archive', async () => {
  const bytes = await pack([fileOf('a', Buffer.alloc(700, 1)), fileOf('b', Buffer.alloc(10, 2))]);
  for (let end = 0; end < bytes.length - 512; end += 97)
    await expect(unpack(bytes.subarray(0, end))).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  for (const at of [0, 100, 130, 156, 257, 512 + 1_024]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 1;
    await expect(unpack(damaged)).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  }
});

test('the system tar reads it: long names, other alphabets, links, modes', async () => {
  const long = `${'directory/'.repeat(15)}file with blanks.txt`;
  const directories = long
    .split('/')
    .slice(0, -1)
    .map(
      (_, at, all): Item => ({
        entry: { path: all.slice(0, at + 1).join('/'), kind: 'directory', sizeBytes: 0, mode: 0o755, modifiedMs: 0 },
        content: Buffer.alloc(0),
      }),
    );
  const link: Item = {
    entry: { path: 'link', kind: 'link', sizeBytes: 0, mode: 0o777, modifiedMs: 0, target: 'größe.txt' },
    content: Buffer.alloc(0),
  };
  const bytes = await pack([...directories, fileOf(long, Buffer.from('deep')), fileOf('größe.txt', Buffer.alloc(100_000, 7), 0o600), link]);
  const directory = temporary();
  execFileSync('tar', ['-xf', '-', '-C', directory], { input: bytes, env: { LC_ALL: 'C.UTF-8', PATH: process.env.PATH } });
  expect(readFileSync(join(directory, long), 'utf8')).toBe('deep');
  expect(readFileSync(join(directory, 'größe.txt'))).toEqual(Buffer.alloc(100_000, 7));
  expect(statSync(join(directory, 'größe.txt')).mode & 0o777).toBe(0o600);
  expect(readlinkSync(join(directory, 'link'))).toBe('größe.txt');
});

test('of a path that comes twice the system tar keeps the last one, and it does not stumble over a discarded one', async () => {
  const gone: Item = {
    entry: { path: 'gone', kind: 'file', sizeBytes: 0, mode: 0o600, modifiedMs: 0, discards: true },
    content: Buffer.alloc(0),
  };
  const bytes = await pack([
    fileOf('twice', Buffer.alloc(3_000, 1)),
    fileOf('twice', Buffer.alloc(2_000, 2)),
    fileOf('gone', Buffer.alloc(900, 3)),
    gone,
  ]);
  const directory = temporary();
  execFileSync('tar', ['-xf', '-', '-C', directory], { input: bytes, stdio: ['pipe', 'ignore', 'ignore'] });
  expect(readFileSync(join(directory, 'twice'))).toEqual(Buffer.alloc(2_000, 2));
  expect(readFileSync(join(directory, 'gone')).length).toBe(0);
});

test('it reads what the system tar writes', async () => {
  const directory = temporary();
  const long = join('d'.repeat(120), `${'n'.repeat(110)}.bin`);
  mkdirSync(dirname(join(directory, long)), { recursive: true });
  writeFileSync(join(directory, long), 'content');
  symlinkSync('t'.repeat(150), join(directory, 'link'));
  const bytes = execFileSync('tar', ['-cf', '-', '--format=pax', '-C', directory, 'd'.repeat(120), 'link']);
  const items = await unpack(bytes);
  expect(items.map(({ entry }) => entry.path)).toEqual(['d'.repeat(120), long, 'link']);
  expect(String(items[1]?.content)).toBe('content');
  expect(items[2]?.entry.target).toBe('t'.repeat(150));
});

test('a size beyond what the header holds goes into an extended record', () => {
  const sizeBytes = 9 * 2 ** 30;
  const header = encodeHeader({ path: 'huge', kind: 'file', sizeBytes, mode: 0o600, modifiedMs: 0 });
  expect(header.length).toBe(3 * 512);
  expect(header.toString('latin1')).toContain(`19 size=${sizeBytes}\n`);
});

test('content that is too long is cut and too short is filled, so that what follows stays in its place', async () => {
  const pieces: Uint8Array[] = [];
  const tar = new TarWriter({ write: async (bytes) => void pieces.push(bytes), end: async () => {} });
  for (const length of [3, 2_000]) {
    await tar.begin({ path: `f${length}`, kind: 'file', sizeBytes: 1_000, mode: 0, modifiedMs: 0 });
    await tar.content(Buffer.alloc(length, 1));
    await tar.end();
  }
  await tar.finish();
  const [short, long] = await unpack(Buffer.concat(pieces));
  expect(short?.content).toEqual(Buffer.concat([Buffer.alloc(3, 1), Buffer.alloc(997)]));
  expect(long?.content).toEqual(Buffer.alloc(1_000, 1));
});
