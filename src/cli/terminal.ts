/** Where a command writes to and asks from. The program's entry gives the real one; tests give one that keeps what was said. */
export interface Terminal {
  /** A line (or several) of the command's answer. */
  out(text: string): void;
  /** A line for the person beside the answer: progress, hints, errors. */
  err(text: string): void;
  /** Whether a person looks at it and can be asked. */
  readonly interactive: boolean;
  readonly color: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Asks and waits for a line. Undefined at the end of input. */
  ask(question: string): Promise<string | undefined>;
  /** Replaces the whole screen by the text: for live screens on a terminal. */
  redraw(text: string): void;
}

type Paint = (text: string) => string;

export interface Palette {
  readonly good: Paint;
  readonly bad: Paint;
  readonly warn: Paint;
  readonly dim: Paint;
  readonly strong: Paint;
}

const sgr =
  (code: number, color: boolean): Paint =>
  (text) =>
    color ? `\u001b[${code}m${text}\u001b[0m` : text;

export function paletteOf(terminal: Pick<Terminal, 'color'>): Palette {
  const paint = (code: number) => sgr(code, terminal.color);
  return { good: paint(32), bad: paint(31), warn: paint(33), dim: paint(2), strong: paint(1) };
}

/** Rows of cells as columns of equal width, two spaces apart; widths ignore colour. */
export function table(rows: readonly (readonly string[])[]): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what starts a colour.
  const width = (cell: string) => cell.replace(/\u001b\[\d+m/g, '').length;
  const widths: number[] = [];
  for (const row of rows) for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell));
  return rows
    .map((row) =>
      row.map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - width(cell)))).join('  '),
    )
    .join('\n');
}
