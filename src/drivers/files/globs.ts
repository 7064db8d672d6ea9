/**
 * Patterns of paths. `*` and `?` stay within a name, `**` goes across directories, `{a,b}` is one or the other; everything else is itself. Pure.
 */
export function patternOf(glob: string): RegExp {
  let source = '';
  let depth = 0;
  for (let at = 0; at < glob.length; at += 1) {
    const sign = glob[at] as string;
    if (glob.startsWith('**/', at)) {
      source += '(?:[^/]+/)*';
      at += 2;
    } else if (glob.startsWith('**', at)) {
      source += '.*';
      at += 1;
    } else if (sign === '*') source += '[^/]*';
    else if (sign === '?') source += '[^/]';
    else if (sign === '{') {
      depth += 1;
      source += '(?:';
    } else if (sign === '}' && depth > 0) {
      depth -= 1;
      source += ')';
    } else if (sign === ',' && depth > 0) source += '|';
    else source += sign.replace(/[.+^$()|[\]\\{}]/g, '\\$&');
  }
  return new RegExp(`^${source}${')'.repeat(depth)}$`, 's');
}

export type PathFilter = (path: string) => boolean;

/** A pattern that is met by a directory is met by everything below it. */
export function pathFilter(include: readonly string[] | undefined, exclude: readonly string[] | undefined): PathFilter {
  const wanted = include?.map(patternOf);
  const unwanted = (exclude ?? []).map(patternOf);
  return (path) => (wanted === undefined || matchesAny(wanted, path)) && !matchesAny(unwanted, path);
}

function matchesAny(patterns: readonly RegExp[], path: string): boolean {
  if (patterns.length === 0) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    const part = path.slice(0, end);
    if (patterns.some((pattern) => pattern.test(part))) return true;
  }
  return false;
}
