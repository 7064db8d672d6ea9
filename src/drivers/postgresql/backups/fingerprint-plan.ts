/**
 * Which part of which table a fingerprint digests within its budget. Pure: the copy digests the very same blocks, for a physical copy keeps each row where it was.
 *
 * Small tables are taken whole, smallest first; what is left of the budget is shared out evenly among the others, in stripes all over each of them.
 */
export interface TableSize {
  readonly name: string;
  /** With what is stored out of line: reading a row reads that too. */
  readonly bytes: number;
  /** Of the table's own file. */
  readonly blocks: number;
}

/** Blocks `from` to `to`, the last one exclusive. */
export interface Stripe {
  readonly from: number;
  readonly to: number;
}

export interface TableShare {
  readonly name: string;
  /** Undefined: all of it. */
  readonly stripes: readonly Stripe[] | undefined;
  readonly blocks: number;
}

const stripesMost = 8;

export function planFingerprint(tables: readonly TableSize[], budgetBytes: number): readonly TableShare[] {
  const ordered = tables.toSorted((a, b) => a.bytes - b.bytes || (a.name < b.name ? -1 : 1));
  let leftBytes = budgetBytes;
  return ordered.map(({ name, bytes, blocks }, index) => {
    const shareBytes = leftBytes / (ordered.length - index);
    leftBytes -= Math.min(bytes, shareBytes);
    if (bytes <= shareBytes) return { name, blocks, stripes: undefined };
    return { name, blocks, stripes: stripesOf(blocks, Math.max(1, Math.floor((blocks * shareBytes) / bytes))) };
  });
}

function stripesOf(blocks: number, wanted: number): readonly Stripe[] {
  const count = Math.min(stripesMost, wanted);
  const each = Math.floor(wanted / count);
  return Array.from({ length: count }, (_, index) => {
    const from = Math.floor((index * blocks) / count);
    return { from, to: Math.min(from + each, blocks) };
  });
}

/** `blocks 0-15, 512-527 of 1024`: as the fingerprint keeps it, both ends inclusive. */
export function formatSample(stripes: readonly Stripe[], blocks: number): string {
  return `blocks ${stripes.map(({ from, to }) => `${from}-${to - 1}`).join(', ')} of ${blocks}`;
}

export function parseSample(text: string): readonly Stripe[] | undefined {
  const match = /^blocks (\d+-\d+(?:, \d+-\d+)*) of \d+$/.exec(text);
  return match?.[1]?.split(', ').map((stripe) => {
    const [from = 0, last = 0] = stripe.split('-').map(Number);
    return { from, to: last + 1 };
  });
}
