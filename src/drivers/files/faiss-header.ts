/**
 * The head of a FAISS index file, read without FAISS. Pure.
 *
 * Little-endian: four letters for the kind, then dimension (int32), number of vectors (int64), two numbers that are always 2^20, whether it is trained, and the metric. Binary indices
 * have the size of a code between dimension and number. A kind that is not in the list is named and not guessed at.
 */
export const faissHeaderBytes = 37;

const floatKinds: Readonly<Record<string, string>> = {
  IxF2: 'flat, L2',
  IxFI: 'flat, inner product',
  IxFl: 'flat',
  IxSQ: 'scalar quantizer',
  IxPq: 'product quantizer',
  IxPQ: 'product quantizer',
  IxMp: 'id map',
  IxM2: 'id map 2',
  IxPT: 'pre-transform',
  IxRF: 'refine',
  IwFl: 'IVF flat',
  IwFd: 'IVF flat, deduplicated',
  IwPQ: 'IVF product quantizer',
  IwSQ: 'IVF scalar quantizer',
  IwSq: 'IVF scalar quantizer',
  IHNf: 'HNSW flat',
  IHNp: 'HNSW product quantizer',
  IHNs: 'HNSW scalar quantizer',
  IHN2: 'HNSW two-level',
};
const binaryKinds: Readonly<Record<string, string>> = {
  IBxF: 'binary flat',
  IBwF: 'binary IVF',
  IBMp: 'binary id map',
  IBM2: 'binary id map 2',
  IBHf: 'binary HNSW',
};
const always = 1n << 20n;
const dimensionMax = 1_000_000;

export type FaissHeader =
  | { readonly kind: string; readonly ntotal: number; readonly dimension: number }
  /** Why nothing is said. */
  | { readonly unknown: string };

export function parseFaissHeader(bytes: Buffer): FaissHeader {
  if (bytes.length < faissHeaderBytes) return { unknown: `it has only ${bytes.length} bytes` };
  const letters = bytes.toString('latin1', 0, 4);
  const dimension = bytes.readInt32LE(4);
  const binary = binaryKinds[letters];
  const kind = floatKinds[letters] ?? binary;
  if (kind === undefined) return { unknown: `its kind ${JSON.stringify(letters)} is not known` };
  const ntotal = bytes.readBigInt64LE(binary === undefined ? 8 : 12);
  const isPlausible = dimension > 0 && dimension <= dimensionMax && ntotal >= 0n && ntotal <= BigInt(Number.MAX_SAFE_INTEGER);
  const hasMarks = binary !== undefined || (bytes.readBigInt64LE(16) === always && bytes.readBigInt64LE(24) === always);
  if (!isPlausible || !hasMarks) return { unknown: `it begins as ${letters}, and what follows is no header of one` };
  return { kind: `${letters} (${kind})`, ntotal: Number(ntotal), dimension };
}

/** Lists of an index that are kept in another file, at an absolute path: four letters somewhere within it. */
export const elsewhereMark = Buffer.from('ilod');
export const isFaissPath = (path: string): boolean => /\.(?:faiss|index)$/.test(path);
