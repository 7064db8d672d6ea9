/** The person behind the keyboard: asks a halted execution to go on, makes what is not protected a standby again, and when all else fails orders a failover by hand. */
import { beginExecution } from '../../src/control/executions.ts';
import { makePlan, type PlanRequest } from '../../src/control/make-plan.ts';
import { foldExecution } from '../../src/state/execution-state.ts';
import type { ExecutionRequest } from '../../src/state/journal-events.ts';
import { putRequest } from '../../src/state/requests.ts';
import type { Chance } from './chance.ts';
import type { Controllers } from './controllers.ts';
import type { Invariants } from './invariants.ts';
import { otherRegion, type Region, type SimulatedPlatform } from './simulated-platform.ts';
import type { MirroredExecution } from './state-mirror.ts';

const triesEach = 4;

export class Operator {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #controllers: Controllers;
  readonly #asked = new Map<string, number>();
  /** How many looks in a row nothing was there that takes writes. */
  #without = 0;
  readonly did: string[] = [];
  /** How likely they are to think about a plan before they say yes to it. */
  readonly #thinkShare: number;
  readonly #chance: Chance;

  constructor(platform: SimulatedPlatform, invariants: Invariants, controllers: Controllers, chance: Chance) {
    this.#chance = chance;
    this.#thinkShare = chance.pick([0, 0, 0.5]);
    this.#platform = platform;
    this.#invariants = invariants;
    this.#controllers = controllers;
  }

  /** Nobody told them that something is being done already. */
  interfere(): void {
    const { mirror } = this.#invariants;
    const active = mirror.platform?.activeRegion as Region | undefined;
    if (active === undefined || this.#platform.servers[active].answers) return;
    this.#order({ kind: 'failover', acceptLoss: 'any', because: 'it looks bad' });
  }

  /** One look, and what follows from it. `firmly`, once all is healed: what does not go on is a fault, and what nobody takes over is taken over by hand. */
  look(firmly: boolean): void {
    const running = this.#controllers.current;
    if (!running?.control || running.process.isStalled) return;
    const open = this.#invariants.mirror.open[0];
    const active = this.#invariants.mirror.platform?.activeRegion as Region | undefined;
    if (active === undefined) return;
    if (open) {
      this.#goOn(open, firmly);
      return;
    }
    const { servers } = this.#platform;
    if (servers[active].running && !servers[active].inRecovery) {
      this.#without = 0;
      if (!this.isProtected(active)) this.#order({ kind: 'reprotect', because: 'it is not protected' });
      return;
    }
    this.#without += 1;
    if (firmly && this.#without > 30) this.#order({ kind: 'failover', acceptLoss: 'any', because: 'nothing takes writes' });
  }

  isProtected(active: Region): boolean {
    const { postgresql, servers, draw } = this.#platform;
    const [primary, standby] = [servers[active], servers[otherRegion(active)]];
    if (!standby.inRecovery || standby.upstream !== primary) return false;
    return !draw.synchronous || postgresql.followersOf(primary).some((each) => primary.syncStateOf(each) === 'quorum');
  }

  #goOn(execution: MirroredExecution, firmly: boolean): void {
    const { header, events } = execution;
    const state = foldExecution(header, events);
    if (state.status === 'waiting-for-approval') {
      for (const by of ['ann', 'bob']) this.#ask(header.id, { kind: 'approve', by });
      return;
    }
    if (state.status !== 'failed') return;
    if (state.steps.some((step) => step.error?.code === 'EXECUTION_NOT_ALLOWED')) {
      // It was planned for how things were once: there is nothing to be retried.
      this.#ask(header.id, { kind: 'abort', by: 'ann' });
      return;
    }
    // While things still go wrong it may fail as often as it likes.
    const asked = firmly ? (this.#asked.get(header.id) ?? 0) + 1 : 0;
    this.#asked.set(header.id, asked);
    if (asked <= triesEach) {
      this.#ask(header.id, { kind: 'retry', by: 'ann' });
      return;
    }
    const error = state.steps.find((step) => step.error)?.error?.message;
    this.#invariants.liveness(`${header.id} does not go on although all is healed and it was asked ${triesEach} times: ${error}`);
  }

  #ask(id: string, request: ExecutionRequest): void {
    this.did.push(`${Math.round(this.#platform.time.nowMs)} ${request.kind} ${id}`);
    const parts = this.#controllers.current?.control?.parts;
    // What can't be asked now is asked at the next look.
    if (parts) void putRequest(parts.store, parts.host, id, request).catch(() => undefined);
  }

  #order(request: PlanRequest): void {
    const control = this.#controllers.current?.control;
    if (!control) return;
    this.did.push(`${Math.round(this.#platform.time.nowMs)} ${request.kind}`);
    const thinksMs = this.#chance.happens(this.#thinkShare) ? this.#chance.between(1_000, 30_000) : 0;
    void makePlan(control, request)
      .then(async (plan) => {
        await this.#platform.time.sleep(thinksMs);
        return beginExecution(control, plan, 'ann');
      })
      // Refused, or somebody else began something: the next look tells.
      .catch((error: Error) => this.did.push(`refused: ${error.message}`));
  }
}
