/**
 * The archive that a snapshot of Vault is: a gzipped tar of `meta.json`, `state.bin`, `SHA256SUMS` and `SHA256SUMS.sealed`, checked while it streams by.
 *
 * Invariant: the bytes are handed on as they came, and the stream ends well only where the archive is whole: Vault answers 200 to a snapshot that broke off on its side, and the file
 * looks right until somebody needs it (https://github.com/hashicorp/vault/issues/12168).
 */
import { createHash, type Hash } from 'node:crypto';
import { createGunzip, type Gunzip } from 'node:zlib';
import { fail, HoldfastError } from '../../base/errors.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';
import { type Member, TarMembers } from './tar-members.ts';

export interface SnapshotMeta {
  readonly id: string;
  readonly index: string;
  readonly term: string;
  readonly sizeBytes: number;
}

const hashed: ReadonlySet<string> = new Set(['meta.json', 'state.bin']);
const expected = ['meta.json', 'state.bin', 'SHA256SUMS', 'SHA256SUMS.sealed'];
const textMaxBytes = 1_048_576;

/** Passes the bytes on; throws at the end, or as soon as it is seen, where they are no whole snapshot. */
export async function* checkedSnapshot(
  bytes: AsyncIterable<Uint8Array>,
  onWhole: (meta: SnapshotMeta) => void = () => {},
): AsyncIterable<Uint8Array> {
  const check = new SnapshotCheck();
  try {
    for await (const piece of bytes) {
      await check.add(piece);
      yield piece;
    }
    onWhole(await check.finish());
  } finally {
    check.close();
  }
}

class SnapshotCheck {
  readonly #gunzip: Gunzip = createGunzip();
  readonly #tar = new TarMembers((member) => this.#begin(member));
  readonly #sums = new Map<string, Hash>();
  readonly #sizes = new Map<string, number>();
  readonly #texts = new Map<string, string>();
  readonly #ended: Promise<void>;
  #fault: HoldfastError | undefined;

  constructor() {
    this.#gunzip.on('data', (piece: Buffer) => {
      if (this.#fault === undefined) this.#guard(() => this.#tar.add(piece));
    });
    this.#ended = new Promise((resolve) => {
      this.#gunzip.once('end', resolve);
      this.#gunzip.once('error', (error) => {
        this.#fault ??= notWhole(`it can not be unpacked: ${error.message}`);
        resolve();
      });
    });
  }

  async add(piece: Uint8Array): Promise<void> {
    if (this.#fault === undefined) {
      const isTaken = new Promise<void>((resolve) => this.#gunzip.write(piece, () => resolve()));
      await Promise.race([isTaken, this.#ended]);
    }
    if (this.#fault !== undefined) throw this.#fault;
  }

  async finish(): Promise<SnapshotMeta> {
    this.#gunzip.end();
    await this.#ended;
    if (this.#fault === undefined) this.#guard(() => this.#tar.finish());
    if (this.#fault !== undefined) throw this.#fault;
    const missing = expected.filter((name) => !this.#sizes.has(name));
    if (missing.length > 0) throw notWhole(`it has no ${missing.join(' and no ')}`);
    this.#compareSums();
    return this.#readMeta();
  }

  close(): void {
    this.#gunzip.destroy();
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#fault ??= error;
    }
  }

  #begin({ name, sizeBytes }: Member): (piece: Uint8Array) => void {
    if (!expected.includes(name)) throw notWhole(`it holds ${name}, which no snapshot has`);
    if (this.#sizes.has(name)) throw notWhole(`it holds ${name} twice`);
    this.#sizes.set(name, sizeBytes);
    const sum = createHash('sha256');
    this.#sums.set(name, sum);
    const isText = name !== 'state.bin' && name !== 'SHA256SUMS.sealed';
    if (isText && sizeBytes > textMaxBytes) throw notWhole(`${name} has ${sizeBytes} bytes`);
    return (piece) => {
      sum.update(piece);
      if (isText) this.#texts.set(name, (this.#texts.get(name) ?? '') + Buffer.from(piece).toString('latin1'));
    };
  }

  #compareSums(): void {
    const told = new Map(
      (this.#texts.get('SHA256SUMS') ?? '')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => [line.slice(66), line.slice(0, 64)]),
    );
    for (const name of hashed)
      if (told.get(name) !== this.#sums.get(name)?.digest('hex')) throw notWhole(`the SHA-256 of ${name} is not the one in SHA256SUMS`);
    if ((this.#sizes.get('SHA256SUMS.sealed') ?? 0) === 0) throw notWhole('its seal is empty: Vault could not seal it');
  }

  #readMeta(): SnapshotMeta {
    const meta = parseBody(this.#texts.get('meta.json') ?? '') as
      | { readonly ID?: unknown; readonly Index?: unknown; readonly Term?: unknown; readonly Size?: unknown }
      | undefined;
    if (typeof meta?.ID !== 'string' || typeof meta.Index !== 'number' || typeof meta.Term !== 'number' || typeof meta.Size !== 'number')
      throw notWhole('its meta.json is none of a raft snapshot');
    const sizeBytes = this.#sizes.get('state.bin') ?? 0;
    if (meta.Size !== sizeBytes) throw notWhole(`state.bin has ${sizeBytes} bytes, and ${meta.Size} were meant to be there`);
    return { id: meta.ID, index: String(meta.Index), term: String(meta.Term), sizeBytes };
  }
}

const notWhole = (why: string): HoldfastError =>
  fail('BACKUP_INCOMPLETE', {
    message: `the snapshot of Vault is not whole: ${why}`,
    hint: 'Take it again; see the log of the active node, and whether its seal works.',
  });
