/**
 * Imports inside src point downwards only: to a strictly smaller rank of tools/layers.json or within the same folder. Adapters (drivers and their like) also stay
 * below the core, and each system's folder stays alone, save for the few that are listed as shared by some of them. Tests beside the code may reach wherever they need.
 */
import type { Finding } from './finding.ts';
import type { SourceFile, SourceTree } from './source-tree.ts';

export interface Layers {
  readonly ranks: Readonly<Record<string, number>>;
  readonly adapters: {
    readonly folders: readonly string[];
    readonly highestRank: number;
    readonly onlyImportedBy: readonly string[];
    /** Folders beside the systems' that no core sees: what several systems have in common because one server stands behind them. */
    readonly shared?: readonly { readonly folder: string; readonly why: string; readonly onlyImportedBy: readonly string[] }[];
  };
  readonly guarded: readonly { readonly folder: string; readonly why: string; readonly onlyImportedBy: readonly string[] }[];
}

export function checkLayers(tree: SourceTree, layers: Layers): Finding[] {
  const findings: Finding[] = [];
  for (const source of tree.sources) {
    if (!source.path.startsWith('src/') || source.path.endsWith('.test.ts')) continue;
    const layer = layerOf(source.path);
    if (layers.ranks[layer] === undefined) {
      findings.push(error(source, undefined, `"${layer}" has no rank in tools/layers.json`));
      continue;
    }
    for (const { target, specifier, line } of source.imports) {
      if (target === undefined) continue;
      const message = judgeImport(source.path, target, layers);
      if (message !== undefined) findings.push(error(source, line, `imports ${specifier}: ${message}`));
    }
  }
  return findings;
}

function error(source: SourceFile, line: number | undefined, message: string): Finding {
  return { rule: 'layers', severity: 'error', file: source.path, ...(line === undefined ? {} : { line }), message };
}

/** The folder below src, or the file's name for those that lie directly in src. */
function layerOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** The folder of one system: `drivers/redis`. */
function adapterOf(path: string): string {
  return path.split('/').slice(1, 3).join('/');
}

/** Why the import is wrong, or undefined when it is right. */
function judgeImport(from: string, to: string, layers: Layers): string | undefined {
  if (!to.startsWith('src/')) return 'src imports nothing of the repository outside src';
  const { adapters, ranks } = layers;
  const [fromLayer, toLayer] = [layerOf(from), layerOf(to)];
  const [fromRank, toRank] = [ranks[fromLayer], ranks[toLayer]];
  if (fromRank === undefined || toRank === undefined) return `"${toLayer}" has no rank in tools/layers.json`;
  const guard = layers.guarded.find(({ folder }) => to.startsWith(`src/${folder}/`) && !from.startsWith(`src/${folder}/`));
  if (guard && !guard.onlyImportedBy.includes(fromLayer)) return `only ${guard.onlyImportedBy.join(' and ')} may. ${guard.why}`;
  if (fromLayer === toLayer) {
    // A file that lies beside the systems' folders chooses among them, as the registry does for drivers.
    const chooses = from.split('/').length === 3;
    if (!adapters.folders.includes(fromLayer) || chooses || adapterOf(from) === adapterOf(to)) return undefined;
    if (adapters.shared?.some((each) => each.folder === adapterOf(to) && each.onlyImportedBy.includes(adapterOf(from)))) return undefined;
    return `${adapterOf(from)} and ${adapterOf(to)} are different systems and must not know each other`;
  }
  if (adapters.folders.includes(fromLayer) && toRank > adapters.highestRank) {
    return `${fromLayer} may import ranks 0 to ${adapters.highestRank} only, and ${toLayer} has rank ${toRank}`;
  }
  if (adapters.folders.includes(toLayer) && !adapters.onlyImportedBy.includes(fromLayer)) {
    return `only ${adapters.onlyImportedBy.join(' and ')} may import from ${toLayer}`;
  }
  if (toRank >= fromRank) return `${fromLayer} (rank ${fromRank}) may not import from ${toLayer} (rank ${toRank})`;
  return undefined;
}
