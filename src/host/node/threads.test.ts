import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fail } from '../../base/errors.ts';
import { nodeThreads } from './threads.ts';

const threads = nodeThreads();
const mib = 1024 * 1024;
let into: string;

beforeEach(async () => {
  into = await mkdtemp(join(tmpdir(), 'holdfast-threads-'));
});
afterEach(() => rm(into, { recursive: true, force: true }));

/** A tar file with one file of so many bytes. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000600\0', 100);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('0', 156);
  header.write('        ', 148);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512), Buffer.alloc(1024)]);
}

async function* inPieces(bytes: Buffer, pieceBytes: number, onPiece: (index: number) => void = () => {}): AsyncGenerator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.length; at += pieceBytes, index += 1) {
    onPiece(index);
    yield new Uint8Array(bytes.subarray(at, at + pieceBytes));
  }
}

const unpack = (input: AsyncIterable<Uint8Array>, onProgress: (bytes: number) => void = () => {}) =>
  threads.run({ name: 'unpack', request: { name: 'base.tar', into, compressed: false }, input, onProgress });

describe('a thread', () => {
  it('makes of its input what it would be here, and tells how far it is', async () => {
    const content = Buffer.from(Array.from({ length: 5 * mib + 7 }, (_, index) => (index * 31 + (index >> 9)) & 0xff));
    let told = 0;
    const result = await unpack(inPieces(tarOf('rows', content), mib), (bytes) => {
      told += bytes;
    });
    expect(result).toEqual({ files: 1, bytes: content.length });
    expect(told).toBe(content.length);
    expect(Buffer.compare(await readFile(join(into, 'rows')), content)).toBe(0);
  });

  it('fails as its work does', async () => {
    const cut = tarOf('rows', Buffer.alloc(3 * mib)).subarray(0, 2 * mib);
    await expect(unpack(inPieces(cut, mib))).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
  });

  it('fails as its input does, and has nothing more open', async () => {
    const whole = tarOf('rows', Buffer.alloc(8 * mib));
    const input = inPieces(whole, mib, (index) => {
      if (index === 5) throw fail('STORE_UNREACHABLE', { message: 'the store has gone' });
    });
    await expect(unpack(input)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: 'the store has gone' });
    const open = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
    expect(open.filter((path) => path.startsWith(into))).toEqual([]);
  });

  it('is read for no further than a few pieces ahead', async () => {
    let begun = 0;
    let most = 0;
    let done = 0;
    const content = Buffer.alloc(64 * mib);
    await unpack(
      inPieces(tarOf('rows', content), mib, (index) => {
        begun = index + 1;
        most = Math.max(most, begun - done / mib);
      }),
      (bytes) => {
        done += bytes;
      },
    );
    // Three wait in the thread, progress is told every 4 MiB, and 16 MiB may wait to be written.
    expect(begun).toBeGreaterThan(64);
    expect(most).toBeLessThan(32);
  });

  it('that the program does not have is not started', async () => {
    const request = { name: 'nothing', request: {}, input: inPieces(Buffer.alloc(1), 1), onProgress: () => {} };
    await expect(threads.run(request)).rejects.toMatchObject({ code: 'BUG_BROKEN_BELIEF' });
  });
});
