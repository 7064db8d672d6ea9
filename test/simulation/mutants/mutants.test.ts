/** The mistakes themselves: each can still be made, and a few of them are made and noticed here. All of them: `npm run simulate:mutants`. */
import { describe, expect, it } from 'vitest';
import { applyEdit, faultOf, type Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';
import { playMutants } from './simulate-mutants.ts';

const quick = ['the fence is not waited for', 'intents are lost on the way to the journal', 'no grace'];

describe('mutants', () => {
  it('each text that is replaced is in its file exactly once', () => {
    expect(mutants.flatMap((mutant) => faultOf(mutant) ?? [])).toEqual([]);
    expect(mutants.length).toBeGreaterThanOrEqual(15);
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  });

  it('one whose text is gone, or is there twice, is refused before anything is played', async () => {
    const edit = { file: 'a.ts', before: 'if (held)', after: '' };
    expect(applyEdit('if (held) go();', edit)).toBe(' go();');
    for (const source of ['if (free) go();', 'if (held) go(); if (held) stop();'])
      expect(() => applyEdit(source, edit)).toThrow('times, not once');
    const gone = { name: 'gone', caughtBy: ['I1'] as const, edits: [{ file: 'src/main.ts', before: 'no such text anywhere', after: '' }] };
    await expect(playMutants([gone], { seeds: 1, quick: false, parallel: 1 })).rejects.toThrow(
      'src/main.ts holds the text to be replaced 0 times',
    );
  });

  it('[I1] [I3] [I4] are noticed within a few disasters, and one that changes nothing is not', { timeout: 240_000 }, async () => {
    const text = 'Pure; every answer names what would change it.';
    const edits = [{ file: 'src/control/decide.ts', before: text, after: 'Pure.' }];
    const harmless: Mutant = { name: 'another comment', caughtBy: ['I1', 'I2', 'I3', 'I4', 'I7', 'I8', 'liveness'], edits };
    const wanted = [...mutants.filter(({ name }) => quick.includes(name)), harmless];
    const { caught, missed } = await playMutants(wanted, { seeds: 12, quick: false, parallel: 2 });
    expect({ caught, missed }).toEqual({ caught: quick.length, missed: ['another comment'] });
  });
});
