/**
 * `npm run tidy`: what neither the compiler nor the linter checks. Layers and cycles of imports, sizes, names, ways around the host, words. Exit code 1 when
 * anything is wrong; notes fail nothing.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkCycles } from './tidy/cycles.ts';
import { checkDoors } from './tidy/doors.ts';
import { type Finding, formatFinding } from './tidy/finding.ts';
import { checkLayers, type Layers } from './tidy/layers.ts';
import { checkNames } from './tidy/names.ts';
import { checkOpenings } from './tidy/openings.ts';
import { checkSizes } from './tidy/sizes.ts';
import { readSourceTree } from './tidy/source-tree.ts';
import { checkWording } from './tidy/wording.ts';

const ownRoot = resolve(import.meta.dirname, '..');

/** Everything there is to say about the tree, errors first. */
export function tidy(root: string): Finding[] {
  const tree = readSourceTree(root);
  const layers = JSON.parse(readFileSync(join(ownRoot, 'tools', 'layers.json'), 'utf8')) as Layers;
  const findings = [
    ...checkLayers(tree, layers),
    ...checkCycles(tree),
    ...checkNames(tree),
    ...checkDoors(tree),
    ...checkWording(tree),
    ...checkOpenings(tree),
    ...checkSizes(tree),
    ...tree.unparsed.map((file): Finding => ({ rule: 'sizes', severity: 'error', file, message: 'is not TypeScript that can be parsed' })),
  ];
  return findings.toSorted((a, b) => (a.severity === b.severity ? 0 : a.severity === 'error' ? -1 : 1));
}

function main(): void {
  const root = resolve(process.argv[2] ?? ownRoot);
  const findings = tidy(root);
  for (const finding of findings)
    process.stdout.write(`${finding.severity === 'error' ? 'wrong  ' : 'uneasy '}${formatFinding(finding)}\n`);
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  process.stdout.write(errors === 0 ? 'tidy: nothing is wrong\n' : `tidy: ${errors} things are wrong\n`);
  process.exitCode = errors === 0 ? 0 : 1;
}

if (import.meta.main) main();
