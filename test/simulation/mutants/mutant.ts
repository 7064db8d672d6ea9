/**
 * A deliberate mistake: a text of a source file and what stands there instead, as long as one process runs. Sources on disk are never changed.
 *
 * Invariant: the text has to be in its file exactly once; otherwise nothing is run, for a mistake that was not made would look like one that nobody noticed.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Violation } from '../invariants.ts';

export interface Edit {
  /** From the top of the repository. */
  readonly file: string;
  readonly before: string;
  readonly after: string;
}

export interface Mutant {
  readonly name: string;
  /** What goes wrong in the world because of it. */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** Which invariants have to notice: any one of them. */
  readonly caughtBy: readonly Violation['invariant'][];
  /** How many regions the disasters have, each with a controller, in which it can show. Default: 2, with one controller. */
  readonly regions?: 2 | 3;
}

const top = join(import.meta.dirname, '../../..');

export function applyEdit(source: string, { file, before, after }: Edit): string {
  const times = source.split(before).length - 1;
  if (times !== 1) throw new Error(`${file} holds the text to be replaced ${times} times, not once:\n${before}`);
  return source.replace(before, () => after);
}

/** What keeps the mutant from being made; undefined when nothing does. */
export function faultOf(mutant: Mutant): string | undefined {
  try {
    for (const edit of mutant.edits) applyEdit(readFileSync(join(top, edit.file), 'utf8'), edit);
    return undefined;
  } catch (thrown) {
    return `${mutant.name}: ${(thrown as Error).message}`;
  }
}

/** From now on this process loads the mutant's files changed. Each has to be loaded afterwards. */
export function switchOn(mutant: Mutant): void {
  const byUrl = Map.groupBy(mutant.edits, ({ file }) => pathToFileURL(join(top, file)).href);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const edits = byUrl.get(url);
      if (!edits) return loaded;
      return { ...loaded, source: edits.reduce(applyEdit, Buffer.from(loaded.source as Uint8Array).toString('utf8')) };
    },
  });
}
