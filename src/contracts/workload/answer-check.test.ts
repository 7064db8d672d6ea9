import { describe, expect, it } from 'vitest';
import { type AnswerExpectation, compileAnswerCheck } from './answer-check.ts';
import { compileJsonPath } from './json-path.ts';

const check = (expectation: AnswerExpectation, body: unknown, status = 200, type = 'application/json; charset=utf-8') =>
  compileAnswerCheck(expectation)({
    status,
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const everyComponent = { json: { 'components.*.status': 'healthy' } };

describe('an answer check', () => {
  it('wants the status 200 unless told', () => {
    expect(check({}, '')).toBeUndefined();
    expect(check({}, '', 503)).toBe('answered 503, not 200');
    expect(check({ status: [200, 204] }, '', 204)).toBeUndefined();
    expect(check({ status: 204 }, '', 200)).toBe('answered 200, not 204');
  });

  it('[S3-27] wants every component healthy', () => {
    expect(check(everyComponent, { components: { db: { status: 'healthy' }, cache: { status: 'healthy' } } })).toBeUndefined();
    expect(check(everyComponent, { components: { db: { status: 'healthy' }, cache: { status: 'checking...' } } })).toBe(
      'components.*.status is "checking...", not "healthy"',
    );
    expect(check(everyComponent, { components: { db: {} } })).toBe('the body has nothing at components.*.status');
    expect(check(everyComponent, { components: [] })).toBe('the body lists nothing at components.*.status');
    expect(check(everyComponent, { status: 'healthy' })).toBe('the body has nothing at components.*.status');
  });

  it('takes a page for no JSON, and a number for no text', () => {
    expect(check(everyComponent, '<html>ok</html>')).toBe('the body is not JSON: <html>ok</html>');
    expect(check(everyComponent, '')).toBe('the body is not JSON: it is empty');
    expect(check({ json: { n: '1' } }, { n: 1 })).toBe('n is 1, not "1"');
    expect(check({ json: { n: [1, null] } }, { n: null })).toBeUndefined();
  });

  it('looks at the content type and for a text', () => {
    expect(check({ 'content-type': 'application/json' }, '{}')).toBeUndefined();
    expect(check({ 'content-type': 'application/json' }, '{}', 200, 'text/html')).toBe(
      'answered with content type "text/html", not application/json',
    );
    expect(check({ contains: 'ready' }, 'I am ready.')).toBeUndefined();
    expect(check({ contains: 'ready' }, 'starting')).toBe('the body does not contain "ready": starting');
  });
});

describe('a JSON path', () => {
  it('follows names, numbers and every member', () => {
    expect(compileJsonPath('a.1.b')({ a: [{}, { b: 2 }] })).toEqual([2]);
    expect(compileJsonPath('a.*')({ a: [1, 2] })).toEqual([1, 2]);
    expect(compileJsonPath('a.*')({ a: 'text' })).toEqual([undefined]);
    expect(compileJsonPath('constructor.name')({})).toEqual([undefined]);
  });
});
