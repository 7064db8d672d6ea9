/** A module of src says what it is for: in a comment at its top, or in the doc comment of its main export. */
import type { Finding } from './finding.ts';
import { isNode, type SourceFile, type SourceTree, type SyntaxNode } from './source-tree.ts';

export function checkOpenings(tree: SourceTree): Finding[] {
  return tree.sources
    .filter(({ path }) => path.startsWith('src/') && !path.endsWith('.test.ts') && !path.endsWith('.generated.ts'))
    .filter((source) => !opensWithComment(source) && !mainExportIsDocumented(source))
    .map(({ path }) => ({
      rule: 'openings',
      severity: 'error',
      file: path,
      message: 'says nowhere what it is for: open it with a comment, or give its main export a doc comment',
    }));
}

function opensWithComment({ text }: SourceFile): boolean {
  return /^(?:#![^\n]*\n)?\s*(?:\/\*|\/\/)/.test(text) && !/^\s*\/\/ ?(?:biome-ignore|@ts-)/.test(text);
}

function mainExportIsDocumented({ path, text, program }: SourceFile): boolean {
  const body = (program.body as readonly SyntaxNode[]).filter((node) => node.type === 'ExportNamedDeclaration' && isNode(node.declaration));
  const wanted = (path.split('/').at(-1) ?? '').replace(/\.ts$/, '').replaceAll('-', '').toLowerCase();
  const named = body.find((node) => exportedNames(node).some((name) => name.toLowerCase() === wanted));
  const main = named ?? body.find(({ declaration }) => /^(?:Class|Function)/.test((declaration as SyntaxNode).type)) ?? body[0];
  return main !== undefined && /\*\/\s*$/.test(text.slice(0, main.start));
}

function exportedNames(node: SyntaxNode): string[] {
  const declaration = node.declaration as SyntaxNode;
  const declared = Array.isArray(declaration.declarations) ? (declaration.declarations as SyntaxNode[]) : [declaration];
  return declared.flatMap(({ id }) => (isNode(id) && typeof id.name === 'string' ? [id.name] : []));
}
