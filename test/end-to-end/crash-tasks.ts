/** Which boundaries a sweep visits: all of them, or every k-th one, chosen from how many commits an undisturbed run made. Pure. */
import type { Crash } from './crashing-store.ts';
import { type Kind, kinds } from './trial.ts';

export interface TaskChoice {
  /** 1: all. */
  readonly every: number;
  readonly offset: number;
}

/** About so many, spread evenly. The stride is odd, so that "before" and "after" take turns. */
export function chooseSample(commits: Readonly<Record<Kind, number>>, sample: number, seed: number): TaskChoice {
  const total = 2 * kinds.reduce((sum, kind) => sum + commits[kind], 0);
  const stride = Math.max(1, Math.floor(total / Math.max(1, sample)));
  const every = stride % 2 === 0 ? stride - 1 : stride;
  return { every, offset: seed % every };
}

export class CrashTasks {
  readonly #choice: TaskChoice;
  readonly #waiting = new Map<Kind, Crash[]>();
  readonly #last = new Map<Kind, number>();

  constructor(commits: Readonly<Record<Kind, number>>, choice: TaskChoice) {
    this.#choice = choice;
    let place = choice.offset;
    for (const kind of kinds) {
      const chosen: Crash[] = [];
      for (let commit = 1; commit <= commits[kind]; commit += 1) {
        for (const moment of ['before', 'after'] as const) {
          if (place % choice.every === 0) chosen.push({ moment, commit });
          place += 1;
        }
      }
      this.#waiting.set(kind, chosen);
      this.#last.set(kind, commits[kind]);
    }
  }

  get left(): number {
    return [...this.#waiting.values()].reduce((sum, each) => sum + each.length, 0);
  }

  has(kind: Kind): boolean {
    return (this.#waiting.get(kind)?.length ?? 0) > 0;
  }

  take(kind: Kind): Crash | undefined {
    return this.#waiting.get(kind)?.shift();
  }

  /** The journal was longer this time than it was in the undisturbed run: there is at least one more boundary. */
  reached(kind: Kind, crash: Crash): void {
    const last = this.#last.get(kind) ?? 0;
    if (this.#choice.every !== 1 || crash.commit < last) return;
    this.#last.set(kind, last + 1);
    this.#waiting.get(kind)?.push({ moment: 'before', commit: last + 1 }, { moment: 'after', commit: last + 1 });
  }
}
