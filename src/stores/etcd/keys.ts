/** Where what lies below the prefix of a platform. Pure. */
import { Buffer } from 'node:buffer';

export class Keys {
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** Whose state this is, and in which cluster. */
  get identity(): Buffer {
    return Buffer.from(`${this.prefix}identity`);
  }

  /** Each change of the state writes it: its revision is that of the newest one. */
  get pulse(): Buffer {
    return Buffer.from(`${this.prefix}pulse`);
  }

  /** There only while a state is being copied here. */
  get copying(): Buffer {
    return Buffer.from(`${this.prefix}copying`);
  }

  get all(): { readonly key: Buffer; readonly range_end: Buffer } {
    return prefixRange(this.prefix);
  }

  entry(key: string): Buffer {
    return Buffer.from(`${this.prefix}e/${key}`);
  }

  entriesWith(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
    return prefixRange(`${this.prefix}e/${prefix}`);
  }

  /** The key of the store that an etcd key stands for. */
  nameOf(key: Buffer): string {
    return key.toString('utf8', Buffer.byteLength(this.prefix) + 2);
  }

  /** Who took the lease last. Stays. */
  lease(name: string): Buffer {
    return Buffer.from(`${this.prefix}leases/${name}`);
  }

  get leases(): { readonly key: Buffer; readonly range_end: Buffer } {
    return prefixRange(`${this.prefix}leases/`);
  }

  /** Who holds it now. Goes with the lease of etcd that it hangs on. */
  held(name: string): Buffer {
    return Buffer.from(`${this.prefix}held/${name}`);
  }

  get allHeld(): { readonly key: Buffer; readonly range_end: Buffer } {
    return prefixRange(`${this.prefix}held/`);
  }
}

/** From the text up to the first key that does not begin with it. Keys are ASCII: the last byte can grow. */
export function prefixRange(text: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const key = Buffer.from(text);
  const end = Buffer.from(key);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return { key, range_end: end };
}

/** The smallest key that is larger. */
export const afterKey = (key: Buffer): Buffer => Buffer.concat([key, Buffer.from([0])]);
