/** Mistakes about who may acknowledge writes: in fences, in promotions, and in the epochs that keep one from the next. */
import type { Mutant } from './mutant.ts';

export const fenceMutants: readonly Mutant[] = [
  {
    name: 'the fence is not waited for',
    breaks: 'A standby is promoted while the former primary may still acknowledge writes: two primaries.',
    caughtBy: ['I1', 'I4'],
    edits: [
      {
        file: 'src/plans/compile-failover.ts',
        before: 'after: [epochSet, fenced, ...endsOfNeeds(frame, component, ends)],',
        after: 'after: [epochSet, ...endsOfNeeds(frame, component, ends)],',
      },
      {
        file: 'src/plans/compile-failover.ts',
        before: "...(fenced ? { fence: { $from: fenced, field: 'proof' } } : {})",
        after: '',
      },
    ],
  },
  {
    name: 'a server that merely stopped counts as fenced',
    breaks: 'A server that was down when it was fenced comes up again as a primary beside the promoted one.',
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: "if (!state.barred) return 'it is stopped, but a start would bring up a primary';",
        after: '',
      },
      {
        file: 'src/drivers/postgresql/fence.ts',
        before: "if (stranger !== undefined) throw fail('SYSTEM_WRONG_IDENTITY', { message: stranger });",
        after: 'if (state) return state;',
      },
    ],
  },
  {
    name: 'any look by hands is taken for a fence proof',
    breaks: 'A primary that runs, or that a start would bring back, passes for fenced as soon as its host answers.',
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
    breaks: 'A primary that needs no standby to acknowledge is left alone beside the promoted one.',
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
    breaks: 'Re-protection leaves the former primary running with writes that nobody has, and can then neither salvage nor rewind it.',
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
    breaks: 'Two primaries follow each other under one epoch: nothing tells the old one from the new one.',
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
    breaks: 'A plan made before another change promotes or fences for a situation that is over.',
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
    breaks: 'A plan that a person thought about too long acts on roles that a failover has exchanged meanwhile.',
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
    breaks: 'The state names a region as active whose database still follows, so that whatever goes by it is led astray.',
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
    name: 'a new primary waits for the standby that it was',
    breaks: 'The promoted primary asks for the word of a standby that is gone, and acknowledges nothing.',
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
];
