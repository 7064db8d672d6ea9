/**
 * Writes the numbered, timed row of one data store, one per period, at the site that takes writes, and remembers the newest one that was acknowledged.
 * After a disaster, what survives of these rows is the measured loss.
 *
 * Invariant: a number is never used twice for one component, also across restarts and regions: before the first row at a site the newest one there is read, and the numbers
 * go on above it and above what the state remembers; as long as it can't be read, nothing is written. A row counts as acknowledged only when the store said so in time; one
 * whose answer never came counts as neither written nor lost. A write that is given up is not waited for, also where a driver ignores its signal.
 * When the process dies, the remembered row is at most one period old.
 */
import { asHoldfastError } from '../base/errors.ts';
import type { Canary, CanaryRow } from '../contracts/driver.ts';
import type { Clock, Log } from '../host/host.ts';

/** How long a call under way may take to end when the watch does. */
const farewellMs = 1_000;

export interface AcknowledgedCanary extends CanaryRow {
  readonly region: string;
  /** When the acknowledgement was in. */
  readonly acknowledgedAtMs: number;
}

export interface CanaryWriterParts {
  readonly component: string;
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each acknowledged row, in order. */
  readonly onAcknowledged: (row: AcknowledgedCanary) => void;
  /** Told when a write was tried and not acknowledged. */
  readonly onRefused: (component: string, reason: string) => void;
}

interface Target {
  readonly region: string;
  readonly canary: Canary;
  readonly epoch: number;
}

export class CanaryWriter {
  readonly #parts: CanaryWriterParts;
  #target: Target | undefined;
  /** The target whose newest row was read. */
  #knownTarget: Target | undefined;
  /** The newest call of the driver; it may outlive its being listened to. */
  #atDriver: Promise<unknown> = Promise.resolve();
  #lastNumber: number;
  #acknowledged: AcknowledgedCanary | undefined;
  #cancelTimer: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  #abort = new AbortController();
  #stopped = false;

  /** @param known the newest row that the state remembers, so that numbers go on from there */
  constructor(parts: CanaryWriterParts, known: AcknowledgedCanary | undefined) {
    this.#parts = parts;
    this.#acknowledged = known;
    this.#lastNumber = known?.number ?? 0;
  }

  get acknowledged(): AcknowledgedCanary | undefined {
    return this.#acknowledged;
  }

  /** Raises the number to go on from: what a store was found to hold. */
  raiseNumber(number: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, number);
  }

  /** Points the writer at the site that takes writes from now on; undefined: write nowhere. A write under way elsewhere is given up. */
  aim(target: Target | undefined): void {
    if (this.#target?.region === target?.region && this.#target?.epoch === target?.epoch) return;
    this.#target = target;
    this.#abort.abort(new Error('the active region has changed'));
    this.#abort = new AbortController();
    if (target && !this.#stopped) this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#abort.abort(new Error('the watch has ended'));
    await this.#writing;
    // The site is closed after this: a call that is still under way could open a connection behind it.
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(farewellMs, resolve);
    await Promise.race([this.#atDriver, promise]);
    cancel();
  }

  /** Gives the call up when the signal is aborted, whatever the driver does about it. */
  #limited<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
    this.#atDriver = call.catch(() => undefined);
    return untilAborted(call, signal);
  }

  #schedule(inMs: number): void {
    this.#cancelTimer?.();
    if (this.#stopped || !this.#target) return;
    this.#cancelTimer = this.#parts.clock.after(inMs, () => void this.#turn());
  }

  /** One row; then the time of the next. A turn that comes while another is under way leaves it to that one's end. */
  async #turn(): Promise<void> {
    const target = this.#target;
    if (!target || this.#writing) return;
    const { clock, everyMs } = this.#parts;
    const startedAt = clock.monotonicMs();
    this.#writing = this.#writeOnce(target, this.#abort.signal);
    await this.#writing;
    this.#writing = undefined;
    this.#schedule(this.#target === target ? Math.max(0, everyMs - (clock.monotonicMs() - startedAt)) : 0);
  }

  async #writeOnce(target: Target, givenUp: AbortSignal): Promise<void> {
    const { clock, log, timeoutMs, component, onAcknowledged, onRefused } = this.#parts;
    const limit = new AbortController();
    const cancel = clock.after(timeoutMs, () => limit.abort(new Error('the store did not acknowledge in time')));
    const giveUp = () => limit.abort(givenUp.reason);
    givenUp.addEventListener('abort', giveUp, { once: true });
    try {
      if (this.#knownTarget !== target) {
        const found = await this.#limited(target.canary.read(limit.signal), limit.signal);
        this.raiseNumber(found?.number ?? 0);
        this.#knownTarget = target;
      }
      const row: CanaryRow = { number: this.#lastNumber + 1, atMs: clock.nowMs(), epoch: target.epoch };
      this.#lastNumber = row.number;
      await this.#limited(target.canary.write(row, limit.signal), limit.signal);
      this.#acknowledged = { ...row, region: target.region, acknowledgedAtMs: clock.nowMs() };
      onAcknowledged(this.#acknowledged);
    } catch (thrown) {
      // The probes judge the store's health; here it matters only that no row was acknowledged.
      const { message } = asHoldfastError(thrown);
      log.debug('canary.refused', { component, region: target.region, message });
      onRefused(component, message);
    } finally {
      cancel();
      givenUp.removeEventListener('abort', giveUp);
    }
  }
}

/** Rejects when the signal is aborted, whatever the work does about it: what it answers later is not listened to. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
