/**
 * The order of test files: within each group those that take longest begin first, so that none of them is left alone at the end. On a fresh clone there is no record of how long files
 * took, and the size of a file says little: one that runs a whole suite for each version of a server is a few lines long.
 */
import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification, type Vitest } from 'vitest/node';

/** @param longest paths relative to the repository, longest first; all others follow in the usual order */
export function longestFirst(longest: readonly string[]): new (context: Vitest) => BaseSequencer {
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      const rankOf = ({ moduleId }: TestSpecification): number => {
        const rank = longest.indexOf(relative(this.ctx.config.root, moduleId));
        return rank < 0 ? longest.length : rank;
      };
      const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
      return (await super.sort(files)).toSorted((left, right) => groupOf(left) - groupOf(right) || rankOf(left) - rankOf(right));
    }
  };
}
