import { describe, expect, it } from 'vitest';
import { formatInstant, parseInstantMs } from './instants.ts';

describe('parseInstantMs', () => {
  it.each([
    ['2026-11-20T10:00:00Z', '2026-11-20T10:00:00.000Z'],
    ['2026-11-20 10:00Z', '2026-11-20T10:00:00.000Z'],
    ['2026-11-20T10:00:00.123456+01:00', '2026-11-20T09:00:00.123Z'],
    ['2026-11-20T10:00:00-0930', '2026-11-20T19:30:00.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
  ])('%s', (text, instant) => expect(formatInstant(parseInstantMs(text))).toBe(instant));
  it.each([
    ['13am', /not written as/],
    ['yesterday', /not written as/],
    ['2026-11-20', /not written as/],
    ['2026-11-20T10:00:00', /no time zone/],
    ['2026-11-20 10:00', /no time zone/],
    ['2026-02-30T10:00:00Z', /no such date/],
    ['2026-11-20T25:00:00Z', /no such date/],
    ['2026-11-20T10:60:00Z', /no such date/],
    ['2026-11-20T10:00:00+19:00', /no such zone/],
    ['1700000000', /not written as/],
    ['', /not written as/],
  ])('%s is refused, with a hint', (text, why) => {
    expect(() => parseInstantMs(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(why), hint: expect.stringMatching(/ISO 8601/) }),
    );
  });
});
