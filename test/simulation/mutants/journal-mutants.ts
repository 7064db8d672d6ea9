/** Mistakes about what is done once and by one: in slots, in the journal, in leases of executions, and in what is written down. */
import type { Mutant } from './mutant.ts';

export const journalMutants: readonly Mutant[] = [
  {
    name: 'a decision does not look for executions under way, nor claims the slot',
    breaks: 'Two executions change the same platform at once.',
    caughtBy: ['I3'],
    edits: [
      { file: 'src/control/executions.ts', before: '  if (underWay)\n', after: "  if (underWay === '')\n" },
      { file: 'src/control/decide.ts', before: '  if (input.underWay)\n', after: "  if (input.underWay === '')\n" },
    ],
  },
  {
    name: 'the slot of an execution is taken without compare-and-swap',
    breaks: 'Of two controllers that begin at the same moment, both do.',
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
    breaks: 'Whoever takes over does not know what was begun.',
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
    breaks: 'The journal has holes: what was not written is gone, and whoever takes over repeats it.',
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
    breaks: 'A controller that dies has promoted a server, and nobody can know.',
    caughtBy: ['I4'],
    edits: [{ file: 'src/engine/step-attempt.ts', before: '      await intent;\n', after: '' }],
  },
  {
    name: 'who takes over applies without looking first',
    breaks: 'An effect that was there already is brought about again.',
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
    breaks: 'Whoever takes over does not know how far a step had come, such as from where a salvage has to read.',
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
    breaks: 'Two controllers execute the same plan.',
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
    breaks: 'An execution that has ended is found again and again as one to be resumed.',
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
    breaks: 'A failover whose controller died stays where it was for ever.',
    caughtBy: ['liveness'],
    edits: [{ file: 'src/engine/find-resumable.ts', before: 'if (lease?.held) continue;', after: 'if (lease !== undefined) continue;' }],
  },
  {
    name: 'a password goes into what a step leaves behind',
    breaks: 'A password stands in the journal.',
    caughtBy: ['I8'],
    edits: [
      {
        file: 'src/drivers/postgresql/promote.ts',
        before: "return { state: 'done', output: outputOf(status) };",
        after: "return { state: 'done', output: { ...outputOf(status), dsn: `password=${access.address().password?.reveal()}` } };",
      },
    ],
  },
];
