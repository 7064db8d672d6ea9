/**
 * A store of objects in memory, as faithful as the contract: refuses overwrites, lists in order, obeys locks. It can be told to die at the n-th call (before or after the call took
 * effect), to answer single calls with an error, to be full, and to lose what no barrier has made durable.
 */
import { assert } from '../../src/base/assert.ts';
import { fail, type HoldfastError } from '../../src/base/errors.ts';
import {
  assertObjectName,
  type BackendCapabilities,
  type ObjectFacts,
  objectMaxBytes,
  type RepositoryBackend,
  type StoredObject,
} from '../../src/contracts/repository-backend.ts';

type Operation = 'put' | 'get' | 'head' | 'list' | 'remove' | 'barrier' | 'probe';

const nameTaking: ReadonlySet<Operation> = new Set(['put', 'get', 'head', 'remove']);

export interface BackendCall {
  readonly operation: Operation;
  /** The object's name, or the prefix. */
  readonly name: string;
}

interface Kept {
  content: Uint8Array;
  readonly modifiedMs: number;
  readonly lockedUntilMs?: number;
  durable: boolean;
  replication?: ObjectFacts['replication'];
}

/** What a call runs into: thrown before the call does anything, or (with `after`) once it has taken effect. */
export interface Fault {
  readonly error: Error;
  readonly after?: boolean;
}

export interface MemoryBackendOptions {
  readonly nowMs?: () => number;
  readonly capacityBytes?: number;
  readonly capabilities?: Partial<BackendCapabilities>;
}

/** What dies with the process: not an error that any code could expect of a store. */
export class Killed extends Error {
  constructor() {
    super('killed');
    this.name = 'Killed';
  }
}

export class MemoryBackend implements RepositoryBackend {
  readonly name = 'memory';
  readonly objects = new Map<string, Kept>();
  readonly calls: BackendCall[] = [];
  /** Asked at each call; the first that answers decides. */
  fault: (call: BackendCall, number: number) => Fault | undefined = () => undefined;
  /** Awaited in each put, for tests of what is under way at once. */
  onPut: (name: string) => Promise<void> = async () => undefined;
  readonly #nowMs: () => number;
  readonly #capabilities: Partial<BackendCapabilities>;
  capacityBytes: number;
  #dead = false;
  /** Grows with each restart: what a dead process had under way does not happen later. */
  #life = 0;
  #putsUnderWay = 0;
  putsUnderWayMax = 0;

  constructor(options: MemoryBackendOptions = {}) {
    this.#nowMs = options.nowMs ?? (() => 0);
    this.#capabilities = options.capabilities ?? {};
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The process dies at its n-th call from now on (1 is the next one): that call and all later ones throw. */
  dieAt(count: number, when: 'before' | 'after'): void {
    const start = this.calls.length;
    this.fault = (_, number) => {
      if (number - start !== count) return undefined;
      if (when === 'before') this.#dead = true;
      return { error: new Killed(), after: when === 'after' };
    };
  }

  /** The machine comes back. `keep` says which objects that no barrier had covered are still there. */
  restart(keep: (name: string) => boolean = () => true): void {
    for (const [name, kept] of this.objects) {
      if (!kept.durable && !keep(name)) this.objects.delete(name);
      else kept.durable = true;
    }
    this.fault = () => undefined;
    this.#dead = false;
    this.#life += 1;
  }

  get isDead(): boolean {
    return this.#dead;
  }

  names(prefix = ''): string[] {
    return [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  content(name: string): Uint8Array {
    const kept = this.objects.get(name);
    if (kept === undefined) throw new Error(`the test looked for ${name}, which is not there`);
    return kept.content;
  }

  /** What only a fault of the medium, or an enemy, can do. */
  overwrite(name: string, content: Uint8Array): void {
    const kept = this.objects.get(name);
    if (kept === undefined) this.objects.set(name, { content, modifiedMs: this.#nowMs(), durable: true });
    else kept.content = content;
  }

  flipBit(name: string, byte: number, bit = 0): void {
    const content = new Uint8Array(this.content(name));
    content[byte] = (content[byte] as number) ^ (1 << bit);
    this.overwrite(name, content);
  }

  async put(
    name: string,
    content: Uint8Array,
    options: { lockUntilMs?: number; signal?: AbortSignal } = {},
  ): Promise<'created' | 'exists'> {
    return await this.#call({ operation: 'put', name }, options.signal, async () => {
      this.#putsUnderWay += 1;
      this.putsUnderWayMax = Math.max(this.putsUnderWayMax, this.#putsUnderWay);
      try {
        await this.onPut(name);
        return this.#put(name, content, options.lockUntilMs);
      } finally {
        this.#putsUnderWay -= 1;
      }
    });
  }

  #put(name: string, content: Uint8Array, lockUntilMs: number | undefined): 'created' | 'exists' {
    assert(content.length <= objectMaxBytes, `an object of ${content.length} bytes is no larger than a store takes`);
    if (lockUntilMs !== undefined && this.#capabilities.lock !== true) throw fail('STORE_NO_LOCK');
    if (this.objects.has(name)) return 'exists';
    let used = content.length;
    for (const kept of this.objects.values()) used += kept.content.length;
    if (used > this.capacityBytes) throw fail('STORE_FULL');
    const lock = lockUntilMs === undefined ? {} : { lockedUntilMs: lockUntilMs };
    this.objects.set(name, { content: new Uint8Array(content), modifiedMs: this.#nowMs(), durable: false, ...lock });
    return 'created';
  }

  async get(name: string, options: { from?: number; to?: number; signal?: AbortSignal } = {}): Promise<Uint8Array> {
    return await this.#call({ operation: 'get', name }, options.signal, async () => {
      const kept = this.objects.get(name);
      if (kept === undefined) throw fail('STORE_NO_OBJECT', { message: `memory has no ${name}`, subject: name });
      return kept.content.slice(options.from ?? 0, options.to ?? kept.content.length);
    });
  }

  async head(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    return await this.#call({ operation: 'head', name }, signal, async () => {
      const kept = this.objects.get(name);
      if (kept === undefined) return undefined;
      const lock = kept.lockedUntilMs === undefined ? {} : { lockedUntilMs: kept.lockedUntilMs };
      const copy = kept.replication === undefined ? {} : { replication: kept.replication };
      return { name, sizeBytes: kept.content.length, modifiedMs: kept.modifiedMs, ...lock, ...copy };
    });
  }

  async *list(prefix: string, options: { after?: string; signal?: AbortSignal } = {}): AsyncGenerator<StoredObject> {
    const names = await this.#call({ operation: 'list', name: prefix }, options.signal, async () => this.names(prefix), true);
    for (const name of names) {
      const kept = this.objects.get(name);
      if (kept !== undefined && (options.after === undefined || name > options.after))
        yield { name, sizeBytes: kept.content.length, modifiedMs: kept.modifiedMs };
    }
  }

  async remove(name: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'remove', name }, signal, async () => {
      const kept = this.objects.get(name);
      if (kept?.lockedUntilMs !== undefined && kept.lockedUntilMs > this.#nowMs()) throw fail('STORE_LOCKED', { subject: name });
      this.objects.delete(name);
    });
  }

  async barrier(): Promise<void> {
    await this.#call({ operation: 'barrier', name: '' }, undefined, async () => {
      for (const kept of this.objects.values()) kept.durable = true;
    });
  }

  async probe(signal: AbortSignal): Promise<BackendCapabilities> {
    return await this.#call({ operation: 'probe', name: '' }, signal, async () => ({
      putIfAbsent: true,
      readAfterWrite: true,
      checksums: true,
      lock: false,
      clockSkewMs: 0,
      notes: ['objects in memory'],
      ...this.#capabilities,
    }));
  }

  async close(): Promise<void> {}

  async #call<T>(call: BackendCall, signal: AbortSignal | undefined, work: () => Promise<T>, isPrefix = false): Promise<T> {
    if (this.#dead) throw new Killed();
    signal?.throwIfAborted();
    if (nameTaking.has(call.operation) && !isPrefix) assertObjectName(call.name);
    this.calls.push(call);
    const life = this.#life;
    const fault = this.fault(call, this.calls.length);
    if (fault !== undefined && fault.after !== true) throw fault.error;
    // As with a real store, other work goes on meanwhile.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#dead || life !== this.#life) throw new Killed();
    const result = await work();
    if (fault === undefined) return result;
    if (fault.error instanceof Killed) this.#dead = true;
    throw fault.error;
  }
}

/** Answers the first `times` calls that match with the error. */
export function failFirst(
  times: number,
  matches: (call: BackendCall) => boolean,
  error: () => HoldfastError,
  after = false,
): (call: BackendCall) => Fault | undefined {
  let left = times;
  return (call) => {
    if (left === 0 || !matches(call)) return undefined;
    left -= 1;
    return { error: error(), after };
  };
}
