/** Code is named in kebab-case after what it holds. Words that would fit any file say nothing and are refused. */
import type { Finding } from './finding.ts';
import type { SourceTree } from './source-tree.ts';

const codeFolders = /^(?:src|test|tools|bench|examples|bin|deploy|web)\//;
const kebabCase = /^\.?[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/;
const emptyWords = new Set(['utils', 'util', 'helpers', 'helper', 'common', 'misc', 'manager', 'managers', 'service', 'services']);

/** Name parts that are right although they hold an empty word, and why. */
const allowed: Readonly<Record<string, string>> = {
  'http-service': 'the name of a driver: what users call a thing that answers over HTTP',
  'http-service.ts': 'starts that kind of thing for tests',
  'http-service-program.ts': 'the program that such a test starts',
  'http-service.test.ts': 'tests of that driver',
  'holdfast.service': 'systemd demands the ending',
};
/** File names that others have fixed. */
const fixedNames = new Set(['README.md', 'Dockerfile', 'Containerfile']);

export function checkNames(tree: SourceTree): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const path of tree.paths.filter((each) => codeFolders.test(each))) {
    const parts = path.split('/');
    parts.forEach((part, index) => {
      const file = parts.slice(0, index + 1).join('/');
      if (seen.has(file)) return;
      seen.add(file);
      const message = judgeName(part);
      if (message !== undefined) findings.push({ rule: 'names', severity: 'error', file, message });
    });
  }
  return findings;
}

function judgeName(part: string): string | undefined {
  if (fixedNames.has(part) || allowed[part] !== undefined) return undefined;
  if (!kebabCase.test(part)) return `"${part}" is not kebab-case`;
  const empty = part.split(/[-.]/).find((word) => emptyWords.has(word));
  return empty === undefined ? undefined : `"${empty}" says nothing: name it after what it holds`;
}
