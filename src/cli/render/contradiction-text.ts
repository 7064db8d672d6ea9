/** Where a spec contradicts itself: each pair with both of its lines. */
import type { Host } from '../../host/host.ts';
import { type Fault, formatFaults } from '../../spec/fault.ts';
import { readSpecSources } from '../../spec/load-spec.ts';
import type { Palette } from '../terminal.ts';

export async function contradictionLines(
  contradictions: readonly Fault[],
  files: readonly string[],
  host: Host,
  palette: Palette,
): Promise<readonly string[]> {
  if (contradictions.length === 0) return [];
  const sources = await readSpecSources(files, host);
  return ['', palette.warn('The spec contradicts itself:'), '', formatFaults(contradictions, sources), ''];
}
