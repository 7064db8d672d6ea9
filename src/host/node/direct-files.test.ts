import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeFileStreams } from './file-streams.ts';

const streams = nodeFileStreams();
let directory = '';
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-direct-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** No two blocks alike. */
function fill(memory: Uint8Array): Uint8Array {
  for (let index = 0; index < memory.length; index += 1) memory[index] = (index * 7 + (index >> 12)) & 0xff;
  return memory;
}

const directFlag = 0o40000;
/** The flags of each opening of a file that this process has at the moment. */
function openings(path: string): readonly number[] {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      if (readlinkSync(`/proc/self/fd/${number}`) !== path) return [];
      return [Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1] ?? '0', 8)];
    } catch {
      // Closed since the directory was read: that of the reading itself.
      return [];
    }
  });
}
const isDirect = (path: string) => openings(path).some((flags) => (flags & directFlag) !== 0);

for (const bytes of [0, 4_096, 300_000, 1_048_576, 1_048_593])
  it(`${bytes} bytes come back as they were, from and into either kind of memory`, async () => {
    const [direct, ordinary] = [fill(streams.directMemory(bytes)), fill(new Uint8Array(bytes))];
    await streams.createOnce(at(`direct-${bytes}`), direct);
    await streams.createOnce(at(`ordinary-${bytes}`), ordinary);
    for (const name of ['direct', 'ordinary']) {
      expect(Buffer.compare(await readFile(at(`${name}-${bytes}`)), ordinary)).toBe(0);
      for (const memory of [streams.directMemory(bytes + 8_192), new Uint8Array(bytes + 8_192)]) {
        expect(await streams.readInto(at(`${name}-${bytes}`), memory)).toBe(bytes);
        expect(Buffer.compare(memory.subarray(0, bytes), ordinary)).toBe(0);
      }
    }
  });

it('writes places in any order and side by side', async () => {
  const memory = fill(streams.directMemory(5 * 262_144));
  const writer = await streams.openWriter(at('places'));
  const places = [3, 0, 4, 2, 1].map((index) => index * 262_144);
  await Promise.all(places.map((place) => writer.writeAt(memory.subarray(place, place + 262_144), place)));
  await writer.writeAt(memory.subarray(0, 100), 5 * 262_144);
  await writer.close();
  expect(Buffer.compare(await readFile(at('places')), Buffer.concat([memory, memory.subarray(0, 100)]))).toBe(0);
});

it('goes past the cache with memory and places at whole blocks, and the ordinary way with any other', async () => {
  const memory = fill(streams.directMemory(524_288));
  const cases = [
    { name: 'whole', bytes: memory.subarray(0, 262_144), place: 0, direct: true },
    { name: 'with-an-end', bytes: memory.subarray(4_096, 4_096 + 262_150), place: 4_096, direct: true },
    { name: 'memory-aside', bytes: memory.subarray(512, 512 + 262_144), place: 0, direct: false },
    { name: 'place-aside', bytes: memory.subarray(0, 262_144), place: 100, direct: false },
    { name: 'ordinary-memory', bytes: new Uint8Array(262_144).fill(1), place: 0, direct: false },
  ];
  for (const { name, bytes, place, direct } of cases) {
    const writer = await streams.openWriter(at(name));
    await writer.writeAt(bytes, place);
    expect([name, isDirect(at(name))]).toEqual([name, direct]);
    await writer.close();
    expect(Buffer.compare((await readFile(at(name))).subarray(place), bytes)).toBe(0);
  }
});

it('reads as far as the memory goes', async () => {
  await streams.createOnce(at('long'), fill(new Uint8Array(500_000)));
  const memory = streams.directMemory(262_144);
  expect(await streams.readInto(at('long'), memory)).toBe(262_144);
  expect(Buffer.compare(memory, (await readFile(at('long'))).subarray(0, 262_144))).toBe(0);
  await expect(streams.readInto(at('nothing'), memory)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
