/** The project speaks only of itself: no place on somebody's machine, no registry's address, and in src no work left for later. */
import type { Finding } from './finding.ts';
import type { SourceTree } from './source-tree.ts';

const text =
  /\.(?:ts|tsx|js|mjs|json|md|sh|ya?ml|toml|txt|html|css|service|conf)$|(?:^|\/)(?:run|holdfast|Containerfile|Dockerfile|LICENSE|\.npmrc|\.gitignore)$/;
const machinePath = /(?<![\w.~-])\/(?:work|root)\/[\w.-]*/;
const registryAddress = /https?:\/\/[\w.-]*(?:registry|artifactory|nexus|verdaccio|npmjs|pypi|mirror)[\w.:-]*/i;
const speaksOfRegistries = /(?:^|\/)(?:package-lock\.json|README\.md|\.npmrc)$/;
const unfinished = /\b(?:TODO|FIXME|XXX|HACK)\b/;

export function checkWording(tree: SourceTree): Finding[] {
  const findings: Finding[] = [];
  for (const file of tree.paths.filter((path) => text.test(path))) {
    tree
      .readText(file)
      .split('\n')
      .forEach((line, index) => {
        const add = (rule: Finding['rule'], message: string): void => {
          findings.push({ rule, severity: 'error', file, line: index + 1, message });
        };
        const path = machinePath.exec(line);
        if (path) add('wording', `"${path[0]}" is a path of one machine`);
        const address = speaksOfRegistries.test(file) ? registryAddress.exec(line) : null;
        if (address) add('wording', `"${address[0]}" is the address of a registry`);
        const word = file.startsWith('src/') ? unfinished.exec(line) : null;
        if (word) add('unfinished', `${word[0]}: finish it, or say in an issue what is missing`);
      });
  }
  return findings;
}
