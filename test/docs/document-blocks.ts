/**
 * The fenced blocks of a document, and what the document says about running them. An HTML comment right before a block says it:
 *
 *   <!-- run: platform -->                 run it there (places.ts), it ends with 0; also `; exit: 3`, and `; in the background`: it is left running until the document ends
 *   <!-- not run: why -->                  it can't be run by a test
 *   <!-- with the spec above -->           YAML that is laid over the whole spec before it
 *   <!-- shown: where it comes from -->    text that was not printed by the block before it
 *
 * A text block right after one that is run is what the run prints: each of its lines must be there, in order; … stands for anything.
 */
export interface Block {
  readonly document: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
  readonly note: string | undefined;
  /** What the text block after it shows. */
  readonly shown: string | undefined;
}

export interface Instruction {
  readonly place: string;
  readonly exitCode: number;
  readonly background: boolean;
}

export function parseBlocks(document: string, markdown: string): readonly Block[] {
  const found: Omit<Block, 'shown'>[] = [];
  const endLines: number[] = [];
  let note: string | undefined;
  let open: { readonly fence: string; readonly language: string; readonly line: number; readonly lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    if (open) {
      if (line.trim() !== open.fence) {
        open.lines.push(line);
        continue;
      }
      found.push({ document, line: open.line, language: open.language, text: open.lines.join('\n'), note });
      endLines.push(index + 1);
      [open, note] = [undefined, undefined];
      continue;
    }
    const fence = /^\s*(`{3,})(\w*)\s*$/.exec(line);
    const comment = /^\s*<!--\s*(.*?)\s*-->\s*$/.exec(line);
    if (fence) open = { fence: fence[1] as string, language: fence[2] as string, line: index + 1, lines: [] };
    else if (comment) note = comment[1];
    else if (line.trim() !== '') note = undefined;
  }
  if (open) throw new Error(`${document}:${open.line}: the block is not closed`);
  const lines = markdown.split('\n');
  return found.map((block, index) => {
    const next = found[index + 1];
    const between = next ? lines.slice(endLines[index], next.line - 1) : [];
    const follows = next?.language === 'text' && between.every((line) => line.trim() === '');
    return { ...block, shown: follows ? next.text : undefined };
  });
}

/** Undefined where the block is not meant to be run, with a reason; throws where nothing or nonsense is said. */
export function instructionOf(block: Block): Instruction | undefined {
  const where = `${block.document}:${block.line}`;
  if (block.note === undefined) throw new Error(`${where}: nothing says where this block runs`);
  const reason = /^not run: (.+)$/.exec(block.note);
  if (reason) return undefined;
  const [place, ...rest] = block.note.split(';').map((part) => part.trim());
  const name = /^run: (.+)$/.exec(place ?? '')?.[1];
  if (name === undefined) throw new Error(`${where}: "${block.note}" says neither "run: PLACE" nor "not run: WHY"`);
  let exitCode = 0;
  let background = false;
  for (const part of rest) {
    const code = /^exit: (\d)$/.exec(part)?.[1];
    if (code !== undefined) exitCode = Number(code);
    else if (part === 'in the background') background = true;
    else throw new Error(`${where}: "${part}" is not understood`);
  }
  return { place: name, exitCode, background };
}

/** The first line of what is shown that the output lacks at its place; undefined when all of them are there. */
export function missingLine(shown: string, output: string): string | undefined {
  const lines = output.split('\n');
  let from = 0;
  for (const wanted of shown.split('\n')) {
    if (wanted.replace(/[…\s]/g, '') === '') continue;
    const pattern = new RegExp(`^${wanted.trim().split(/\s+/).map(escaped).join('\\s+')}$`);
    const at = lines.findIndex((line, index) => index >= from && pattern.test(line.trim()));
    if (at < 0) return wanted;
    from = at + 1;
  }
  return undefined;
}

const escaped = (word: string) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*');
