const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A sortable id: `<prefix>-<10 characters of time><6 of chance>`, for example `failover-01jd3k9x2m7qf4rt`. Ids made later sort later
 * (to the millisecond). `random` gives a number in [0, 1).
 */
export function makeId(prefix: string, nowMs: number, random: () => number): string {
  let time = '';
  let rest = Math.floor(nowMs);
  for (let place = 0; place < 10; place += 1) {
    time = alphabet[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let chance = '';
  for (let place = 0; place < 6; place += 1) chance += alphabet[Math.floor(random() * 32)];
  return `${prefix}-${time}${chance}`;
}
