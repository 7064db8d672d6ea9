import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { computeCoverage, parseRequirements } from './requirement-coverage/compute-coverage.ts';
import { claimedRequirements, judgeTestEvidence } from './testing/test-evidence.ts';
import { closingLine, parseClosingLine } from './testing/test-results.ts';

const requirements = parseRequirements(
  [
    '| id | promise | evidence |',
    '| --- | --- | --- |',
    '| S5-22 | promotes | real |',
    '| X-03 | asks | logic |',
    '| E1-02 | never | stand-in |',
  ].join('\n'),
);
const passed = (file: string, name: string) => ({ file, name, state: 'passed' as const });

describe('coverage of requirements', () => {
  it.each([
    ['test/systems/a.test.ts', '[S5-22] promotes', 'real'],
    ['test/conformance/a.test.ts', 'PostgreSQL 15 > [S5-22] promotes', 'real'],
    ['test/conformance/a.test.ts', 'PostgreSQL (fake) > [S5-22] promotes', 'standIn'],
    ['test/conformance/a.test.ts', 'http-service, simulated > [S5-22] promotes', 'standIn'],
    ['src/drivers/a.test.ts', '[S5-22] promotes', 'standIn'],
    ['src/drivers/a.test.ts', 'promotes', 'none'],
  ])('%s "%s" shows it as %s', (file, name, status) => {
    expect(computeCoverage(requirements, [passed(file, name)]).ids['S5-22']?.status).toBe(status);
  });

  it('takes a test of the logic for the real thing only where logic was promised', () => {
    const coverage = computeCoverage(requirements, [passed('src/plans/a.test.ts', '[X-03, E1-02] asks')]);
    expect(coverage).toMatchObject({ total: 3, real: 1, standIn: 1, none: 1 });
    expect(coverage.ids['X-03']?.status).toBe('real');
    expect(coverage.ids['E1-02']?.status).toBe('standIn');
  });

  it('counts nothing as shown while a test that claims it fails, or was skipped', () => {
    const tests = [
      passed('test/systems/a.test.ts', '[S5-22] a'),
      { file: 'test/systems/a.test.ts', name: '[S5-22] b', state: 'failed' as const },
    ];
    expect(computeCoverage(requirements, tests).ids['S5-22']?.status).toBe('none');
    const skipped = [{ file: 'test/systems/a.test.ts', name: '[S5-22] b', state: 'skipped' as const }];
    expect(computeCoverage(requirements, skipped).ids['S5-22']?.status).toBe('none');
  });

  it('names ids that no requirement has', () => {
    expect(computeCoverage(requirements, [passed('a.test.ts', '[S9-99] x')]).unknown).toEqual(['S9-99']);
  });

  it('refuses a document with a faulty row', () => {
    expect(() => parseRequirements('| S1-01 | a | real |\n| S1-01 | b | real |')).toThrow('twice');
    expect(() => parseRequirements('| S1-01 | a | guesswork |')).toThrow('no kind of evidence');
    expect(() => parseRequirements('| S1-01 | | real |')).toThrow('a row is');
    expect(() => parseRequirements('nothing')).toThrow('no requirement');
  });
});

describe('names of tests', () => {
  it('claim what stands in square brackets, and only that', () => {
    expect(claimedRequirements('S1-01 [S5-22, X-01] and [E2-07](a) [S3-10(b)]')).toEqual(['S5-22', 'X-01', 'E2-07', 'S3-10']);
  });

  it('say by mark or place what a test is evidence of', () => {
    expect(judgeTestEvidence('src/a.test.ts', 'Redis (real) > x')).toBe('real');
    expect(judgeTestEvidence('test/end-to-end/a.test.ts', 'x')).toBe('real');
    expect(judgeTestEvidence('test/systems/a.test.ts', 'ledger (stand-in) > x')).toBe('stand-in');
    expect(judgeTestEvidence('test/simulation/a.test.ts', 'x')).toBe('logic');
  });
});

describe('the closing line', () => {
  it('has one form, which can be read back', () => {
    expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed');
    expect(closingLine({ passed: 12, failed: 1, skipped: 3 })).toBe('12 passed, 1 failed, 3 skipped');
    expect(parseClosingLine('12 passed, 1 failed, 3 skipped')).toEqual({ passed: 12, failed: 1, skipped: 3 });
    expect(parseClosingLine('12 passed')).toBeUndefined();
  });
});

describe('docs/requirements.md', () => {
  it('is whole', () => {
    const ids = parseRequirements(readFileSync(join(import.meta.dirname, '..', 'docs', 'requirements.md'), 'utf8')).map(({ id }) => id);
    const sizes = { 'S1-': 46, 'S2-': 50, 'S3-': 70, 'S4-': 64, 'S5-': 38, 'X-': 12, 'E1-': 12, 'E2-': 14, 'E3-': 19, 'E4-': 18, 'E5-': 7 };
    for (const [prefix, size] of Object.entries(sizes)) {
      const numbers = ids.filter((id) => id.startsWith(prefix)).map((id) => Number(id.slice(prefix.length)));
      expect(numbers, prefix).toEqual(Array.from({ length: size }, (_, index) => index + 1));
    }
  });
});
