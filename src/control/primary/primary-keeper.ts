/**
 * Holds the lease `primary/R` for the controller of region R, and with it the right of R's data stores to acknowledge writes.
 *
 *   idle     holds nothing. Takes the lease only where R is the active region and no bar stands before it, reads the bar once more afterwards, arms the guard, and only then writes down
 *            what the guard covers.
 *   held     renews, arms the guard up to `ttl` less a margin after the renewal was sent, looks for a bar, starts again what an earlier end of the lease has stopped. Leaves only by a
 *            fence, or by a farewell.
 *   fencing  the guard fences, and where it does not answer this process does; then the lease is given up.
 *   away     another process has taken the guard over: nothing is done any more, and nothing given up.
 *
 * Invariants: the lease is given up only after a proven fence, or after the record has been emptied under the lease (then nothing can rest on its end). The record names components only
 * while a guard is armed for that very token. Between the sending of a renewal and the deadline that it gives there is never more than `ttl` less the margin.
 * When this process dies or is frozen anywhere here, the guard's deadline passes and the region is fenced before the lease is over; a process that is started again in time finds the guard,
 * asks for the lease as the same holder, gets the same token, and goes on without a gap.
 */
import { assert } from '../../base/assert.ts';
import { asHoldfastError, fail, HoldfastError } from '../../base/errors.ts';
import type { Lease, StateStore } from '../../contracts/state-store.ts';
import type { Clock, Log } from '../../host/host.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import type { GuardLink } from './guard-link.ts';
import { type FenceReport, steadyMs } from './guard-messages.ts';
import { computeMarginMs, isTrialStale } from './lease-margin.ts';
import { type GuardRecord, guardRecordChange, primaryKeys, readBar, readGuardRecord } from './primary-records.ts';
import type { RegionFencer } from './region-fencer.ts';
import { RegionReturn } from './region-return.ts';
import { liftStaleBar } from './stale-bar.ts';
import { within } from './within.ts';

export interface PrimaryKeeperParts {
  readonly region: string;
  readonly ttlMs: number;
  readonly renewEveryMs: number;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Log;
  openGuard(): Promise<GuardLink>;
  /** This process's own hands, for when the guard is out of reach. */
  readonly fencer: RegionFencer;
  /** Guarded components that were seen as primaries here in looks later than the instant (of the wall clock). */
  primariesSince(atMs: number): readonly string[];
  /** Whether what an earlier end of a lease has stopped is started again without a person's word. */
  readonly returnsByItself: boolean;
  /** The name under which this machine holds the lease: another one after each change of the place where it is kept. */
  readonly holder: { read(): Promise<string | undefined>; ensure(): Promise<string> };
}

export type KeeperState = 'idle' | 'held' | 'fencing' | 'away';

/** How long the guard may take for a fence that it was told of, as a part of the margin, before this process fences as well. */
const guardShare = 0.25;
const releaseTimeoutMs = 1_000;
const retryPauseMs = 100;

export class PrimaryKeeper {
  readonly #parts: PrimaryKeeperParts;
  readonly #ending = new AbortController();
  #state: KeeperState = 'idle';
  #guard: GuardLink | undefined;
  #lease: Lease | undefined;
  #deadlineMs = 0;
  #marginMs = 0;
  /** By the steady clock: when the guard tried its hands last. */
  #triedAtMs = 0;
  /** What the guard that was armed last covers, and the record names. */
  #covered: readonly string[] = [];
  #opening: Promise<GuardLink> | undefined;
  /** The record that stands in the state is the one of this lease and this guard. */
  #isRecorded = false;
  /** As last read while the region was the active one. */
  #activeEpoch = 0;
  #isFirstTurn = true;
  /** Since when (wall clock) it is known that the region is not to serve. */
  #unwantedSinceMs: number | undefined;
  #turning: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #wake = () => {};
  #unwatch = () => {};
  #lastSaid = '';
  readonly #return: RegionReturn;

  constructor(parts: PrimaryKeeperParts) {
    this.#parts = parts;
    this.#return = new RegionReturn({
      ...parts,
      byItself: parts.returnsByItself,
      isHeld: () => this.#state === 'held' && this.#leftMs > 0,
    });
  }

  /** Why the region does not serve although its lease is held. */
  get waitsFor(): string | undefined {
    return this.#return.waitsFor;
  }

  get state(): KeeperState {
    return this.#state;
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** By the steady clock: until then the region may serve. */
  get deadlineMs(): number | undefined {
    return this.#state === 'held' ? this.#deadlineMs : undefined;
  }

  get lastReport(): FenceReport | undefined {
    return this.#lastReport;
  }
  #lastReport: FenceReport | undefined;

  start(): void {
    assert(this.#running === undefined, 'a keeper is started once');
    const { store, region, log, clock, renewEveryMs } = this.#parts;
    this.#unwatch = store.watch(primaryKeys.bar(region), () => this.#wake(), {
      // Each turn reads it as well.
      onError: (error) => log.warn('primary.bar-watch-lost', { message: error.message }),
    });
    this.#running = (async () => {
      while (!this.#ending.signal.aborted) {
        await this.turn();
        const { promise: woken, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await Promise.race([woken, clock.sleep(renewEveryMs, this.#ending.signal).catch(() => undefined)]);
      }
    })();
  }

  /** One look, and what follows from it. Never rejects. */
  turn(): Promise<void> {
    this.#turning ??= this.#turn().finally(() => {
      this.#turning = undefined;
    });
    return this.#turning;
  }

  /** The orderly end: whatever rests on this lease is ended first. Where that can't be done in time, the guard is left as it is and does its duty. */
  async stop(): Promise<void> {
    this.#ending.abort(fail('INTERRUPTED', { message: 'this process no longer serves' }));
    this.#unwatch();
    await this.#running;
    await this.#turning;
    const { log } = this.#parts;
    try {
      if (this.#state === 'held') await this.#look();
      if (this.#state === 'held') await this.#bidFarewell();
    } catch (thrown) {
      log.warn('primary.left-to-its-guard', { message: asHoldfastError(thrown).message });
    }
    this.#guard?.close();
  }

  async #turn(): Promise<void> {
    try {
      if (this.#state === 'held') await this.#keep();
      else if (this.#state === 'idle') await this.#consider();
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      this.#say(error.code === 'PRIMARY_TTL_TOO_SMALL' ? 'error' : 'warn', 'primary.turn-failed', `${error.code}: ${error.message}`);
    }
  }

  /** The same trouble is said once, not every second. */
  #say(level: 'info' | 'warn' | 'error', event: string, message: string): void {
    const said = `${event} ${message}`;
    if (said === this.#lastSaid) return;
    this.#lastSaid = said;
    this.#parts.log[level](event, { region: this.#parts.region, message });
  }

  // ---- idle

  async #consider(): Promise<void> {
    const inherits = this.#isFirstTurn && (await this.#parts.holder.read()) !== undefined;
    if (inherits) await this.#ensureGuard();
    this.#isFirstTurn = false;
    const standing = await this.#readStanding();
    if (standing !== 'wanted') {
      await this.#stayOut(standing);
      return;
    }
    this.#unwantedSinceMs = undefined;
    await this.#take();
  }

  /** `coming`: an execution leads here, and its record of the active region comes after the promotion. */
  async #readStanding(): Promise<'wanted' | 'barred' | 'elsewhere' | 'coming'> {
    const { store, region, ttlMs, clock } = this.#parts;
    const [bar, platform] = await within(clock, ttlMs, Promise.all([readBar(store, region), readPlatformState(store)]));
    if (bar) return 'barred';
    if (platform?.state.activeRegion === region) {
      // It went and came back while the lease was held: what is written down is of its earlier time.
      if (this.#activeEpoch !== (platform.state.activeEpoch ?? 0)) this.#isRecorded = false;
      this.#activeEpoch = platform.state.activeEpoch ?? 0;
      return 'wanted';
    }
    return platform?.state.headingTo === region ? 'coming' : 'elsewhere';
  }

  async #stayOut(standing: 'barred' | 'elsewhere' | 'coming'): Promise<void> {
    const { clock, fencer, log, region, store, ttlMs } = this.#parts;
    // A process before this one served here, and its guard still counts.
    if (this.#guard?.found.state === 'armed') {
      this.#covered = this.#guard.trial.covered;
      this.#lastReport = await this.#fence(`${region} is ${standing}`);
      log.warn('primary.fenced', this.#lastReport);
    }
    if (this.#guard) await this.#dismissGuard();
    if (standing === 'coming') {
      this.#unwantedSinceMs = undefined;
      return;
    }
    this.#unwantedSinceMs ??= clock.nowMs();
    if (standing === 'barred' && (await within(clock, ttlMs, liftStaleBar(store, region)))) {
      log.warn('primary.bar-lifted', { region });
      return;
    }
    const primaries = await this.#trespassers();
    if (primaries.length === 0) return;
    log.warn('primary.came-back', { region, components: [...primaries] });
    const evidence = await fencer.fence(primaries);
    log.warn('primary.fenced', { why: `${region} is ${standing}`, evidence });
    this.#unwantedSinceMs = clock.nowMs();
  }

  /**
   * Components that serve here although the region is not to. The standing is read once more after they were seen: an answer that was long on its way may be older than a promotion that is
   * all right, and a later one can't be.
   */
  async #trespassers(): Promise<readonly string[]> {
    const seen = this.#parts.primariesSince(this.#unwantedSinceMs ?? Number.POSITIVE_INFINITY);
    if (seen.length === 0) return [];
    const standing = await this.#readStanding();
    return standing === 'barred' || standing === 'elsewhere' ? seen : [];
  }

  async #take(): Promise<void> {
    const { store, region, ttlMs, clock, log } = this.#parts;
    const guard = await this.#ensureGuard();
    this.#takeMargin(guard);
    const inherited = guard.found.state === 'armed' ? guard.found : undefined;
    const holder = inherited ? inherited.holder : await this.#parts.holder.ensure();
    const sentMs = steadyMs(clock);
    const options = { outlivesProcess: true };
    const lease = await within(clock, ttlMs, store.acquireLease(primaryKeys.lease(region), holder, ttlMs, options));
    const deadlineMs = sentMs + ttlMs - this.#marginMs;
    // Read after the lease was taken: whoever puts a bar after this sees the lease held.
    const [standing, recorded] = await within(clock, ttlMs, Promise.all([this.#readStanding(), readGuardRecord(store, region)]));
    const served = inherited?.token === lease.token || recorded?.record.token === lease.token;
    this.#lease = lease;
    if (standing !== 'wanted' || steadyMs(clock) >= deadlineMs) {
      if (served) await this.#lose(`${region} is ${standing}`);
      else await this.#giveUp();
      return;
    }
    this.#covered = guard.trial.covered;
    try {
      await guard.arm(lease.token, holder, deadlineMs);
    } catch (thrown) {
      // It may have fenced under this very lease: the next one begins anew.
      if (served) await this.#lose(asHoldfastError(thrown).message);
      else await this.#giveUp();
      throw thrown;
    }
    this.#state = 'held';
    this.#deadlineMs = deadlineMs;
    this.#isRecorded = false;
    this.#lastSaid = '';
    this.#return.begin();
    await this.#record();
    log.info('primary.held', {
      region,
      token: lease.token,
      covered: [...guard.trial.covered],
      uncovered: { ...guard.trial.uncovered },
      marginMs: this.#marginMs,
    });
  }

  /** Where the newest trial leaves no room, the hands are tried again at the next turn. */
  #takeMargin(guard: GuardLink): void {
    try {
      this.#marginMs = computeMarginMs({ ...this.#parts, triedMs: guard.trial.tookMs });
    } catch (thrown) {
      this.#leaveGuard();
      throw thrown;
    }
  }

  /** It stays as it is, armed or not; opened anew, it tries its hands. */
  #leaveGuard(): void {
    this.#guard?.close();
    this.#guard = undefined;
  }

  async #ensureGuard(): Promise<GuardLink> {
    if (this.#guard?.end === 'gone') this.#guard = undefined;
    if (this.#guard) return this.#guard;
    // One at a time: who waited no longer for an earlier opening waits for the same one again.
    this.#opening ??= this.#parts.openGuard().finally(() => {
      this.#opening = undefined;
    });
    const guard = await this.#opening;
    if (this.#guard === guard) return guard;
    this.#guard = guard;
    this.#triedAtMs = steadyMs(this.#parts.clock);
    guard.onEnd((end) => {
      if (this.#guard !== guard) return;
      if (end === 'replaced') this.#goAway();
      this.#wake();
    });
    return guard;
  }

  #goAway(): void {
    this.#state = 'away';
    this.#return.end();
    this.#parts.log.error('primary.taken-over', {
      region: this.#parts.region,
      message: 'another process has taken this controller’s guard over: this one holds nothing any more',
    });
  }

  async #dismissGuard(): Promise<void> {
    await this.#guard?.dismiss().catch((thrown: unknown) => this.#say('warn', 'primary.guard-stays', asHoldfastError(thrown).message));
    this.#leaveGuard();
  }

  // ---- held

  get #leftMs(): number {
    return Math.max(0, this.#deadlineMs - steadyMs(this.#parts.clock));
  }

  async #keep(): Promise<void> {
    const { store, clock, ttlMs } = this.#parts;
    assert(this.#lease, 'what is held has a lease');
    if (this.#leftMs === 0) return await this.#lose('the lease was not renewed in time');
    const sentMs = steadyMs(clock);
    try {
      this.#lease = await within(clock, this.#leftMs, store.renewLease(this.#lease));
    } catch (thrown) {
      if (thrown instanceof HoldfastError && thrown.code === 'STATE_LEASE_LOST') return await this.#lose('the lease is lost');
      this.#say('warn', 'primary.not-renewed', asHoldfastError(thrown).message);
      if (this.#leftMs === 0) await this.#lose('the lease could not be renewed in time');
      return;
    }
    if (this.#leftMs === 0) return await this.#lose('the lease was renewed too late');
    if (isTrialStale(this.#marginMs, ttlMs, steadyMs(clock) - this.#triedAtMs)) this.#leaveGuard();
    if (!(await this.#arm(sentMs))) return;
    if (!this.#isRecorded) await within(clock, this.#leftMs, this.#record());
    await within(clock, this.#leftMs, this.#look());
    // What is started must be known to be covered by this lease.
    if (this.#state === 'held' && this.#isRecorded) await within(clock, this.#leftMs, this.#return.turn(this.#lease));
  }

  /** False where the lease is over for us. A guard that is gone is replaced while there is time. */
  async #arm(sentMs: number): Promise<boolean> {
    const { clock, log, region, ttlMs } = this.#parts;
    const lease = this.#lease as Lease;
    for (;;) {
      try {
        if (this.#guard === undefined || this.#guard.end === 'gone') {
          if (this.#guard) log.warn('primary.guard-gone', { region });
          this.#isRecorded = false;
          this.#guard = undefined;
          this.#takeMargin(await within(clock, this.#leftMs, this.#ensureGuard()));
        }
        const guard = this.#guard as unknown as GuardLink;
        const deadlineMs = sentMs + ttlMs - this.#marginMs;
        await guard.arm(lease.token, lease.holder, deadlineMs);
        this.#deadlineMs = deadlineMs;
        this.#covered = guard.trial.covered;
        return true;
      } catch (thrown) {
        if ((this.#state as KeeperState) === 'away') return false;
        const error = asHoldfastError(thrown);
        if (error.code === 'GUARD_TOO_LATE' || this.#leftMs === 0) {
          await this.#lose(error.message);
          return false;
        }
        log.warn('primary.guard-trouble', { region, code: error.code, message: error.message });
        // One that does not answer is taken for gone: opening ends it, and starts another.
        this.#leaveGuard();
        await clock.sleep(Math.min(retryPauseMs, this.#leftMs));
      }
    }
  }

  /** Bars, and changes of the active region. */
  async #look(): Promise<void> {
    const { region, clock, log, fencer } = this.#parts;
    const standing = await this.#readStanding();
    if (standing === 'wanted' || standing === 'coming') {
      this.#unwantedSinceMs = undefined;
      return;
    }
    if (standing === 'barred') return await this.#lose(`a bar stands before ${region}`);
    // A planned change has led away: its own fence and what follows it must not be disturbed. The lease goes once nothing is left to be fenced.
    this.#unwantedSinceMs ??= clock.nowMs();
    if ((await this.#trespassers()).length > 0) return await this.#lose(`${region} is not the active region, and serves`);
    const unfenced = await fencer.unfenced(this.#covered);
    if (unfenced.length > 0) return this.#say('info', 'primary.leaving', `${unfenced.join(', ')} not seen fenced yet`);
    log.info('primary.left', { region });
    await this.#bidFarewell();
  }

  async #record(components?: readonly string[]): Promise<void> {
    const { store, region, ttlMs, clock } = this.#parts;
    const guard = this.#guard as GuardLink;
    const lease = this.#lease as Lease;
    const before = await readGuardRecord(store, region);
    const record: GuardRecord = {
      token: lease.token,
      activeEpoch: this.#activeEpoch,
      components: components ?? this.#covered,
      uncovered: guard.trial.uncovered,
      ttlMs,
      marginMs: this.#marginMs,
      triedMs: guard.trial.tookMs,
      atMs: clock.nowMs(),
    };
    await store.commit([guardRecordChange(region, record, lease, before?.revision)]);
    this.#isRecorded = true;
  }

  /** First nothing may rest on the end of the lease, then the guard goes, then the lease. */
  async #bidFarewell(): Promise<void> {
    const { clock } = this.#parts;
    await within(clock, this.#leftMs, this.#return.ended());
    await within(clock, this.#leftMs, this.#record([]));
    assert(this.#guard, 'what is held has a guard');
    await this.#guard.dismiss();
    this.#leaveGuard();
    await this.#giveUp();
  }

  // ---- the end of a lease

  async #lose(why: string): Promise<void> {
    const { log, region } = this.#parts;
    this.#state = 'fencing';
    this.#return.end();
    log.warn('primary.fencing', { region, why });
    this.#lastReport = await this.#fence(why);
    log.warn('primary.fenced', { region, ...this.#lastReport });
    await this.#giveUp();
  }

  /** By the guard; by this process too where the guard has not done it at once. The first proof counts. */
  async #fence(why: string): Promise<FenceReport> {
    const { clock } = this.#parts;
    const over = new AbortController();
    const byGuard = this.#guard === undefined ? Promise.reject(fail('GUARD_LOST')) : this.#guard.fence(why);
    const guardFailed = byGuard.then(
      () => new Promise<void>(() => {}),
      () => undefined,
    );
    const ownTurn = Promise.race([
      guardFailed,
      clock.sleep(this.#marginMs * guardShare, over.signal).catch(() => new Promise<void>(() => {})),
    ]);
    const byUs = ownTurn.then(() => this.#fenceHere(why, over.signal));
    try {
      return await Promise.any([byGuard, byUs]);
    } finally {
      over.abort(new Error('it is fenced'));
    }
  }

  async #fenceHere(why: string, over: AbortSignal): Promise<FenceReport> {
    const { clock, fencer, log } = this.#parts;
    const beganMs = steadyMs(clock);
    for (;;) {
      try {
        const evidence = await fencer.fence(this.#covered);
        const doneAtMs = steadyMs(clock);
        return { why, doneAtMs, tookMs: Math.round(doneAtMs - beganMs), evidence };
      } catch (thrown) {
        log.error('primary.fence-failed', { message: asHoldfastError(thrown).message });
        await clock.sleep(retryPauseMs, over);
      }
    }
  }

  async #giveUp(): Promise<void> {
    const { store, clock } = this.#parts;
    const lease = this.#lease;
    this.#lease = undefined;
    this.#state = 'idle';
    // Not given up, it runs out by itself.
    if (lease)
      await within(clock, releaseTimeoutMs, store.releaseLease(lease)).catch((thrown: unknown) =>
        this.#say('warn', 'primary.not-released', asHoldfastError(thrown).message),
      );
  }
}
