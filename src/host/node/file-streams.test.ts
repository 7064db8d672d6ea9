import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FileFacts } from '../host.ts';
import { nodeFileStreams } from './file-streams.ts';
import { nodeProcesses } from './processes.ts';

const streams = nodeFileStreams();
let directory = '';
const at = (name: string) => join(directory, name);
const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = async (parts: AsyncIterable<Uint8Array>): Promise<string> => {
  const pieces: Uint8Array[] = [];
  for await (const piece of parts) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-streams-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

it('creates a file once, whole, and never over another one, also when two try at the same moment', async () => {
  const answers = await Promise.all(['one', 'two', 'three'].map((text) => streams.createOnce(at('deep/down/object'), bytes(text))));
  expect(answers.filter((answer) => answer === 'created')).toHaveLength(1);
  expect(answers.filter((answer) => answer === 'exists')).toHaveLength(2);
  const winner = ['one', 'two', 'three'][answers.indexOf('created')];
  expect(await textOf(streams.read(at('deep/down/object')))).toBe(winner);
  const left: FileFacts[] = [];
  for await (const facts of streams.walk(at('deep'))) left.push(facts);
  expect(left.map((each) => each.path)).toEqual(['down', 'down/object']);
  await streams.syncFileSystem(directory);
});

it('reads ranges in pieces', async () => {
  const writer = await streams.openWriter(at('digits'));
  await writer.write(bytes('01234'));
  await writer.write(bytes('56789'));
  await writer.sync();
  await writer.close();
  expect(await textOf(streams.read(at('digits'), { from: 2, to: 7, chunkBytes: 2 }))).toBe('23456');
  expect(await textOf(streams.read(at('digits'), { from: 8, to: 99 }))).toBe('89');
  await expect(streams.openWriter(at('digits'))).rejects.toMatchObject({ code: 'FILE_EXISTS' });
});

it('tells files, directories and links apart, and a file from the one that was renamed over it', async () => {
  await streams.createOnce(at('old'), bytes('old'));
  await streams.createOnce(at('new'), bytes('new!'));
  await symlink('old', at('link'));
  const before = await streams.stat(at('old'));
  await streams.rename(at('new'), at('old'));
  const after = await streams.stat(at('old'));
  expect(before?.kind).toBe('file');
  expect(after?.sizeBytes).toBe(4);
  expect(after?.identity).not.toBe(before?.identity);
  expect((await streams.stat(at('link')))?.kind).toBe('link');
  expect(await streams.readLink(at('link'))).toBe('old');
  expect(await streams.stat(at('nothing'))).toBeUndefined();
  expect(await streams.freeBytes(directory)).toBeGreaterThan(0);
});

it('removes a directory only where nothing is in it', async () => {
  await streams.createOnce(at('kept/file'), bytes('x'));
  expect(await streams.removeEmptyDirectory(at('kept'))).toBe(false);
  await rm(at('kept/file'));
  expect(await streams.removeEmptyDirectory(at('kept'))).toBe(true);
  expect(await streams.removeEmptyDirectory(at('kept'))).toBe(false);
});

it('talks to a program while it runs, and says how it ended', async () => {
  const start = nodeProcesses().start;
  if (!start) throw new Error('this host starts programs');
  const program = await start({ program: 'sh', args: ['-c', 'cat; echo oops >&2; exit 3'], timeoutMs: 20_000, withInput: true });
  await program.write(bytes('hello'));
  program.endInput();
  expect(await textOf(program.stdout)).toBe('hello');
  expect(await program.ended).toEqual({ exitCode: 3, stderr: 'oops\n' });
});

it('ends a program that was given up, and one that does not exist is an error', async () => {
  const start = nodeProcesses().start;
  if (!start) throw new Error('this host starts programs');
  const giving = new AbortController();
  const sleeper = await start({ program: 'sleep', args: ['600'], timeoutMs: 600_000, signal: giving.signal });
  giving.abort(new Error('enough'));
  await expect(sleeper.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
  await expect(start({ program: 'no-such-program', args: [], timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'HANDS_NO_PROGRAM' });
});
