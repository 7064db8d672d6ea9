/**
 * The ways around the host that Biome's lint can't close: members of globals and of allowed modules. Everything outside comes in through `Host`; otherwise a
 * simulated run would not be the same each time.
 */
import type { Finding } from './finding.ts';
import { isNode, type SourceFile, type SourceTree, type SyntaxNode, visit } from './source-tree.ts';

const bannedMembers: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Math: { random: 'use Host.random' },
  Date: { now: 'use Host.clock' },
  crypto: { randomUUID: 'use Host.random', getRandomValues: 'use Host.random' },
  process: {
    env: 'take it as an argument; main.ts reads the environment',
    exit: 'return or throw; cli sets process.exitCode',
    abort: 'throw',
    kill: 'use Host.processes',
    hrtime: 'use Host.clock',
  },
};
const bannedNames: Readonly<Record<string, readonly string[]>> = {
  'node:crypto': ['randomUUID', 'randomBytes', 'randomInt', 'randomFillSync', 'randomFill', 'getRandomValues', 'webcrypto'],
};
const exempt = /^src\/(?:host\/node\/|(?:main|guard|wal-push)\.ts$)/;

export function checkDoors(tree: SourceTree): Finding[] {
  return tree.sources.filter(({ path }) => path.startsWith('src/') && !path.endsWith('.test.ts') && !exempt.test(path)).flatMap(checkFile);
}

function checkFile(source: SourceFile): Finding[] {
  const findings: Finding[] = [];
  const add = (line: number, message: string): void => {
    findings.push({ rule: 'doors', severity: 'error', file: source.path, line, message });
  };
  for (const { specifier, names, line } of source.imports) {
    if (specifier === 'node:process' || specifier === 'process')
      add(line, 'imports node:process: use the global where it is allowed, or Host');
    const module = specifier === 'crypto' ? 'node:crypto' : specifier;
    const banned = names.find((name) => bannedNames[module]?.includes(name));
    if (banned !== undefined) add(line, `imports ${banned}: use Host.random`);
  }
  visit(source.program, (node, parent) => {
    const message = judgeNode(node, parent);
    if (message !== undefined) add(source.lineAt(node.start), message);
  });
  return findings;
}

function judgeNode(node: SyntaxNode, parent: SyntaxNode | undefined): string | undefined {
  if (node.type === 'MemberExpression') {
    const { object, property } = node;
    const global = isNode(object) ? globalName(object) : undefined;
    const member = isNode(property) ? (property.name ?? property.value) : undefined;
    if (global === undefined || typeof member !== 'string') return undefined;
    const instead = bannedMembers[global]?.[member];
    return instead === undefined ? undefined : `${global}.${member}: ${instead}`;
  }
  // `const { env } = process` and `read(process)` would get around the rule above.
  if (node.type === 'Identifier' && node.name === 'process' && isPassedOn(node, parent)) {
    return 'process is passed on whole: name the member that is needed';
  }
  return undefined;
}

/** `Math`, also as `globalThis.Math`. */
function globalName(node: SyntaxNode): string | undefined {
  if (node.type === 'Identifier' && typeof node.name === 'string') return node.name;
  if (node.type !== 'MemberExpression' || !isNode(node.object) || !isNode(node.property)) return undefined;
  return node.object.name === 'globalThis' && typeof node.property.name === 'string' ? node.property.name : undefined;
}

/** Used as a value, not as the name of a member, a key, a parameter or a variable of its own. */
function isPassedOn(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  switch (parent?.type) {
    case 'VariableDeclarator':
      return parent.init === node && isNode(parent.id) && parent.id.type === 'ObjectPattern';
    default:
      return false;
  }
}
