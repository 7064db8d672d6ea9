/**
 * How many megabytes a second the repository takes and gives back: cutting, digests, compression, sealing, and the checks on the way back. The store costs nothing (objects are kept
 * in memory), so this is the repository's own share of a backup. Processor time counts where others use the machine too.
 *
 *   node bench/repository.ts [--mb N] [--rounds N] [--json]
 */
import { createCipheriv } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createRepository } from '../src/backups/create-repository.ts';
import type { BackendCapabilities, RepositoryBackend } from '../src/contracts/repository-backend.ts';
import { nodeHost } from '../src/host/node/node-host.ts';

const { values } = parseArgs({
  options: { mb: { type: 'string', default: '1024' }, rounds: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } },
});
const totalBytes = Number(values.mb) * 1e6;
const rounds = Number(values.rounds);
const host = nodeHost({ logTo: 'silent' });

/** Keeps small objects, and pieces where they are to be read back. */
function memoryStore(keepsPieces: boolean): RepositoryBackend {
  const objects = new Map<string, Uint8Array>();
  const capabilities: BackendCapabilities = {
    putIfAbsent: true,
    readAfterWrite: true,
    checksums: true,
    lock: false,
    clockSkewMs: 0,
    notes: [],
  };
  const facts = (name: string, content: Uint8Array) => ({ name, sizeBytes: content.length, modifiedMs: 0 });
  return {
    name: 'memory',
    put: async (name, content) => {
      if (objects.has(name)) return 'exists';
      if (keepsPieces || !name.includes('/pieces/')) objects.set(name, new Uint8Array(content));
      return 'created';
    },
    get: async (name) => objects.get(name) as Uint8Array,
    head: async (name) => {
      const content = objects.get(name);
      return content === undefined ? undefined : facts(name, content);
    },
    async *list(prefix) {
      for (const name of [...objects.keys()].filter((each) => each.startsWith(prefix)).sort())
        yield facts(name, objects.get(name) as Uint8Array);
    },
    remove: async (name) => void objects.delete(name),
    barrier: async () => undefined,
    probe: async () => capabilities,
    close: async () => undefined,
  };
}

/** In chunks as a socket or a file gives them. No two pieces are the same. */
function* source(kind: 'random' | 'text'): Generator<Uint8Array> {
  const chunkBytes = 64 * 1024;
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16, 2));
  const zeros = Buffer.alloc(chunkBytes);
  let row = 0;
  for (let sent = 0; sent < totalBytes; sent += chunkBytes) {
    if (kind === 'random') yield cipher.update(zeros);
    else {
      const lines: string[] = [];
      for (let length = 0; length < chunkBytes; row += 1) {
        const line = `${row}\t${(row * 2_654_435_761) % 100_000}\tcustomer number ${row % 977}\t2026-11-20 10:00:00\n`;
        lines.push(line);
        length += line.length;
      }
      yield Buffer.from(lines.join(''));
    }
  }
}

interface Case {
  readonly encrypted: boolean;
  readonly kind: 'random' | 'text';
  /** The driver says that it has compressed the bytes. */
  readonly compressed: boolean;
}

async function openBackup(keepsPieces: boolean, { encrypted }: Case) {
  const repository = await createRepository({
    backend: memoryStore(keepsPieces),
    host,
    platform: 'bench',
    confirmRecoveryKey: async (key) => key,
    ...(encrypted ? { encryption: {} } : {}),
  });
  return repository;
}

async function write(keepsPieces: boolean, each: Case) {
  const repository = await openBackup(keepsPieces, each);
  // Made beforehand, a few pieces' worth again and again: the source's own cost is not what is measured.
  const chunks = [...source(each.kind)];
  const started = performance.now();
  const cpuBefore = process.cpuUsage();
  const writing = await repository.beginBackup({ component: 'db', backupId: 'b', what: 'base', signal: new AbortController().signal });
  const part = writing.sink.openPart('base.tar', { compressed: each.compressed });
  for (const chunk of chunks) await part.write(chunk);
  await part.end();
  const facts = { engine: 'bench', engineVersion: '1', identity: 'x', consistentAtMs: 0, dataBytes: totalBytes };
  const record = await writing.commit(facts);
  const tookMs = performance.now() - started;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    repository,
    tookMs,
    storedBytes: record.storedBytes,
    cpuMs: (cpu.user + cpu.system) / 1_000,
  };
}

async function read(each: Case): Promise<number> {
  const { repository } = await write(true, each);
  const reader = await repository.openBackup('db', 'b');
  const started = performance.now();
  let bytes = 0;
  for await (const chunk of reader.readPart('base.tar')) bytes += chunk.length;
  if (bytes < totalBytes) throw new Error('the backup came back too short');
  return performance.now() - started;
}

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
const mbPerSecond = (tookMs: number) => Math.round(totalBytes / 1e3 / tookMs);

async function main(): Promise<void> {
  const results: Record<string, object> = {};
  const cases: Case[] = [
    { encrypted: false, kind: 'random', compressed: true },
    { encrypted: true, kind: 'random', compressed: true },
    { encrypted: true, kind: 'random', compressed: false },
    { encrypted: true, kind: 'text', compressed: false },
  ];
  for (const each of cases) {
    const name = `${each.encrypted ? 'encrypted' : 'plain'}, ${each.kind}${each.compressed ? ', compressed by the driver' : ''}`;
    const writes: Awaited<ReturnType<typeof write>>[] = [];
    const reads: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      writes.push(await write(false, each));
      reads.push(await read(each));
    }
    const line = {
      writeMbPerSecond: mbPerSecond(median(writes.map(({ tookMs }) => tookMs))),
      readMbPerSecond: mbPerSecond(median(reads)),
      writeCpuMsPerMb: Number((median(writes.map(({ cpuMs }) => cpuMs)) / (totalBytes / 1e6)).toFixed(2)),
      storedShare: Number(((writes[0]?.storedBytes ?? 0) / totalBytes).toFixed(3)),
    };
    results[name] = line;
    if (!values.json) process.stdout.write(`${name}: ${JSON.stringify(line)}\n`);
  }
  process.stdout.write(`${JSON.stringify(results)}\n`);
}

await main();
