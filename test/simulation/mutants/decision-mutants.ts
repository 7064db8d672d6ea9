/** Mistakes about whether a failover is due, or allowed: in verdicts, in their times, in what the target must be and may lack. */
import type { Mutant } from './mutant.ts';

export const decisionMutants: readonly Mutant[] = [
  {
    name: 'no cool-down',
    breaks: 'Failovers follow each other as fast as regions flap.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/decide.ts',
        before: 'if (input.changedAtMs !== undefined && nowMs - input.changedAtMs < policy.coolDownMs) {',
        after: 'if (input.changedAtMs !== undefined && nowMs < input.changedAtMs) {',
      },
    ],
  },
  {
    name: 'no grace',
    breaks: 'A process that restarts is taken for the loss of its region.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/watch/verdict.ts',
        before: "if (state === 'down' && against === undefined && nowMs - failingSinceMs >= policy.graceMs) lost += 1;",
        after: "if (state === 'down' && against === undefined) lost += 1;",
      },
    ],
  },
  {
    name: 'a standby that still receives is not asked',
    breaks: 'A primary that a controller can not reach, and that serves everybody else, is failed over.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/watch/verdict.ts',
        before: "if (state === 'down' && against === undefined && nowMs - failingSinceMs >= policy.graceMs) lost += 1;",
        after: "if (state === 'down' && nowMs - failingSinceMs >= policy.graceMs) lost += 1;",
      },
    ],
  },
  {
    name: 'the verdict is not confirmed before anything is touched',
    breaks: 'A failover goes on although its region has come back between the decision and the first step.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/verbs/confirm-verdict.ts',
        before: "if (verdict.state === 'lost')",
        after: "if (verdict.state !== 'unknown')",
      },
    ],
  },
  {
    name: 'the target need not be there',
    breaks: 'The old primary is fenced for the sake of a target that nobody has seen for long.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/watch/readiness.ts',
        before:
          "    if (observation?.health !== 'up') {\n      faults.push({\n        ...where,\n        message: `${component.name} in ${target} is not up:",
        after:
          '    if (observation === undefined) {\n      faults.push({\n        ...where,\n        message: `${component.name} in ${target} is not up:',
      },
    ],
  },
  {
    name: 'the loss budget is ignored',
    breaks: 'A failover that nobody approved throws away more than the spec allows.',
    caughtBy: ['I7'],
    edits: [
      { file: 'src/control/decide.ts', before: '} else if (lossMs > policy.lossBudgetMs) {', after: '} else if (lossMs < 0) {' },
      {
        file: 'src/control/verbs/check-target.ts',
        before: 'if (lossMs === undefined || lossMs > budgetMs) {',
        after: 'if (lossMs === undefined) {',
      },
    ],
  },
  {
    name: 'how long a site has failed is read from the clock on the wall, whose jumps nobody notices',
    breaks: 'A clock that is set forward ends the grace of a database that is merely starting again.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/clock-jumps.ts',
        before: 'if (Math.abs(offsetMs - this.#offsetMs) > jumpMs) {',
        after: 'if (offsetMs > Number.MAX_VALUE) {',
      },
      {
        file: 'src/watch/site-prober.ts',
        before: '    const monotonicMs = clock.monotonicMs();\n    const { kind } = reading.evidence;',
        after: '    const monotonicMs = atMs;\n    const { kind } = reading.evidence;',
      },
      {
        file: 'src/watch/site-prober.ts',
        before: 'return gapMs > 1.1 * everyMs + timeoutMs + lookSlackMs;',
        after: 'return gapMs > 1.1 * everyMs + timeoutMs + lookSlackMs + 1_000_000;',
      },
    ],
  },
  {
    name: 'looks from before a pause of the process count',
    breaks: 'A controller that wakes after a pause takes what it knew before for the present.',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/own-votes.ts',
        before: 'return observations.filter((observation) => observation.atMs >= oldestMs);',
        after: 'return observations.filter(() => oldestMs !== undefined);',
      },
      {
        file: 'src/watch/site-prober.ts',
        before: 'return gapMs > 1.1 * everyMs + timeoutMs + lookSlackMs;',
        after: 'return gapMs > 1.1 * everyMs + timeoutMs + lookSlackMs + 1_000_000;',
      },
    ],
  },
];
