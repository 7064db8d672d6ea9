/** Mistakes that only several controllers can make: in whose word counts, in who may serve, and in what the end of a lease proves. */
import type { Mutant } from './mutant.ts';

export const fleetMutants: readonly Mutant[] = [
  {
    name: 'one controller is a majority',
    breaks: 'The view of one controller, which may be the one that is cut off, decides.',
    regions: 3,
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/watch/verdict.ts',
        before: 'const needed = Math.floor(Math.max(controllers, counted.length) / 2) + 1;',
        after: 'const needed = Math.max(1, controllers - counted.length);',
      },
    ],
  },
  {
    name: 'the vote of whoever asks is counted twice',
    breaks: 'One controller out of three has two votes.',
    regions: 3,
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/control/fleet/fleet.ts',
        before: '    return tallyVotes(region, votes, view.members.length);',
        after: '    return tallyVotes(region, [...votes, ...votes.filter((each) => each.controller === controller)], view.members.length);',
      },
      {
        file: 'src/watch/verdict.ts',
        before: 'const needed = Math.floor(Math.max(controllers, counted.length) / 2) + 1;',
        after: 'const needed = Math.floor(controllers / 2) + 1;',
      },
    ],
  },
  {
    name: 'the last word of a controller that is gone counts on',
    breaks: 'A controller that died has a vote for ever, and it is the last that it gave.',
    regions: 3,
    caughtBy: ['I3'],
    edits: [
      { file: 'src/control/fleet/fleet.ts', before: "          ? 'it is gone'\n", after: '          ? undefined\n' },
      {
        file: 'src/control/fleet/fleet.ts',
        before: "          : 'it has not said anything yet';",
        after: '          : undefined;',
      },
    ],
  },
  {
    name: 'the majority is counted from those that answer',
    breaks: 'A minority that is alone with itself is a majority.',
    regions: 3,
    caughtBy: ['I3'],
    edits: [
      {
        file: 'src/watch/verdict.ts',
        before: 'const needed = Math.floor(Math.max(controllers, counted.length) / 2) + 1;',
        after: 'const needed = Math.floor((controllers > 0 ? counted.length : 0) / 2) + 1;',
      },
    ],
  },
  {
    name: 'promotes before the lease of the other side is over',
    breaks: 'A standby is promoted while the other region may still serve under its lease.',
    regions: 3,
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/control/primary/lease-proof.ts',
        before: '  if (lease.held) return { why: `${lease.holder} holds the lease of ${region}`, mayCome: true };\n',
        after: '',
      },
    ],
  },
  {
    name: 'a component that no guard covers is fenced by the end of the lease',
    breaks: 'The end of a lease is taken for a proof although nobody there acts when it ends.',
    regions: 3,
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/control/primary/lease-proof.ts',
        before:
          '  if (!recorded.record.components.includes(component)) return never(`the guard of ${region} does not cover ${component}`);\n',
        after: '',
      },
    ],
  },
  {
    name: 'the guard waits until the lease is long over',
    breaks: 'A region that lost its lease goes on serving while another one is promoted.',
    regions: 3,
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/control/primary/guard.ts',
        before:
          "    this.#deadlineMs = this.#state === 'armed' && token === this.#token ? Math.max(this.#deadlineMs, deadlineMs) : deadlineMs;",
        after: '    this.#deadlineMs = deadlineMs + 20_000;',
      },
      {
        file: 'src/control/primary/primary-keeper.ts',
        before: 'return Math.max(0, this.#deadlineMs - steadyMs(this.#parts.clock));',
        after: 'return Math.max(0, this.#deadlineMs + 20_000 - steadyMs(this.#parts.clock));',
      },
    ],
  },
  {
    name: 'the lease is given up before its region is fenced',
    breaks: 'The other region may promote while this one still acknowledges writes.',
    regions: 3,
    caughtBy: ['I1'],
    edits: [
      {
        file: 'src/control/primary/primary-keeper.ts',
        before: "    log.warn('primary.fencing', { region, why });\n    this.#lastReport = await this.#fence(why);",
        after:
          "    log.warn('primary.fencing', { region, why });\n    if (this.#lease) await this.#parts.store.releaseLease(this.#lease);\n    await this.#parts.clock.sleep(1_000);\n    this.#lastReport = await this.#fence(why);",
      },
    ],
  },
];
