import { expect, test } from 'vitest';
import { namedSchedules, scheduleFault, timeWindow, timezone } from './schedules.ts';

test('the named schedules and five-field patterns are taken', () => {
  for (const text of [...Object.keys(namedSchedules), '0 * * * *', '*/5 2-4 1,15 * MON-FRI', '0 4 * * 0'])
    expect(scheduleFault(text), text).toBeUndefined();
});

test('what is no schedule, or never comes, is said', () => {
  for (const text of ['', 'nightly', '* * * *', '* * * * * *', '61 * * * *', '2026-01-01', 'toString'])
    expect(scheduleFault(text), text).toMatch(/is not a schedule$/);
  expect(scheduleFault('0 0 30 2 *')).toBe('"0 0 30 2 *" never comes');
});

test('windows of time', () => {
  const window = timeWindow('');
  for (const text of ['Sat 02:00-06:00 UTC', 'Mon-Fri 22:00-24:00 Europe/Zurich', 'Mon,Wed-Thu 00:00-01:00', '22:00-02:00'])
    expect(window.safeParse(text).success, text).toBe(true);
  for (const text of ['', 'Sat', 'sat 02:00-06:00', '2:00-6:00', '02:00-25:00', 'Sat 02:00-06:00 Mars'])
    expect(window.safeParse(text).success, text).toBe(false);
});

test('time zones', () => {
  expect(timezone('').safeParse('Europe/Zurich').success).toBe(true);
  expect(timezone('').safeParse('Europe/Zurch').success).toBe(false);
});
