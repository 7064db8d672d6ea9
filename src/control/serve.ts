/**
 * The long-running process: watches, decides, acts, and goes on with executions that another process left behind.
 *
 * Invariant: it acts only by beginning an execution, and only while its lease holds. It may die between any two instructions: the next one starts from the state. With an embedded state
 * there is one such process, and a lease says which; where a state is shared, it is one of several (`fleet/`). A state that can't be reached for a while ends nothing: it goes on watching, and decides again once it can.
 */
import { asHoldfastError, fail, HoldfastError } from '../base/errors.ts';
import type { Lease } from '../contracts/state-store.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import { Archivers } from './backups/archivers.ts';
import { BackupScheduler } from './backups/backup-scheduler.ts';
import { keepScratchClean } from './backups/scratch-sweep.ts';
import type { Control } from './control.ts';
import type { Decision } from './decide.ts';
import { Decider } from './decider.ts';
import type { Fleet } from './fleet/fleet.ts';
import { Member } from './fleet/member.ts';
import { RunningExecutions, type RunningListeners } from './running-executions.ts';

const leaseTtlMs = 2_000;
const lookForWorkEveryMs = 500;

export interface ServeListeners extends RunningListeners {
  readonly onDecision?: (decision: Decision, verdict: RegionVerdict) => void;
}

export class Server {
  readonly #control: Control;
  readonly #signal: AbortSignal;
  readonly #executions: RunningExecutions;
  readonly #decider: Decider;
  readonly #scheduler: BackupScheduler;
  /** Ends what goes on for as long as this serves. */
  readonly #over = new AbortController();
  readonly #member: Member | undefined;
  #lease: Lease | undefined;

  constructor(control: Control, signal: AbortSignal, listeners: ServeListeners = {}) {
    this.#control = control;
    this.#signal = signal;
    this.#executions = new RunningExecutions(control, signal, listeners, () => void this.#decider.evaluate());
    const onBegun = (execution: string) => (control.fleet ? void this.#executions.begun(execution) : this.#executions.run(execution));
    this.#decider = new Decider({
      control,
      signal,
      mayAct: () => this.#mayAct,
      onDecision: (decision, verdict) => listeners.onDecision?.(decision, verdict),
      onBegun: (begun) => this.#executions.take(begun),
    });
    this.#scheduler = new BackupScheduler(control, { onBegun });
    this.#member = control.fleet && this.#memberOf(control.fleet);
  }

  #memberOf(fleet: Fleet): Member {
    const { region } = this.#control.parts;
    if (region === undefined) throw fail('REGION_NEEDED', { message: 'a controller of several was given no region' });
    return new Member({
      control: this.#control,
      fleet,
      region,
      signal: this.#signal,
      executions: this.#executions,
      decider: this.#decider,
      scheduler: this.#scheduler,
      archivers: (signal) => new Archivers(this.#control.backups, signal),
    });
  }

  /** Serves until the signal is aborted. STATE_LEASE_HELD (or REGION_CLAIMED) when another process serves in its place already. */
  async run(): Promise<void> {
    const { controller, host, region } = this.#control.parts;
    if (!this.#member) return this.#serveAlone();
    await this.#member.run(async () => {
      host.log.info('serve.started', { controller, region: region ?? null });
      await keepScratchClean(this.#control.backups, AbortSignal.any([this.#signal, this.#over.signal]));
    });
  }

  async #serveAlone(): Promise<void> {
    const { store, controller, host } = this.#control.parts;
    const archivers = new Archivers(this.#control.backups, AbortSignal.any([this.#signal, this.#over.signal]));
    this.#lease = await this.#acquire();
    const stopWatching = this.#control.watch.onChange(() => void this.#decider.evaluate());
    try {
      await this.#control.startWatching();
      host.log.info('serve.started', { controller });
      await keepScratchClean(this.#control.backups, AbortSignal.any([this.#signal, this.#over.signal]));
      while (!this.#signal.aborted) {
        await this.#turn(this.#lease, archivers);
        await host.clock.sleep(lookForWorkEveryMs, this.#signal).catch(() => undefined);
      }
    } finally {
      stopWatching();
      this.#over.abort(fail('INTERRUPTED', { message: 'this process no longer serves' }));
      this.#decider.stop();
      await Promise.allSettled([this.#executions.ended(), archivers.ended()]);
      // Not given back, it runs out by itself.
      await store
        .releaseLease(this.#lease)
        .catch((thrown) => host.log.warn('serve.lease-left', { message: asHoldfastError(thrown).message }));
    }
  }

  /** Only another process that serves this platform ends it; whatever else goes wrong with the state is tried again. */
  async #turn(lease: Lease, archivers: Archivers): Promise<void> {
    const { host } = this.#control.parts;
    try {
      this.#lease = await this.#keepLease(lease);
      await this.#executions.takeUp();
      await this.#decider.evaluate();
      await archivers.turn();
      await this.#scheduler.turn(() => this.#mayAct);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (this.#signal.aborted) return;
      if (error.code === 'STATE_LEASE_HELD') throw error;
      host.log.error('serve.turn-failed', { code: error.code, message: error.message });
    }
  }

  /** A process that was stopped for longer than its lease lasts takes it again, if nobody else has. */
  async #keepLease(lease: Lease): Promise<Lease> {
    const { store, host } = this.#control.parts;
    try {
      return await store.renewLease(lease);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'STATE_LEASE_LOST') throw thrown;
      host.log.warn('serve.lease-lost', { message: thrown.message });
      return this.#acquire();
    }
  }

  get #mayAct(): boolean {
    if (this.#member) return this.#member.leads;
    return this.#lease !== undefined && this.#control.parts.host.clock.monotonicMs() < this.#lease.validUntilMonotonicMs;
  }

  /** A controller that was killed a moment ago still has its lease for a short time: wait for it to run out, once. */
  async #acquire(): Promise<Lease> {
    const { store, controller, host } = this.#control.parts;
    const deadline = host.clock.monotonicMs() + 2 * leaseTtlMs;
    for (;;) {
      try {
        return await store.acquireLease('serve', controller, leaseTtlMs);
      } catch (thrown) {
        const held = thrown instanceof HoldfastError && thrown.code === 'STATE_LEASE_HELD';
        if (!held || host.clock.monotonicMs() > deadline || this.#signal.aborted) throw thrown;
        await host.clock.sleep(50, this.#signal).catch(() => undefined);
      }
    }
  }
}
