/**
 * Damage to what is stored, seen through a store that lies about a few objects. The real store is only ever read: nothing of a repository is changed to see whether its proofs notice.
 */
import { assert } from '../base/assert.ts';
import { fail } from '../base/errors.ts';
import type { ObjectFacts, RepositoryBackend, StoredObject } from '../contracts/repository-backend.ts';
import { backupPrefix } from './object-names.ts';

export type StoredDamage =
  | 'flip a byte of a stored piece'
  | 'cut the tail of a stored piece'
  | 'lose a stored piece'
  | 'swap two stored pieces';
export const storedDamages: readonly StoredDamage[] = [
  'flip a byte of a stored piece',
  'cut the tail of a stored piece',
  'lose a stored piece',
  'swap two stored pieces',
];

/** What somebody reads instead of an object; undefined: it is not there. */
type Lie = (truth: (name: string) => Promise<Uint8Array>) => Promise<Uint8Array | undefined>;

export interface DamagedStore {
  readonly backend: RepositoryBackend;
  readonly detail: string;
  /** Whether anybody has read what is not so. */
  readonly struck: () => boolean;
}

function lyingBackend(real: RepositoryBackend, lies: ReadonlyMap<string, Lie>): { backend: RepositoryBackend; struck: () => boolean } {
  let struck = false;
  const read = async (name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> => {
    struck = true;
    return await (lies.get(name) as Lie)((truth) => real.get(truth, signal ? { signal } : {}));
  };
  const factsOf = async <F extends StoredObject>(facts: F, signal?: AbortSignal): Promise<F | undefined> => {
    if (!lies.has(facts.name)) return facts;
    const bytes = await read(facts.name, signal);
    return bytes && { ...facts, sizeBytes: bytes.length };
  };
  const backend: RepositoryBackend = {
    name: real.name,
    put: (name, content, options) => real.put(name, content, options),
    async get(name, options = {}) {
      if (!lies.has(name)) return real.get(name, options);
      const bytes = await read(name, options.signal);
      if (!bytes) throw fail('STORE_NO_OBJECT', { message: `${name} is not there (it was hidden on purpose)`, subject: name });
      return bytes.slice(options.from ?? 0, options.to ?? bytes.length);
    },
    async head(name, signal): Promise<ObjectFacts | undefined> {
      const facts = await real.head(name, signal);
      return facts && (await factsOf(facts, signal));
    },
    async *list(prefix, options = {}) {
      for await (const object of real.list(prefix, options)) {
        const seen = await factsOf(object, options.signal);
        if (seen) yield seen;
      }
    },
    remove: (name, signal) => real.remove(name, signal),
    barrier: () => real.barrier(),
    probe: (signal) => real.probe(signal),
    close: async () => undefined,
  };
  return { backend, struck: () => struck };
}

/** Where the damage goes is drawn by chance. Undefined where the backup has too few pieces for it. */
export async function damageStore(
  damage: StoredDamage,
  real: RepositoryBackend,
  of: { readonly component: string; readonly backupId: string },
  chance: () => number,
): Promise<DamagedStore | undefined> {
  const pieces: string[] = [];
  for await (const { name, sizeBytes } of real.list(`${backupPrefix(of.component, of.backupId)}pieces/`))
    if (sizeBytes > 0) pieces.push(name);
  const draw = (from: readonly string[]) => from[Math.floor(chance() * from.length)];
  const piece = draw(pieces);
  if (piece === undefined) return undefined;
  const lies = new Map<string, Lie>();
  let detail = piece;
  if (damage === 'flip a byte of a stored piece') {
    const share = chance();
    lies.set(piece, async (truth) => {
      const bytes = (await truth(piece)).slice();
      const at = Math.floor(share * bytes.length);
      bytes[at] = (bytes[at] as number) ^ 0x40;
      return bytes;
    });
  } else if (damage === 'cut the tail of a stored piece')
    lies.set(piece, async (truth) => {
      const bytes = await truth(piece);
      return bytes.slice(0, Math.floor(bytes.length / 2));
    });
  else if (damage === 'lose a stored piece') lies.set(piece, async () => undefined);
  else {
    const other = draw(pieces.filter((name) => name !== piece));
    if (other === undefined) return undefined;
    lies.set(piece, (truth) => truth(other));
    lies.set(other, (truth) => truth(piece));
    detail = `${piece} and ${other}`;
  }
  assert(lies.size > 0, 'a damage changes something');
  return { ...lyingBackend(real, lies), detail };
}
