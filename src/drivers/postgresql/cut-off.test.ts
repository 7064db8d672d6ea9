import { expect, test } from 'vitest';
import type { Access } from './access.ts';
import { regionsToCut } from './cut-off.ts';

const access = { otherRegions: () => ['west'], member: () => 'orders_west' } as unknown as Access;
const settings = { synchronousStandbys: ['orders_west'], synchronousNeeded: 1, synchronousCommit: 'on' };

test('a primary last seen in the moment in which its standby had just gone is judged by its settings', () => {
  expect(regionsToCut(access, { lastKnown: { atMs: 1, synchronous: false, standbys: [], ...settings } })).toEqual(['west']);
});

test.each([
  ['it needs nobody', { ...settings, synchronousNeeded: 0, synchronousStandbys: [] }],
  ['it does not wait', { ...settings, synchronousCommit: 'local' }],
  ['it does not wait at all', { ...settings, synchronousCommit: 'off' }],
])('no proof when %s', (_why, facts) => {
  expect(regionsToCut(access, { lastKnown: { atMs: 1, synchronous: true, standbys: ['orders_west'], ...facts } })).toBe(
    'it acknowledged writes without a standby',
  );
});

test('no proof when it may count on a stranger, or when nothing is known', () => {
  expect(regionsToCut(access, { lastKnown: { atMs: 1, synchronous: true, standbys: [], ...settings, synchronousStandbys: ['*'] } })).toBe(
    'it may count on *, which is none of our sites',
  );
  expect(regionsToCut(access, {})).toBe('nothing is known of how it acknowledged writes');
});
