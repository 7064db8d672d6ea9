import { expect, it } from 'vitest';
import { compareVersions } from './versions.ts';

it('compares numbers, not texts, by as many parts as both have', () => {
  expect(compareVersions('3.4.9', '3.4.23')).toBeLessThan(0);
  expect(compareVersions('7.2', '7.0.15')).toBeGreaterThan(0);
  expect(compareVersions('7', '7.0.15')).toBe(0);
});
