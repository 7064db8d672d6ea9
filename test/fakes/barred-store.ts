/**
 * A data store on a simulated host, as a fence and a return see it: a bar with a word in it, and a server that comes up as what the bar makes of it. Commands run on the host: once begun they
 * come to their end, whatever becomes of the process that sent them.
 */
import { fail } from '../../src/base/errors.ts';
import type { Verb } from '../../src/contracts/verbs.ts';
import type { Clock } from '../../src/host/host.ts';

export interface StoreBreaks {
  /** A deliberate mistake: the bar is lifted whatever it says. */
  readonly liftAnyBar?: boolean;
}

export class BarredStore {
  runs: 'primary' | 'standby' | 'no';
  /** Undefined: none. Empty: of an execution. */
  bar: string | undefined;
  fencedAtMs: number | undefined;
  returns = 0;
  /** So long the command that lifts the bar is on its way. */
  liftingMs = 150;
  readonly #clock: Clock;
  readonly #fenceMs: number;
  readonly #breaks: StoreBreaks;
  #words = 0;

  constructor(clock: Clock, options: { readonly fenceMs: number; readonly serving: boolean; readonly breaks?: StoreBreaks }) {
    this.#clock = clock;
    this.#fenceMs = options.fenceMs;
    this.runs = options.serving ? 'primary' : 'no';
    this.bar = options.serving ? undefined : '';
    this.#breaks = options.breaks ?? {};
  }

  get serving(): boolean {
    return this.runs === 'primary';
  }

  /** Somebody starts it as a primary, whatever stands there; or ends it. */
  set serving(serves: boolean) {
    this.runs = serves ? 'primary' : 'no';
    this.bar = serves ? undefined : (this.bar ?? '');
  }

  /** As the host's own start does. */
  boot(): void {
    if (this.runs === 'no') this.runs = this.bar === undefined ? 'primary' : 'standby';
  }

  async #command(durationMs: number, work: () => void): Promise<void> {
    await this.#clock.sleep(durationMs);
    work();
  }

  #end(): void {
    if (this.runs === 'primary') this.fencedAtMs = this.#clock.monotonicMs();
    this.runs = 'no';
  }

  /** As an execution's hands do. */
  async seal(): Promise<void> {
    await this.#command(this.#fenceMs / 2, () => {
      this.bar = '';
    });
    await this.#command(this.#fenceMs / 2, () => this.#end());
  }

  /** What an execution's look takes for a proof. */
  get looksFenced(): boolean {
    return this.runs === 'standby' || (this.runs === 'no' && this.bar === '');
  }

  readonly fence: Verb = {
    inspect: async (_want, { note }) => {
      if (this.runs === 'primary') return { state: 'absent', why: 'it serves' };
      const done = { state: 'done', output: { evidence: 'it is stopped' } } as const;
      if (this.runs === 'standby' || this.bar === '') return done;
      return this.bar === (note as { word?: string } | undefined)?.word ? done : { state: 'absent', why: 'its bar could be lifted' };
    },
    apply: async (_want, context) => {
      this.#words += 1;
      const word = `lease ${this.#words}`;
      await this.#command(this.#fenceMs / 2, () => {
        if (this.bar !== '') this.bar = word;
      });
      await context.keepNote({ word });
      await this.#command(this.#fenceMs / 2, () => this.#end());
    },
  };

  readonly thaw: Verb = {
    inspect: async (want) => {
      if (this.runs === 'primary') return { state: 'done', output: {} };
      if (this.bar === undefined) return { state: 'unknown', why: 'nobody knows who stopped it' };
      if (this.bar === '' && want.told !== true) return { state: 'unknown', why: 'an execution has barred it' };
      return { state: 'absent', why: 'it is barred since its lease ran out' };
    },
    apply: async (want, context) => {
      let word = this.bar;
      await this.#command(50, () => {
        if (this.runs === 'standby') this.runs = 'no';
      });
      if (word === '' && want.told === true) {
        this.#words += 1;
        const own = `lease ${this.#words}`;
        await this.#command(50, () => this.#requireWord('', () => (this.bar = own)));
        word = own;
      }
      await context.keepNote({ lifting: word ?? '' });
      context.signal.throwIfAborted();
      await this.#command(this.liftingMs, () => this.#requireWord(word, () => (this.bar = undefined)));
      await this.#command(300, () => {
        if (this.runs !== 'no') return;
        this.boot();
        this.returns += 1;
      });
    },
  };

  #requireWord(word: string | undefined, then: () => void): void {
    if (this.runs !== 'no') throw fail('COMMAND_FAILED', { message: 'the server still runs' });
    if (this.bar !== word && this.#breaks.liftAnyBar !== true) throw fail('SYSTEM_REFUSED', { message: 'the bar was put anew' });
    then();
  }
}
