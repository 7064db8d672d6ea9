/**
 * Looks at one site again and again. Probes never overlap, also where a driver ignores its signal: then its silence is counted and no other look begins beside it. Each ends
 * by its time-out; the times between are moved a little at random so that many sites are not probed in step. A persistent connection that breaks is an observation at once, followed by a probe at once: the break alone does not say whether the server is gone or
 * only this connection.
 *
 * Keeps nothing durable: when the process dies, the next one looks anew.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Site } from '../contracts/driver.ts';
import type { Evidence, Observation, Reading } from '../contracts/observation.ts';
import type { Clock, Random } from '../host/host.ts';

/** A look that has not ended after so many time-outs is taken for lost by its driver: without this, one lost answer would mean silence for ever. */
const forgetAfterTimeouts = 10;
/** How long a look under way may take to end when the watch does. */
const farewellMs = 1_000;

/** How late a look may be on a machine that is busy. Later than that, this process itself stood still. */
const lookSlackMs = 1_000;
/** Between two looks at a site that is silent for longer than the time between looks. */
const leastPauseMs = 25;

export interface ProbePolicy {
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Time between probes of a site that is not up. */
  readonly failingEveryMs: number;
}

export interface ProberParts {
  readonly component: string;
  readonly region: string;
  readonly site: Site;
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: ProbePolicy;
  readonly onObservation: (observation: Observation) => void;
}

export class SiteProber {
  readonly #parts: ProberParts;
  #latest: Observation | undefined;
  #stopped = false;
  #probing: Promise<void> | undefined;
  #again = false;
  /** A look whose time is over and that has not ended. */
  #overdue: { readonly ended: Promise<unknown>; readonly sinceMonotonicMs: number } | undefined;
  /** When the first failed look of the row was begun, and when it had failed. */
  #failing: { readonly sinceMonotonicMs: number; readonly seenMonotonicMs: number } | undefined;
  #recordedMonotonicMs: number | undefined;
  #cancelTimer: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;
  readonly #abort = new AbortController();

  constructor(parts: ProberParts) {
    this.#parts = parts;
  }

  get latest(): Observation | undefined {
    return this.#latest;
  }

  start(): void {
    const { site, policy, random } = this.#parts;
    this.#unsubscribe = site.subscribe?.((evidence) => this.#connectionBroke(evidence));
    this.#schedule(random.next() * Math.min(policy.everyMs, 250));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#unsubscribe?.();
    this.#abort.abort(new Error('the watch has ended'));
    await this.#probing;
    await this.#letEnd();
  }

  /** The site is closed after this: a look that is still under way could open a connection behind it. */
  async #letEnd(): Promise<void> {
    if (!this.#overdue) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(farewellMs, resolve);
    await Promise.race([this.#overdue.ended, promise]);
    cancel();
  }

  /** Looks now; resolves when that look is done. A probe already under way is waited for and followed by another. */
  async probeNow(): Promise<Observation | undefined> {
    if (this.#probing) await this.#probing;
    if (this.#stopped) return this.#latest;
    this.#cancelTimer?.();
    await this.#run();
    return this.#latest;
  }

  #schedule(inMs: number): void {
    if (this.#stopped) return;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#parts.clock.after(inMs, () => void this.#run());
  }

  #connectionBroke(evidence: Evidence): void {
    if (this.#stopped) return;
    this.#record({ health: 'unknown', evidence }, 0);
    if (this.#probing) this.#again = true;
    else void this.#run();
  }

  #run(): Promise<void> {
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = undefined;
      const { policy, random } = this.#parts;
      if (this.#again) {
        this.#again = false;
        this.#schedule(0);
        return;
      }
      const jitter = 0.9 + 0.2 * random.next();
      if (this.#latest?.health === 'up') this.#schedule(policy.everyMs * jitter);
      // From beginning to beginning: the time that silence was waited for is not waited for once more.
      else this.#schedule(Math.max(leastPauseMs, policy.failingEveryMs * jitter - (this.#latest?.tookMs ?? 0)));
    });
    return this.#probing;
  }

  async #probe(): Promise<void> {
    const { clock, policy } = this.#parts;
    const startedAt = clock.monotonicMs();
    const limit = new AbortController();
    const stopped = Promise.withResolvers<undefined>();
    const stop = () => {
      limit.abort(this.#abort.signal.reason);
      stopped.resolve(undefined);
    };
    this.#abort.signal.addEventListener('abort', stop, { once: true });
    const late = Promise.withResolvers<Reading>();
    const cancel = clock.after(policy.timeoutMs, () => {
      limit.abort(new Error('the probe took too long'));
      late.resolve({ health: 'unknown', evidence: { kind: 'timeout', detail: `no answer within ${policy.timeoutMs} ms` } });
    });
    // The race guards against a driver that ignores its signal: it can't hold the loop up, nor the end of the watch.
    const reading = await Promise.race([this.#look(limit.signal), late.promise, stopped.promise]);
    cancel();
    this.#abort.signal.removeEventListener('abort', stop);
    if (reading && !this.#stopped) this.#record(reading, clock.monotonicMs() - startedAt);
  }

  async #look(signal: AbortSignal): Promise<Reading> {
    const { site, clock, policy } = this.#parts;
    const overdue = this.#overdue;
    if (overdue && clock.monotonicMs() - overdue.sinceMonotonicMs < forgetAfterTimeouts * policy.timeoutMs) await overdue.ended;
    // Given up while it waited for the earlier look: there is nobody left to answer to.
    if (signal.aborted) return { health: 'unknown', evidence: { kind: 'error', detail: 'the probe was given up' } };
    const answered = (async () => site.observe(signal))().catch(readingOfError);
    const mark = { ended: answered, sinceMonotonicMs: clock.monotonicMs() };
    this.#overdue = mark;
    const reading = await answered;
    if (this.#overdue === mark) this.#overdue = undefined;
    return reading;
  }

  /**
   * Counts a row of failures by what the evidence says: an answer ends the row, also one that keeps us out or makes no sense for a dead system; a probe that failed by itself
   * says nothing and leaves the row as it is. The row's beginning is kept by the steady clock, so that a jump of the wall clock neither ends a grace nor lengthens it. After a time
   * without looks (a suspended machine) a new row begins: what came before says nothing of the time between, in which the site may have been well.
   */
  #record(reading: Reading, tookMs: number): void {
    const { component, region, clock, onObservation, policy } = this.#parts;
    const atMs = clock.nowMs();
    const monotonicMs = clock.monotonicMs();
    const { kind } = reading.evidence;
    const ends = reading.health === 'up' || kind === 'answered' || kind === 'not-allowed';
    const before = this.#stoodStill(monotonicMs) ? 0 : (this.#latest?.failures ?? 0);
    this.#recordedMonotonicMs = monotonicMs;
    if (before === 0) this.#failing = undefined;
    const failures = ends ? 0 : before + (kind === 'error' ? 0 : 1);
    if (failures === 0) this.#failing = undefined;
    // What did not answer a question was gone when it was asked; a process that stood still meanwhile has not been waiting for it all the time.
    else this.#failing ??= { sinceMonotonicMs: monotonicMs - Math.min(tookMs, policy.timeoutMs), seenMonotonicMs: monotonicMs };
    const wallOf = (thenMonotonicMs: number) => Math.round(atMs - (monotonicMs - thenMonotonicMs));
    const observation: Observation = {
      ...reading,
      component,
      region,
      atMs,
      tookMs,
      failures,
      ...(this.#failing === undefined
        ? {}
        : { failingSinceMs: wallOf(this.#failing.sinceMonotonicMs), failureSeenMs: wallOf(this.#failing.seenMonotonicMs) }),
    };
    this.#latest = observation;
    onObservation(observation);
  }

  #stoodStill(monotonicMs: number): boolean {
    const { everyMs, timeoutMs } = this.#parts.policy;
    const gapMs = monotonicMs - (this.#recordedMonotonicMs ?? monotonicMs);
    return gapMs > 1.1 * everyMs + timeoutMs + lookSlackMs;
  }
}

function readingOfError(thrown: unknown): Reading {
  return { health: 'unknown', evidence: { kind: 'error', detail: asHoldfastError(thrown).message } };
}
