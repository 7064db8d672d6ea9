/** No file imports itself by a detour; type imports count, for a cycle of types is still two modules that can't be understood apart. */
import type { Finding } from './finding.ts';
import type { SourceTree } from './source-tree.ts';

export function checkCycles(tree: SourceTree): Finding[] {
  const targets = new Map(tree.sources.map((source) => [source.path, new Set(source.imports.flatMap(({ target }) => target ?? []))]));
  const settled = new Set<string>();
  const findings: Finding[] = [];
  /** The way from where the search began to the file being looked at. */
  const trail: string[] = [];
  const look = (path: string): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const circle = [...trail.slice(start), path];
      findings.push({ rule: 'cycles', severity: 'error', file: path, message: `imports go in a circle: ${circle.join(' -> ')}` });
      return;
    }
    if (settled.has(path)) return;
    trail.push(path);
    for (const target of targets.get(path) ?? []) look(target);
    trail.pop();
    settled.add(path);
  };
  for (const path of targets.keys()) look(path);
  return findings;
}
