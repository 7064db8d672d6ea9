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
  /** As the server estimates it; undefined where it never counted. */
  readonly rows?: number;
}

/** Blocks `from` to `to`, the last one exclusive. */
export interface Stripe {
  readonly from: number;
  readonly to: number;
  /** Only so many places for rows, from the first one of its one block on: where rows lie mostly out of line, a single block may stand for hundreds of megabytes. */
  readonly rows?: number;
}

export interface TableShare {
  readonly name: string;
  /** Undefined: all of it. */
  readonly stripes: readonly Stripe[] | undefined;
  readonly blocks: number;
}

const stripesMost = 8;
/** Of an ordinary table; the server tells where it has counted. */
const rowsOfBlock = 50;

export function planFingerprint(tables: readonly TableSize[], budgetBytes: number): readonly TableShare[] {
  const ordered = tables.toSorted((a, b) => a.bytes - b.bytes || (a.name < b.name ? -1 : 1));
  let leftBytes = budgetBytes;
  return ordered.map(({ name, bytes, blocks, rows }, index) => {
    const shareBytes = leftBytes / (ordered.length - index);
    leftBytes -= Math.min(bytes, shareBytes);
    if (bytes <= shareBytes) return { name, blocks, stripes: undefined };
    const wanted = Math.floor((blocks * shareBytes) / bytes);
    if (wanted >= 1) return { name, blocks, stripes: stripesOf(blocks, wanted) };
    const rowsWanted = Math.floor(((rows ?? blocks * rowsOfBlock) * shareBytes) / bytes);
    return { name, blocks, stripes: rowStripesOf(blocks, Math.max(1, rowsWanted)) };
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

function rowStripesOf(blocks: number, wanted: number): readonly Stripe[] {
  const count = Math.min(stripesMost, blocks, wanted);
  return Array.from({ length: count }, (_, index) => {
    const from = Math.floor((index * blocks) / count);
    return { from, to: from + 1, rows: Math.floor(wanted / count) };
  });
}

/** `blocks 0-15, 512-527 of 1024`, or `blocks 0-0, 3-3 of 6, rows 1-12 of each`: as the fingerprint keeps it, both ends inclusive. */
export function formatSample(stripes: readonly Stripe[], blocks: number): string {
  const rows = stripes[0]?.rows;
  const which = stripes.map(({ from, to }) => `${from}-${to - 1}`).join(', ');
  return `blocks ${which} of ${blocks}${rows === undefined ? '' : `, rows 1-${rows} of each`}`;
}

export function parseSample(text: string): readonly Stripe[] | undefined {
  const match = /^blocks (\d+-\d+(?:, \d+-\d+)*) of \d+(?:, rows 1-(\d+) of each)?$/.exec(text);
  const rows = match?.[2] === undefined ? {} : { rows: Number(match[2]) };
  return match?.[1]?.split(', ').map((stripe) => {
    const [from = 0, last = 0] = stripe.split('-').map(Number);
    return { from, to: last + 1, ...rows };
  });
}
