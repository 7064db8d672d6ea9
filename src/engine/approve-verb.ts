/**
 * The platform verb `approve` {count, reason}: done once so many different people have approved this step. It has no effect of its own; the journal holds the approvals,
 * so whoever takes the execution over counts the same ones.
 */
import type { JsonObject } from '../base/json.ts';
import type { Verb } from '../contracts/verbs.ts';
import type { Approval } from '../state/execution-state.ts';

/** Two spellings of one name are one person. */
export function sameName(left: string, right: string): boolean {
  return plainName(left) === plainName(right);
}

function plainName(name: string): string {
  return name.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase();
}

export function approveVerb(approvals: () => readonly Approval[], stepId: string): Verb {
  return {
    inspect: async (want: JsonObject) => {
      const names = new Map(
        approvals()
          .filter((one) => one.stepId === stepId)
          .map((one) => [plainName(one.by), one.by]),
      );
      const approvedBy = [...names.values()];
      // A count that can't be read must not count as enough.
      const count = typeof want.count === 'number' && want.count >= 0 ? want.count : Number.POSITIVE_INFINITY;
      if (approvedBy.length >= count) return { state: 'done', output: { approvedBy } };
      return { state: 'pending', why: `${approvedBy.length} of ${count} approvals have been given` };
    },
    apply: async () => {},
  };
}
