/** What a stand-in for Vault keeps, encrypted under a key that its shares give: unreadable in another cluster until the original shares are given. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

export interface Content {
  readonly clusterId: string;
  /** Token to what it may do: `root` or the paths of its policy. */
  tokens: Record<string, 'root' | readonly string[]>;
  mounts: Record<string, string>;
  policies: Record<string, string>;
  secrets: Record<string, string>;
}

export interface StoredBarrier {
  readonly threshold: number;
  readonly sharesHash: readonly string[];
  readonly sealed: string;
}

/** Encrypted under a key that any `threshold` of the shares give. (No shares are computed with: digests tell right ones from wrong ones.) */
export class Barrier {
  readonly threshold: number;
  readonly key: Buffer;
  readonly #hashes: readonly string[];
  #sealed: string;

  constructor(hashes: readonly string[], threshold: number, sealed = '') {
    this.threshold = threshold;
    this.#hashes = hashes;
    this.#sealed = sealed;
    this.key = keyOf(hashes);
  }

  static of({ threshold, sharesHash, sealed }: StoredBarrier): Barrier {
    return new Barrier(sharesHash, threshold, sealed);
  }

  get isStored(): boolean {
    return this.#sealed !== '';
  }

  get stored(): StoredBarrier {
    return { threshold: this.threshold, sharesHash: this.#hashes, sealed: this.#sealed };
  }

  store(content: Content): void {
    this.#sealed = this.encrypt(Buffer.from(JSON.stringify(content))).toString('base64');
  }

  encrypt(plain: Buffer): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce);
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The key, where all the shares given are of this barrier; another one where not. */
  join(given: readonly string[]): Buffer {
    return given.every((share) => this.#hashes.includes(sha256(Buffer.from(share)))) ? this.key : randomBytes(32);
  }

  open(key: Buffer): Content | undefined {
    const bytes = Buffer.from(this.#sealed, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
      decipher.setAuthTag(bytes.subarray(-16));
      return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString()) as Content;
    } catch {
      return undefined; // a key of another cluster
    }
  }
}

const keyOf = (hashes: readonly string[]): Buffer => createHash('sha256').update(hashes.join()).digest();
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
