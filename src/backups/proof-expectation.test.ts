import { describe, expect, it } from 'vitest';
import type { Json } from '../base/json.ts';
import { judgeAnswer, parseExpectation } from './proof-expectation.ts';

const judge = (expectation: string, answer: Json | undefined) => judgeAnswer(parseExpectation(expectation), answer);

describe('expectations', () => {
  it.each([
    ['> 0', 1, true],
    ['> 0', 0, false],
    ['> 0', '12', true],
    ['>= 5', 5, true],
    ['< 1e3', 999.5, true],
    ['<= 2', 3, false],
    ['= 42', '42', true],
    ['= 42', 42.0, true],
    ['= 42', 'forty-two', false],
    ['= ok', ' ok ', true],
    ['!= broken', 'fine', true],
    ['!= 0', '0', false],
    ['matches /^v1\\./', 'v1.2', true],
    ['matches /x/', 'y', false],
    ['matches /OK/i', 'ok', true],
    ['= true', true, true],
    ['3', 3, true],
    ['3', '4', false],
    ['!= ""', 'x', true],
    ['= "> 5"', '> 5', true],
    ['matches', 'matches', true],
    // Beyond what a floating number tells apart.
    ['= 9007199254740993', '9007199254740992', false],
    ['> 9007199254740992', '9007199254740993', true],
  ] as const)('%s of %s is %s', (expectation, answer, ok) => expect(judge(expectation, answer).ok).toBe(ok));

  it.each([undefined, null, '', []])('no answer (%s) never passes, not even "!=" or a pattern that takes anything', (answer) => {
    for (const expectation of ['> -1', '!= 7', '= ', 'matches /.*/'].filter((text) => text.trim() !== '='))
      expect(judge(expectation, answer)).toEqual({ ok: false, detail: expect.stringMatching(/^no answer/) });
  });

  it('what is not a number is not compared as one', () => {
    expect(judge('> 0', 'many')).toEqual({ ok: false, detail: 'the answer is "many", which is not a number; expected > 0' });
  });

  it('a long answer is shown in part', () => expect(judge('= x', 'y'.repeat(5_000)).detail.length).toBeLessThan(300));

  it.each(['', '  ', '> many', 'matches x', 'matches /(/', '=', '>', '!=', 'matches //'])('"%s" is no expectation', (text) => {
    expect(() => parseExpectation(text)).toThrow(expect.objectContaining({ code: 'SPEC_INVALID' }));
  });
});
