import { fail } from './errors.ts';

const unitBytes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1_000,
  KiB: 1_024,
  MB: 1_000_000,
  MiB: 1_048_576,
  GB: 1e9,
  GiB: 1_073_741_824,
  TB: 1e12,
  TiB: 1_099_511_627_776,
};

/** `16MiB`, `1.5 GB`, `0B` -> bytes. Throws SPEC_INVALID on anything else. */
export function parseSizeBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)$/.exec(text.trim());
  if (!match) throw fail('SPEC_INVALID', { message: `"${text}" is not a size`, hint: 'Write a number with a unit: 512KiB, 16MiB, 1.5GB.' });
  return Math.round(Number(match[1]) * (unitBytes[match[2] as string] as number));
}

/** Bytes for people, in binary units: `0 B`, `1.5 KiB`, `16 MiB`. */
export function formatSize(sizeBytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `80%`, `99.9%` -> a share from 0 to 1. Throws SPEC_INVALID on anything else. */
export function parseShare(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim());
  const percent = match ? Number(match[1]) : Number.NaN;
  if (!(percent >= 0 && percent <= 100))
    throw fail('SPEC_INVALID', {
      message: `"${text}" is not a percentage`,
      hint: 'Write a number from 0 to 100 with a percent sign: 80%.',
    });
  return percent / 100;
}
