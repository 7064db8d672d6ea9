/**
 * The way back of a region that fenced itself because its lease ran out, with nobody to take its place: while its controller holds the lease again, its stores are started again.
 *
 *   look      something is stopped behind a bar that the end of a lease put
 *   leave     the region is the active one, no bar stands before its lease, no execution is open but what makes another region its standby, and none that ended may have promoted another region
 *   mark      `returning` in the platform's record, by compare-and-swap on what the leave was read from: from then on no execution advances the epoch, and so none fences or promotes
 *   start     by the drivers, until the lease may be over
 *   unmark
 *
 * Invariants: nothing is started but between the mark and the end of the lease; what is still on its way when that ends is undone by the fence, for that puts a bar which the start does not
 * know. The mark of a lease that is over binds nobody. Where an answer is missing (a state, another site) nothing is started, and `waitsFor` says so.
 * When this process dies in between, the lease runs out, the guard fences, and whoever holds the lease next begins anew.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Lease, StateStore } from '../../contracts/state-store.ts';
import type { Clock, Log } from '../../host/host.ts';
import { beginReturn, endReturn } from '../../state/platform-state.ts';
import { primaryKeys, type ReturnWait } from './primary-records.ts';
import type { RegionFencer } from './region-fencer.ts';
import { readLeave } from './return-leave.ts';

export interface RegionReturnParts {
  readonly region: string;
  readonly store: StateStore;
  readonly fencer: RegionFencer;
  readonly clock: Clock;
  readonly log: Log;
  /** False: only where a person says so. */
  readonly byItself: boolean;
  /** By the keeper's clock, at this very moment. */
  readonly isHeld: () => boolean;
}

/** What a person asks for, and what became of it. */
export interface ReturnRequest extends JsonObject {
  readonly by: string;
  readonly atMs: number;
  readonly outcome?: 'done' | 'refused';
  readonly why?: string;
}

const pauseMs = { first: 1_000, most: 30_000 };

export class RegionReturn {
  readonly #parts: RegionReturnParts;
  #over = new AbortController();
  #attempt: Promise<void> | undefined;
  #isSettled = false;
  #nextAtMs = 0;
  #pauseMs = pauseMs.first;
  #waitsFor: string | undefined;

  constructor(parts: RegionReturnParts) {
    this.#parts = parts;
  }

  /** Why the region does not serve although it holds its lease; undefined where nothing is behind. */
  get waitsFor(): string | undefined {
    return this.#waitsFor;
  }

  /** The lease was taken: what an earlier one ended is looked for. */
  begin(): void {
    this.#over = new AbortController();
    this.#isSettled = false;
    this.#nextAtMs = 0;
    this.#pauseMs = pauseMs.first;
  }

  /** The lease may be over, or is given up: nothing is started any more. */
  end(): void {
    this.#over.abort(new Error('the lease is over'));
    this.#waitsFor = undefined;
  }

  /** The same, and nothing is on its way any more. */
  async ended(): Promise<void> {
    this.end();
    await this.#attempt;
  }

  /** Once in a turn of whoever holds the lease. Never rejects, and waits for nothing that takes long. */
  async turn(lease: Lease): Promise<void> {
    const { clock, log, region } = this.#parts;
    if (this.#attempt !== undefined || this.#over.signal.aborted) return;
    const request = await this.#readRequest().catch(() => undefined);
    if (request === undefined && (this.#isSettled || clock.monotonicMs() < this.#nextAtMs)) return;
    const over = this.#over.signal;
    this.#attempt = this.#try(lease, request, over)
      .catch((thrown: unknown) => this.#say(lease, asHoldfastError(thrown).message))
      .finally(() => {
        this.#attempt = undefined;
        this.#nextAtMs = clock.monotonicMs() + this.#pauseMs;
        this.#pauseMs = Math.min(2 * this.#pauseMs, pauseMs.most);
        if (this.#isSettled) log.debug('primary.return-settled', { region });
      });
  }

  async #try(lease: Lease, request: ReturnRequest | undefined, over: AbortSignal): Promise<void> {
    const { fencer, byItself } = this.#parts;
    const told = request !== undefined;
    const behind = await fencer.whatIsBehind(told);
    if (behind.length === 0) {
      this.#isSettled = true;
      await this.#say(lease, undefined);
      return await this.#answer(request, 'done', 'nothing of it is stopped behind a bar');
    }
    if (!told && !byItself)
      return await this.#say(lease, `${behind.join(', ')} was fenced, and serves again when a person says so (controllers.after-fence)`);
    const why = await this.#comeBack(lease, told, over);
    if (why === undefined) this.#isSettled = true;
    await this.#say(lease, why);
    await this.#answer(request, why === undefined ? 'done' : 'refused', why ?? `${behind.join(', ')} serves again`);
  }

  /** Why it does not serve yet; undefined once it does. */
  async #comeBack(lease: Lease, told: boolean, over: AbortSignal): Promise<string | undefined> {
    const { store, region, fencer, log } = this.#parts;
    const leave = await readLeave(store, region);
    if ('refused' in leave) return leave.refused;
    await beginReturn(store, leave.entry, { region, lease: lease.name, token: lease.token });
    try {
      if (over.aborted || !this.#parts.isHeld()) return 'its lease was over before anything was started';
      log.warn('primary.returning', { region, token: lease.token });
      const lacking = await fencer.comeBack({ epoch: leave.entry.state.epoch, told, signal: over, isHeld: this.#parts.isHeld });
      const left = Object.entries(lacking).map(([component, each]) => `${component}: ${each}`);
      if (left.length > 0) return left.join('; ');
      log.warn('primary.returned', { region, token: lease.token });
      return undefined;
    } finally {
      // With the state away it stands until the lease is over, and binds nobody then.
      await endReturn(store, lease.token).catch((thrown: unknown) =>
        log.warn('primary.return-mark-stays', { region, message: asHoldfastError(thrown).message }),
      );
    }
  }

  /** Said once, and left where `check` finds it. */
  async #say(lease: Lease, why: string | undefined): Promise<void> {
    const { log, region, store } = this.#parts;
    if (why === this.#waitsFor) return;
    this.#waitsFor = why;
    if (why !== undefined) log.warn('primary.return-waits', { region, why });
    const key = primaryKeys.waiting(region);
    const wait: ReturnWait = { token: lease.token, why: why ?? '' };
    await store
      .commit([why === undefined ? { kind: 'delete', key, expected: 'any' } : { kind: 'put', key, value: wait, expected: 'any', lease }])
      .catch((thrown: unknown) => log.warn('primary.return-wait-not-left', { region, message: asHoldfastError(thrown).message }));
  }

  async #readRequest(): Promise<ReturnRequest | undefined> {
    const request = (await this.#parts.store.get(primaryKeys.returning(this.#parts.region)))?.value as ReturnRequest | undefined;
    return request?.outcome === undefined ? request : undefined;
  }

  async #answer(request: ReturnRequest | undefined, outcome: 'done' | 'refused', why: string): Promise<void> {
    const { store, region } = this.#parts;
    if (request === undefined) return;
    await store.commit([{ kind: 'put', key: primaryKeys.returning(region), value: { ...request, outcome, why }, expected: 'any' }]);
  }
}
