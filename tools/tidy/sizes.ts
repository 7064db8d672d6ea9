/** A file of more than 500 lines is wrong, one of more than 300 makes us uneasy: it is shown, so that it does not grow unseen. */
import type { Finding } from './finding.ts';
import type { SourceTree } from './source-tree.ts';

export const wrongAboveLines = 500;
export const uneasyAboveLines = 300;

export function checkSizes(tree: SourceTree): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of tree.sources) {
    if (path.endsWith('.generated.ts')) continue;
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
    if (lines > wrongAboveLines) {
      findings.push({ rule: 'sizes', severity: 'error', file: path, message: `${lines} lines; ${wrongAboveLines} is the limit` });
    } else if (lines > uneasyAboveLines) {
      findings.push({ rule: 'sizes', severity: 'note', file: path, message: `${lines} lines; more than ${uneasyAboveLines} is uneasy` });
    }
  }
  return findings;
}
