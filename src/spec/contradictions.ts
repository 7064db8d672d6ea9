/** Gathers pairs of places of a spec that can't both be meant. None is a fault, for somebody may want it so; each is shown with both of its lines. */
import type { Fault, SpecPath } from './fault.ts';
import { describePlace, faultAt } from './fault-collector.ts';
import { type LocatedNode, nodeAt, placeAt } from './located-node.ts';

export class Contradictions {
  readonly found: Fault[] = [];
  readonly #root: LocatedNode;

  constructor(root: LocatedNode) {
    this.#root = root;
  }

  has(path: SpecPath): boolean {
    return nodeAt(this.#root, path) !== undefined;
  }

  /** The notice is shown at the first place, and names the other. */
  add(path: SpecPath, message: string, other: SpecPath, hint: string): void {
    const otherPlace = placeAt(this.#root, other, 'value');
    const { file, line, column, path: otherPath } = faultAt(otherPlace, other, '', '');
    this.found.push({
      ...faultAt(placeAt(this.#root, path, 'value'), path, message, `${hint} (The other one is in ${describePlace(otherPlace)}.)`),
      other: { file, line, column, path: otherPath },
    });
  }
}
