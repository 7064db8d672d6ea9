import { fail } from './errors.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `1h30m`, `250ms`, `0s` -> milliseconds. Throws SPEC_INVALID on anything else (a bare number has no unit: refused). */
export function parseDurationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text.trim()) {
    throw fail('SPEC_INVALID', {
      message: `"${text}" is not a duration`,
      hint: 'Write a number with a unit: 250ms, 10s, 5m, 1h30m, 7d, 2w.',
    });
  }
  const totalMs = parts.reduce((sum, part) => sum + Number(part[1]) * (unitMs[part[2] as string] as number), 0);
  return Math.round(totalMs);
}

/** Milliseconds for people: `0.4 s`, `12 s`, `5 min 3 s`, `2 h 10 min`, `3 d 4 h`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 0) return `-${formatDuration(-durationMs)}`;
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 10_000) return `${(durationMs / 1_000).toFixed(2)} s`;
  const totalSeconds = Math.round(durationMs / 1_000);
  if (totalSeconds < 60) return `${totalSeconds} s`;
  const two = (major: number, majorUnit: string, minor: number, minorUnit: string) =>
    minor === 0 ? `${major} ${majorUnit}` : `${major} ${majorUnit} ${minor} ${minorUnit}`;
  if (totalSeconds < 3_600) return two(Math.floor(totalSeconds / 60), 'min', totalSeconds % 60, 's');
  if (totalSeconds < 86_400) return two(Math.floor(totalSeconds / 3_600), 'h', Math.floor((totalSeconds % 3_600) / 60), 'min');
  return two(Math.floor(totalSeconds / 86_400), 'd', Math.floor((totalSeconds % 86_400) / 3_600), 'h');
}
