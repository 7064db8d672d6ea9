/** A document that says which test shows something: each test that it names is there, and would run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const document = 'docs/guide/what-goes-wrong.md';

interface Named {
  readonly file: string;
  readonly name: string;
}

function readNamed(text: string): readonly Named[] {
  return [...text.matchAll(/^- `([^`]+\.ts)`: (.+)$/gm)].map(([, file = '', name = '']) => ({ file, name }));
}

/** Whether the name stands in a string of the file that is not the name of a test that is left out. */
function isThere({ file, name }: Named): boolean {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  return lines.some(
    (line) => line.replaceAll("\\'", "'").includes(name) && /['"`]/.test(line) && !/\b(?:it|describe)\.(?:skip|todo)\(/.test(line),
  );
}

describe('tests that documents name', () => {
  const text = readFileSync(join(root, document), 'utf8');

  it.each(readNamed(text).map((named) => [named.file, named.name, named] as const))('%s: %s', (_file, _name, named) =>
    expect(isThere(named)).toBe(true),
  );
  it('are named under each of the headings', () => {
    const sections = text.split(/^## /m).slice(1);
    expect(sections.map((section) => Number.parseInt(section, 10))).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
    for (const section of sections) expect(readNamed(section).length, section.split('\n', 1)[0]).toBeGreaterThan(1);
  });
  it('are missed where they are gone', () => {
    const file = 'test/end-to-end/sabotage.test.ts';
    expect(isThere({ file, name: 'rows deleted, a table emptied' })).toBe(true);
    expect(isThere({ file, name: 'no test has this name' })).toBe(false);
  });
});
