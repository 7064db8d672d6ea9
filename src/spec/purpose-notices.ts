/** The purposes of backups that have no policy, each with the line of the objective and that of what falls short of it. Pure. */
import { nearestWord } from '../base/nearest.ts';
import { findUnservedPurposes } from './backup-purposes.ts';
import { Contradictions } from './contradictions.ts';
import type { Fault, SpecPath } from './fault.ts';
import type { FaultCollector } from './fault-collector.ts';
import type { LocatedNode } from './located-node.ts';
import type { ComponentSpec, Objectives } from './spec.ts';

export function purposeNotices(
  root: LocatedNode,
  objectives: Objectives,
  components: ReadonlyMap<string, ComponentSpec>,
): readonly Fault[] {
  const notices = new Contradictions(root);
  for (const { component, purpose, entry, message, hint } of findUnservedPurposes(objectives, components)) {
    const own: SpecPath = ['components', component];
    const section = notices.has([...own, 'backup']) ? [...own, 'backup'] : own;
    notices.add(entry === undefined ? section : [...section, entry], message, ['objectives', 'backups', purpose], hint);
  }
  return notices.found;
}

/** A name that no component has would take its purpose away without a word. */
export function checkPurposes(collector: FaultCollector, objectives: Objectives, names: readonly string[]): void {
  for (const [purpose, { of = [] }] of objectives.backups ?? [])
    for (const [index, name] of of.entries()) {
      if (names.includes(name)) continue;
      const nearest = nearestWord(name, names);
      collector.add(
        ['objectives', 'backups', purpose, 'of', index],
        'value',
        `${purpose} is asked of "${name}", and there is no such component`,
        nearest === undefined ? `There are: ${names.join(', ')}.` : `Did you mean "${nearest}"?`,
      );
    }
}
