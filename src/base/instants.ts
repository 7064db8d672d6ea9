import { fail } from './errors.ts';

/** An instant for people and files, in UTC: `2026-11-20T10:00:00.123Z`. */
export function formatInstant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

const instantShape = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?(Z|[+-]\d{2}:?\d{2})$/;

/** `2026-11-20T10:00:00Z`, `2026-11-20 11:00:00.5+01:00` -> milliseconds. Anything else (no zone, `13am`, the 30th of February) is USAGE: a guess at an instant costs data. */
export function parseInstantMs(text: string): number {
  const match = instantShape.exec(text.trim());
  const refused = (why: string) =>
    fail('USAGE', {
      subject: text,
      message: `"${text}" is not an instant: ${why}`,
      hint: 'Write date, time and zone as ISO 8601 does: 2026-11-20T10:00:00Z, or 2026-11-20T11:00:00+01:00.',
    });
  if (!match)
    throw refused(
      /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?(\.\d+)?$/.test(text.trim())
        ? 'it has no time zone'
        : 'it is not written as a date, a time and a zone',
    );
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const fractionMs = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const asUtcMs = Date.UTC(year, month - 1, day, hour, minute, second, fractionMs);
  const back = new Date(asUtcMs);
  if (back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59)
    throw refused('there is no such date or time');
  const zone = match[8] as string;
  if (zone === 'Z') return asUtcMs;
  const [zoneHours, zoneMinutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (zoneHours > 14 || zoneMinutes > 59) throw refused('there is no such zone');
  return asUtcMs - (zone.startsWith('-') ? -1 : 1) * (zoneHours * 60 + zoneMinutes) * 60_000;
}

/** The time of day with milliseconds, in UTC, for screens that show one day: `10:00:00.123`. */
export function formatTimeOfDay(epochMs: number): string {
  return formatInstant(epochMs).slice(11, 23);
}

/** An instant as a header of HTTP writes it: `Sat, 21 Nov 2026 10:00:00 GMT`. Undefined where the text is none. */
export function parseHttpDateMs(text: string | undefined): number | undefined {
  const epochMs = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(epochMs) ? undefined : epochMs;
}

/** For clients of others that take no numbers. */
export function dateOf(epochMs: number): Date {
  return new Date(epochMs);
}

/** An instant as PostgreSQL's programs print it when TZ is UTC: `2026-11-20 10:00:00.123456`. NaN where the text is none. */
export function parseUtcTimestampMs(text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?/.exec(text);
  return match ? Date.parse(`${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(3, '0').slice(0, 3)}Z`) : Number.NaN;
}
