/**
 * Reads a tree's files once and parses its TypeScript, so that each rule is a function of what was read. Files come from the disk, not from git: a file that
 * nobody has committed yet is checked as well.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { parseAst } from 'vitest/node';

/** A node of the syntax tree (ESTree with TypeScript's nodes). */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface ImportOf {
  /** As written. */
  readonly specifier: string;
  /** Relative to the repository; undefined for packages and Node's own modules. */
  readonly target: string | undefined;
  readonly names: readonly string[];
  readonly line: number;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly program: SyntaxNode;
  readonly imports: readonly ImportOf[];
  lineAt(offset: number): number;
}

export interface SourceTree {
  /** Every file, as paths relative to the root with forward slashes. */
  readonly paths: readonly string[];
  /** The TypeScript among them. */
  readonly sources: readonly SourceFile[];
  /** Files that could not be parsed: `tsc` says why, and nothing else can be said of them. */
  readonly unparsed: readonly string[];
  readText(path: string): string;
}

const leftOut = new Set(['node_modules', '.git', '.cache', '.holdfast', 'coverage', 'reports', 'dist']);

export function readSourceTree(root: string): SourceTree {
  const paths = listFiles(root, '').sort();
  const sources: SourceFile[] = [];
  const unparsed: string[] = [];
  for (const path of paths.filter((each) => each.endsWith('.ts') && !each.endsWith('.d.ts'))) {
    const text = readFileSync(join(root, path), 'utf8');
    try {
      sources.push(parseSource(path, text));
    } catch {
      unparsed.push(path);
    }
  }
  return { paths, sources, unparsed, readText: (path) => readFileSync(join(root, path), 'utf8') };
}

function listFiles(root: string, folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (leftOut.has(entry.name)) continue;
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...listFiles(root, path));
    else if (entry.isFile()) found.push(path);
  }
  return found;
}

function parseSource(path: string, text: string): SourceFile {
  const program = parseAst(text, { lang: 'ts' }) as unknown as SyntaxNode;
  const lineStarts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lineStarts.push(at + 1);
  const lineAt = (offset: number) => {
    const next = lineStarts.findIndex((start) => start > offset);
    return next < 0 ? lineStarts.length : next;
  };
  return { path, text, program, lineAt, imports: findImports(path, program, lineAt) };
}

/** Every way a module can be named: import, export from, import(), and `typeof import()` in a type. */
function findImports(path: string, program: SyntaxNode, lineAt: (offset: number) => number): ImportOf[] {
  const found: ImportOf[] = [];
  visit(program, (node) => {
    const specifier = moduleNamedBy(node);
    if (specifier === undefined) return;
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
    found.push({ specifier, target, names: importedNames(node), line: lineAt(node.start) });
  });
  return found;
}

function moduleNamedBy(node: SyntaxNode): string | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return literalText(node.source ?? node.argument);
    default:
      return undefined;
  }
}

function literalText(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'TSLiteralType') return literalText(value.literal);
  return typeof value.value === 'string' ? value.value : undefined;
}

function importedNames(node: SyntaxNode): string[] {
  if (!Array.isArray(node.specifiers)) return [];
  return node.specifiers.flatMap((specifier: SyntaxNode) => {
    const { imported } = specifier;
    return isNode(imported) && typeof imported.name === 'string' ? [imported.name] : [];
  });
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

/** Calls back for the node and everything below it, parents before children. */
export function visit(node: SyntaxNode, callback: (node: SyntaxNode, parent: SyntaxNode | undefined) => void, parent?: SyntaxNode): void {
  callback(node, parent);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) visit(child, callback, node);
    }
  }
}
