/** What a database's archive command does: each way of pushing a log file, and each way in which it must fail. No server is needed: a log file says whose it is. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { noise } from '../conformance/repository-backend.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';

const quick = fileURLToPath(new URL('../../src/wal-push.ts', import.meta.url));
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const segmentBytes = 16 * 1024 * 1024;
const ourServer = 7_000_000_000_000_000_001n;

let directory = '';
const at = (...names: string[]) => join(directory, ...names);
const specText = () => `holdfast: v1
name: pushes
regions: { east: { role: active }, west: { role: standby } }
components:
  db:
    driver: postgresql
    replication: asynchronous
    sites:
      east: { url: "postgresql://holdfast@127.0.0.1:1/postgres", password: { env: DB_PASSWORD } }
      west: { url: "postgresql://holdfast@127.0.0.1:2/postgres", password: { env: DB_PASSWORD } }
    backup: [{ what: wal, continuous: true, keep: 7d }]
repositories:
  main: { driver: filesystem, path: "${at('store')}", encryption: { key: { file: "${at('key')}" } } }
`;

const run = (program: string, ...words: string[]) => start(process.execPath, [program, ...words]);

function start(program: string, words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  // The password of the database is not set: pushing a log needs none.
  const env = { PATH: process.env.PATH, HOME: directory, HOLDFAST_SPEC: at('spec.yaml'), HOLDFAST_STATE: at('state') };
  return new Promise((resolve) =>
    execFile(program, [...words], { cwd: at('data'), env, timeout: 60_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    ),
  );
}
const push = (name: string) => run(quick, join('pg_wal', name), '--component', 'db');

/** A segment as PostgreSQL writes it, as far as its first page tells: magic, long header, timeline, place, server, sizes. */
async function writeSegment(number: number, server = ourServer, seed = number): Promise<string> {
  const name = `0000000100000000${number.toString(16).toUpperCase().padStart(8, '0')}`;
  const bytes = Buffer.alloc(segmentBytes);
  bytes.set(noise(100_000, seed), 8_192);
  bytes.writeUInt16LE(0xd110, 0);
  bytes.writeUInt16LE(2, 2);
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(BigInt(number) * BigInt(segmentBytes), 8);
  bytes.writeBigUInt64LE(server, 24);
  bytes.writeUInt32LE(segmentBytes, 32);
  bytes.writeUInt32LE(8_192, 36);
  await writeFile(at('data', 'pg_wal', name), bytes);
  return name;
}

async function remembered(): Promise<{ readonly file: string; readonly content: Record<string, unknown> }> {
  const folder = at('.cache', 'holdfast', 'wal-push');
  const [name] = await readdir(folder);
  const file = join(folder, name as string);
  return { file, content: JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown> };
}

beforeAll(async () => {
  directory = await temporaryDirectory('wal-push');
  await mkdir(at('data', 'pg_wal'), { recursive: true });
  await mkdir(at('data', 'global'));
  const control = Buffer.alloc(512);
  control.writeBigUInt64LE(ourServer, 0);
  await writeFile(at('data', 'global', 'pg_control'), control);
  await writeFile(at('spec.yaml'), specText());
  const made = await run(main, 'repository', 'create', 'main', '--recovery-key-file', at('recovery-key'));
  expect(made, made.err).toMatchObject({ code: 0 });
});
afterAll(() => removeDirectory(directory));

it('goes the long way the first time, and then the quick one for as long as nothing has changed', async () => {
  expect(await push(await writeSegment(1))).toMatchObject({ code: 0, out: expect.stringContaining('is kept in main') });
  const { file, content } = await remembered();
  expect(JSON.stringify(content)).not.toContain((await readFile(at('key'), 'utf8')).trim());
  // Which way it went shows in what it says: only the quick one reads this name.
  await writeFile(file, JSON.stringify({ ...content, repository: 'remembered' }));
  expect(await push(await writeSegment(2))).toMatchObject({ code: 0, out: expect.stringContaining('is kept in remembered') });
  expect(await push('000000010000000000000002')).toMatchObject({
    code: 0,
    out: expect.stringContaining('with the same content in remembered'),
  });
  await writeFile(at('spec.yaml'), `${specText()}# changed\n`);
  expect(await push(await writeSegment(3))).toMatchObject({ code: 0, out: expect.stringContaining('is kept in main') });
  await writeFile(file, JSON.stringify({ ...(await remembered()).content, repository: 'remembered', version: 'another' }));
  expect(await push(await writeSegment(4))).toMatchObject({ code: 0, out: expect.stringContaining('is kept in main') });
});

it('takes the same quick way as holdfast wal-push, and through links to where it is installed', async () => {
  const bin = fileURLToPath(new URL('../../bin/', import.meta.url));
  expect(await push(await writeSegment(8))).toMatchObject({ code: 0 });
  const { file, content } = await remembered();
  await writeFile(file, JSON.stringify({ ...content, repository: 'remembered' }));
  const words = async (number: number) => [join('pg_wal', await writeSegment(number)), '--component', 'db'];
  const quickly = { code: 0, out: expect.stringContaining('is kept in remembered') };
  expect(await start(join(bin, 'holdfast'), ['wal-push', ...(await words(9))])).toMatchObject(quickly);
  await symlink(join(bin, 'holdfast-wal-push'), at('absolute'));
  await symlink('absolute', at('relative'));
  expect(await start(at('relative'), await words(10))).toMatchObject(quickly);
  // What the quick one does not know itself is the whole program's to say.
  expect(await start(join(bin, 'holdfast'), ['wal-push', '--help'])).toMatchObject({ code: 0, out: expect.stringContaining('Usage') });
  const unknown = await start(join(bin, 'holdfast'), ['wal-push', '--no-such-option']);
  expect(unknown.code).toBe(2);
});

it('fails where the archive has other content under the name, and where the file is of another server', async () => {
  const name = await writeSegment(5);
  expect((await push(name)).code).toBe(0);
  await writeSegment(5, ourServer, 99);
  const conflict = await push(name);
  expect(conflict.code).not.toBe(0);
  expect(conflict.err).toContain('ARCHIVE_CONFLICT');
  const foreign = await push(await writeSegment(6, 7_000_000_000_000_000_002n));
  expect(foreign.code).not.toBe(0);
  expect(foreign.err).toContain('SYSTEM_WRONG_IDENTITY');
});

it('fails where the key is gone or the directory is not there, and says so', async () => {
  const name = await writeSegment(7);
  const key = await readFile(at('key'), 'utf8');
  await writeFile(at('key'), '');
  const keyless = await push(name);
  expect(keyless.code).not.toBe(0);
  expect(keyless.err).toMatch(/the file .* is empty/);
  await writeFile(at('key'), key);
  await rename(at('store'), at('elsewhere'));
  const unmounted = await push(name);
  expect(unmounted.code).not.toBe(0);
  expect(unmounted.err).toContain('STORE_MISSING_PLACE');
  await rename(at('elsewhere'), at('store'));
  expect((await push(name)).code).toBe(0);
});
