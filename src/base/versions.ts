/** Versions of programs, as numbers between dots. */

/** Negative where the left one is older, by as many parts as both have. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [left.split('.').map(Number), right.split('.').map(Number)];
  for (let part = 0; part < Math.min(a.length, b.length); part += 1) {
    const difference = (a[part] as number) - (b[part] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
