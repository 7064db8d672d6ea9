/** The mistakes that the simulator has to find. Each is one that somebody could make on a bad day; what guards against it twice is taken away in both places. */
import { fleetMutants } from './fleet-mutants.ts';
import type { Mutant } from './mutant.ts';

const mutantsOfOne: readonly Mutant[] = [
  {
    name: 'the fence is not waited for',
    caughtBy: ['I1', 'I4'],
    edits: [
      {
        file: 'src/plans/compile-failover.ts',
        before: 'after: [epochSet, fenced, ...endsOfNeeds(frame, component, ends)],',
        after: 'after: [epochSet, ...endsOfNeeds(frame, component, ends)],',
      },
    ],
  },
  {
    name: 'a server that merely stopped counts as fenced',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: "if (!state.barred) return 'it is stopped, but a start would bring up a primary';",
        after: '',
      },
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: '  await machine.bar({ timeoutMs: handsLookMs, signal });\n',
        after: '',
      },
    ],
  },
  {
    name: 'any look by hands is taken for a fence proof',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: 'if (state.processes > 0) return `${state.processes} of its processes run`;',
        after: '',
      },
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: "if (!state.barred) return 'it is stopped, but a start would bring up a primary';",
        after: '',
      },
    ],
  },
  {
    name: 'asynchronous replication is fenced as if it waited for a word',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/drivers/postgresql/cut-off.ts',
        before: "if (!needsAWord(lastKnown)) return 'it acknowledged writes without a standby';",
        after: "if (!needsAWord(lastKnown)) return ['east', 'west'].filter((region) => access.otherRegions().includes(region));",
      },
    ],
  },
  {
    name: 'a primary that comes back is fenced by the word that it will not get',
    caughtBy: ['liveness', 'I1'],
    edits: [
      {
        file: 'src/plans/compile-reprotect.ts',
        before: '    { survivors: [active], clean: false },\n',
        after:
          "    { survivors: [active], clean: false, lastKnown: { atMs: 0, synchronous: true, standbys: [`${component.replaceAll('-', '_')}_${active}`] } },\n",
      },
    ],
  },
  {
    name: 'the epoch is not advanced',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/state/platform-state.ts',
        before: '  if (state.epoch !== epoch - 1) {',
        after: '  if (state.epoch === epoch - 1) return;\n  if (state.epoch !== epoch - 1) {',
      },
      {
        file: 'src/control/verbs/epoch-verbs.ts',
        before: 'const own = entry !== undefined && entry.state.epoch === want.epoch && entry.state.epochOwner === context.executionId;',
        after: 'const own = entry !== undefined && context.executionId !== undefined;',
      },
    ],
  },
  {
    name: 'an old epoch is as good as a new one',
    caughtBy: ['I1', 'I3', 'I4'],
    edits: [
      {
        file: 'src/control/require-current.ts',
        before: 'if (state === undefined || state.epoch === madeForEpoch) return;',
        after: 'if (state === undefined || madeForEpoch > 0) return;',
      },
      { file: 'src/state/platform-state.ts', before: '  if (state.epoch !== epoch - 1) {', after: '  if (state.epoch < epoch - 1) {' },
      {
        file: 'src/drivers/postgresql/promote.ts',
        before: 'if (known && known.epoch > epoch) {',
        after: 'if (known && known.epoch > epoch + 1_000) {',
      },
    ],
  },
  {
    name: 'a plan is begun although another change came in between',
    caughtBy: ['I1', 'liveness'],
    edits: [
      {
        file: 'src/control/require-current.ts',
        before: 'if (state === undefined || state.epoch === madeForEpoch) return;',
        after: 'if (state === undefined || madeForEpoch > 0) return;',
      },
    ],
  },
  {
    name: 'the region becomes active before its store is promoted',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/plans/compile-failover.ts',
        before: '{ after: [epochSet, ...promoted, ...measured], why: `${to} is the active region from now on` },',
        after: '{ after: [epochSet], why: `${to} is the active region from now on` },',
      },
    ],
  },
  {
    name: 'no cool-down',
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
    name: 'a decision does not look for executions under way, nor claims the slot',
    caughtBy: ['I3'],
    edits: [
      { file: 'src/control/executions.ts', before: '  if (underWay)\n', after: "  if (underWay === '')\n" },
      { file: 'src/control/decide.ts', before: '  if (input.underWay)\n', after: "  if (input.underWay === '')\n" },
    ],
  },
  {
    name: 'the slot of an execution is taken without compare-and-swap',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/executions.ts',
        before: "{ kind: 'put', key: slotKey, value: { id }, expected: revision, ...(lease ? { lease } : {}) },",
        after: "{ kind: 'put', key: slotKey, value: { id }, expected: revision && 'any' },",
      },
    ],
  },
  {
    name: 'intents are lost on the way to the journal',
    caughtBy: ['I4'],
    edits: [
      {
        file: 'src/state/journal-writer.ts',
        before: '        await store.commit([...changes, ...batch.alongside]);',
        after:
          "        await store.commit([...changes.filter((_, place) => place === 0 || batch.events[place]?.event.type !== 'step-intent'), ...batch.alongside]);",
      },
    ],
  },
  {
    name: 'a change of unknown outcome counts as written',
    caughtBy: ['I4'],
    edits: [
      {
        file: 'src/state/journal-writer.ts',
        before: "        if (error.code === 'STATE_CONFLICT' || error.kind === 'unknown-outcome') {",
        after: "        if (error.kind === 'unknown-outcome') return;\n        if (error.code === 'STATE_CONFLICT') {",
      },
    ],
  },
  {
    name: 'acting does not wait for the intent to be durable',
    caughtBy: ['I4'],
    edits: [{ file: 'src/engine/step-attempt.ts', before: '      await intent;\n', after: '' }],
  },
  {
    name: 'who takes over applies without looking first',
    caughtBy: ['I4'],
    edits: [
      {
        file: 'src/engine/step-attempt.ts',
        before:
          '      const seen = await this.#call((context) => this.#parts.verb.inspect(this.#parts.want, context), this.#looking.signal);\n',
        after:
          "      const seen: Called<Awaited<ReturnType<Verb['inspect']>>> = this.#mayHaveTakenEffect && !this.#tried ? { kind: 'value', value: { state: 'absent', why: 'taken over' } } : await this.#call((context) => this.#parts.verb.inspect(this.#parts.want, context), this.#looking.signal);\n",
      },
    ],
  },
  {
    name: 'notes are not kept',
    caughtBy: ['I4'],
    edits: [
      {
        file: 'src/engine/step-attempt.ts',
        before: '        await this.#parts.recordNote(JSON.parse(JSON.stringify(note)) as Json);\n',
        after: '',
      },
    ],
  },
  {
    name: 'acting goes on after the lease of the execution is over',
    caughtBy: ['I4'],
    edits: [
      {
        file: 'src/engine/lease-keeper.ts',
        before: 'return !this.#over && this.#clock.monotonicMs() < this.#lease.validUntilMonotonicMs;',
        after: 'return true;',
      },
      {
        file: 'src/engine/lease-keeper.ts',
        before: '    if (this.#over) return;\n    this.stop();\n    this.#onLost(error);',
        after: '    if (this.#over || error) return;\n    this.stop();\n    this.#onLost(error);',
      },
    ],
  },
  {
    name: 'an execution that has ended keeps its mark',
    caughtBy: ['liveness'],
    edits: [
      {
        file: 'src/state/journal.ts',
        before: "    { kind: 'delete', key: journalKeys.open(id), expected: 'any' },\n  ];",
        after: '  ];',
      },
    ],
  },
  {
    name: 'executions that a dead runner left are not looked for',
    caughtBy: ['liveness'],
    edits: [{ file: 'src/engine/find-resumable.ts', before: 'if (lease?.held) continue;', after: 'if (lease !== undefined) continue;' }],
  },
  {
    name: 'a new primary waits for the standby that it was',
    caughtBy: ['liveness'],
    edits: [
      {
        file: 'src/drivers/postgresql/promote.ts',
        before:
          "return formatStandbyNames(access.context.replication === 'synchronous' ? regions.map((region) => access.member(region)) : []);",
        after:
          "return formatStandbyNames(access.context.replication === 'synchronous' ? [...regions, ...access.otherRegions()].map((region) => access.member(region)) : []);",
      },
    ],
  },
  {
    name: 'a password goes into what a step leaves behind',
    caughtBy: ['I8'],
    edits: [
      {
        file: 'src/drivers/postgresql/promote.ts',
        before: "return { state: 'done', output: outputOf(status) };",
        after: "return { state: 'done', output: { ...outputOf(status), dsn: `password=${access.address().password?.reveal()}` } };",
      },
    ],
  },
  {
    name: 'a wall clock that jumps is not noticed, and old looks count',
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/clock-jumps.ts',
        before: 'if (Math.abs(offsetMs - this.#offsetMs) > jumpMs) {',
        after: 'if (offsetMs > Number.MAX_VALUE) {',
      },
      {
        file: 'src/control/own-votes.ts',
        before: 'return observations.filter((observation) => observation.atMs >= oldestMs);',
        after: 'return observations.filter(() => oldestMs !== undefined);',
      },
    ],
  },
  {
    name: 'looks from before a pause of the process count',
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

export const mutants: readonly Mutant[] = [...mutantsOfOne, ...fleetMutants];
