/** An instant for people and files, in UTC: `2026-11-20T10:00:00.123Z`. */
export function formatInstant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** The time of day with milliseconds, in UTC, for screens that show one day: `10:00:00.123`. */
export function formatTimeOfDay(epochMs: number): string {
  return formatInstant(epochMs).slice(11, 23);
}
