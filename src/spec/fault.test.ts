import { expect, test } from 'vitest';
import { type Fault, formatFaults, formatPath } from './fault.ts';

const fault = (line: number, column: number, more: Partial<Fault> = {}): Fault => ({
  file: 'a.yaml',
  line,
  column,
  path: '',
  message: 'wrong',
  hint: 'Do right.',
  ...more,
});
const show = (text: string, ...faults: Fault[]) => formatFaults(faults, new Map([['a.yaml', text]]));

test('a fault is shown with its line, a caret and its hint', () => {
  expect(show('one: 1\r\ntwo: 2\r\n', fault(2, 6))).toBe('a.yaml:2:6  wrong\n  2 | two: 2\n    |      ^\n  hint: Do right.');
});

test('several faults are apart by an empty line; without the source a fault has no line', () => {
  expect(show('one: 1', fault(1, 1, { hint: '' }), fault(1, 2, { file: 'b.yaml' }))).toBe(
    'a.yaml:1:1  wrong\n  1 | one: 1\n    | ^\n\nb.yaml:1:2  wrong\n  hint: Do right.',
  );
});

test('the caret stands below the place after what is concealed before it', () => {
  const text = 'url: "pg://u:hunter2@h/d", password: x, nope: 1';
  expect(
    show(text, fault(1, text.indexOf('nope') + 1))
      .split('\n')
      .slice(1, 3),
  ).toEqual([
    '  1 | url: "pg://u:[redacted]@h/d", password: [redacted], nope: 1',
    `    | ${' '.repeat('url: "pg://u:[redacted]@h/d", password: [redacted], '.length)}^`,
  ]);
});

test('a concealed value is covered for every fault of its lines', () => {
  const text = 'a: { thing: "hun\n  ter2", b: 1 }';
  const secret = fault(1, 13, { conceal: { line: 2, column: 8 } });
  const shown = show(text, secret, fault(2, 10));
  expect(shown).not.toMatch(/hun|ter2/);
  expect(shown).toContain('  1 | a: { thing: [redacted]\n');
  expect(shown).toContain('  2 | [redacted], b: 1 }\n');
});

test('values of keys that are named like secrets are covered even when nothing is known of them', () => {
  for (const line of ['password: "hunter2', "db_password: 'hunter2", 'api-token: hunter2 # note', '{ key: hunter2, a: 1'])
    expect(show(line, fault(1, 1))).not.toContain('hunter2');
  for (const line of ['password: { env: NAME }', 'key: *anchor', 'passwords are fine: 1']) expect(show(line, fault(1, 1))).toContain(line);
});

test('a long line is cut around the place', () => {
  const shown = show(`a: ${'x'.repeat(5_000)}!`, fault(1, 5_004)).split('\n');
  expect(shown[1]?.length).toBeLessThan(180);
  expect(shown[1]?.[shown[2]?.indexOf('^') ?? 0]).toBe('!');
});

test('paths are written as people read them', () => {
  expect(formatPath(['components', 'api', 'needs', 1])).toBe('components.api.needs[1]');
  expect(formatPath([])).toBe('');
});
