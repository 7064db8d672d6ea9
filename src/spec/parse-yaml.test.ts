import { expect, test } from 'vitest';
import { plainValue } from './located-node.ts';
import { parseYaml } from './parse-yaml.ts';

const parse = (text: string) => {
  const { root, faults } = parseYaml('a.yaml', text);
  return { value: root && plainValue(root), faults: faults.map(({ line, column, message }) => `${line}:${column} ${message}`) };
};

test('YAML 1.2: yes and no are texts, numbers are numbers', () => {
  expect(parse('a: yes\nb: 0o17\nc: 1e3\nd: ~\ne: "1"\nf: true').value).toEqual({ a: 'yes', b: 15, c: 1_000, d: null, e: '1', f: true });
});

test('keys are texts as they are written', () => {
  expect(parse('1.10: a\ntrue: b').value).toEqual({ '1.10': 'a', true: 'b' });
});

test.each([
  ['a: 1\na: 2', '2:1 "a" is given twice'],
  ['a:\n\tb: 1', '2:1 this is not well-formed YAML: Tabs are not allowed as indentation'],
  ['a: "x', '1:6 this is not well-formed YAML: Missing closing quote'],
  ['a: b: c', /^1:4 this is not well-formed YAML/],
  ['a: !secret x', '1:4 this is not well-formed YAML: Unresolved tag: !secret'],
  ['a: !!binary aGk=', '1:13 this is no text, number, true or false'],
  ['a: *b', '1:4 there is no anchor &b before this alias'],
  ['a: &b [*b]', '1:8 there is no anchor &b before this alias'],
  ['a: 1\n...\nb: 2', '3:1 a second document begins here'],
  ['a: 1\n--- \nb: 2', '2:1 a second document begins here'],
  ['%YAML 1.1\n---\na: yes', '1:1 this file says that it is YAML 1.1'],
  ['? [x]\n: 1', '1:3 a key must be a word'],
  ['__proto__: { a: 1 }', '1:1 "__proto__" can not be a name'],
  ['a: { <<: 5 }', '1:10 "<<" takes an alias of a map'],
  ['', '1:1 the file is empty'],
  ['# only words', '1:1 the file is empty'],
  ['- a', '1:1 a spec is a map of keys and values'],
] as const)('%j', (text, fault) => {
  const { faults } = parse(text);
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatch(fault);
});

test('merge keys give what is not said otherwise', () => {
  expect(parse('a: &a { x: 1, y: 2 }\nb: { <<: *a, y: 3 }\nc: { <<: [*a, { z: 4 }] }').value).toMatchObject({
    b: { x: 1, y: 3 },
    c: { x: 1, y: 2, z: 4 },
  });
});

test('aliases that multiply are refused before they are followed', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 30; level += 1)
    lines.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
    );
  expect(parse(lines.join('\n')).faults).toEqual([expect.stringContaining('the aliases of this file multiply it beyond any use')]);
});

test('a text of brackets is one fault', () => {
  expect(parse(`a: ${'['.repeat(100)}${']'.repeat(100)}`).faults).toEqual(['1:68 nested more than 64 levels deep']);
  expect(parse('['.repeat(20_000)).faults).toHaveLength(1);
});

test('many mistakes are reported once for each line, and only so many', () => {
  expect(parse(Array(100).fill('a: b: c').join('\n')).faults).toHaveLength(20);
});

test.each([
  ['a: { b: 1\nc: 2', 'A { before this place is not closed: write the } that belongs to it.'],
  ['a: [b, c\nd: 2', 'A [ before this place is not closed: write the ] that belongs to it.'],
])('a bracket that is left open is called that, not an indentation: %s', (text, hint) => {
  expect(parseYaml('a.yaml', text).faults.map((fault) => fault.hint)).toContain(hint);
});
