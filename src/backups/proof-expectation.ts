/**
 * What a user expects of an answer: `> 0`, `>= 10`, `= 42`, `!= broken`, `matches /^ok/`; without a sign: equal. Text may stand in double quotes. Pure.
 *
 * No answer is never a pass: a question that finds no row shows nothing.
 */
import { fail } from '../base/errors.ts';
import type { Json } from '../base/json.ts';

export interface Expectation {
  readonly text: string;
  readonly operator: '>' | '>=' | '<' | '<=' | '=' | '!=' | 'matches';
  readonly operand: string;
  readonly pattern?: RegExp;
}

export interface Judgement {
  readonly ok: boolean;
  readonly detail: string;
}

const numeric = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/;

function bad(text: string, why: string): never {
  throw fail('SPEC_INVALID', {
    message: `"${text}" is no expectation: ${why}`,
    hint: 'Write for example "> 0", "= 42", "!= broken" or "matches /^ok/".',
  });
}

export function parseExpectation(text: string): Expectation {
  const matched = /^\s*(>=|<=|!=|>|<|=|matches(?=\s))?\s*(\S.*?)\s*$/s.exec(text);
  if (!matched || /^[<>=!]/.test(matched[2] as string)) return bad(text, 'nothing stands after its sign');
  const operator = (matched[1] ?? '=') as Expectation['operator'];
  const written = matched[2] as string;
  const operand = /^".*"$/s.test(written) ? written.slice(1, -1) : written;
  if (operator !== 'matches') {
    if (operator !== '=' && operator !== '!=' && !numeric.test(operand)) return bad(text, `${operand} is not a number`);
    return { text: `${operator} ${operand}`, operator, operand };
  }
  const inside = /^\/(.+)\/([imsu]*)$/.exec(operand);
  if (!inside) return bad(text, 'a pattern stands between slashes');
  try {
    return { text: `matches ${operand}`, operator, operand, pattern: new RegExp(inside[1] as string, inside[2]) };
  } catch (error) {
    return bad(text, (error as Error).message);
  }
}

/** Whole numbers of any size are compared exactly. */
function compareNumbers(left: string, right: string): number {
  const whole = /^[+-]?\d+$/;
  if (whole.test(left) && whole.test(right)) {
    const difference = BigInt(left) - BigInt(right);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  return Number(left) - Number(right);
}

function holds(expectation: Expectation, answer: string): boolean | undefined {
  const { operator, operand, pattern } = expectation;
  if (pattern) return pattern.test(answer);
  const bothNumbers = numeric.test(answer) && numeric.test(operand);
  if (operator === '=') return bothNumbers ? compareNumbers(answer, operand) === 0 : answer === operand;
  if (operator === '!=') return bothNumbers ? compareNumbers(answer, operand) !== 0 : answer !== operand;
  if (!bothNumbers) return undefined;
  const difference = compareNumbers(answer, operand);
  if (operator === '>') return difference > 0;
  if (operator === '>=') return difference >= 0;
  return operator === '<' ? difference < 0 : difference <= 0;
}

const answerMaxCharacters = 200;

export function judgeAnswer(expectation: Expectation, answer: Json | undefined): Judgement {
  const empty = answer === undefined || answer === null || answer === '' || (Array.isArray(answer) && answer.length === 0);
  if (empty) return { ok: false, detail: `no answer; expected ${expectation.text}` };
  const text = typeof answer === 'string' ? answer.trim() : typeof answer === 'object' ? JSON.stringify(answer) : String(answer);
  const shown = text.length > answerMaxCharacters ? `${text.slice(0, answerMaxCharacters)}…` : text;
  const held = holds(expectation, text);
  if (held === undefined) return { ok: false, detail: `the answer is "${shown}", which is not a number; expected ${expectation.text}` };
  return { ok: held, detail: `the answer is ${shown}; expected ${expectation.text}` };
}
