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
const endsMost = 3;

export class Operator {
  readonly #platform: SimulatedPlatform;
  readonly #invariants: Invariants;
  readonly #controllers: Controllers;
  readonly #asked = new Map<string, number>();
  /** How many executions were ended because they could not go on. */
  #ended = 0;
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

  /** Nobody told them that something is being done already; and they think about its plan for so long. */
  interfere(kind: 'failover' | 'reprotect', thinksMs: number): void {
    const because = 'it looks bad';
    this.#order(kind === 'failover' ? { kind, acceptLoss: 'any', because } : { kind, because }, thinksMs);
  }

  /** One look, and what follows from it. `firmly`, once all is healed: what does not go on is a fault, and what nobody takes over is taken over by hand. */
  look(firmly: boolean): void {
    if (!this.#desk()) return;
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
    if (!firmly || this.#without <= 30) return;
    if (servers[otherRegion(active)].answers) this.#order({ kind: 'failover', acceptLoss: 'any', because: 'nothing takes writes' });
    else this.#standUp(active);
  }

  /** A region that fenced itself, and that nobody could take over from: its own server is made the primary again by hand. */
  #standUp(active: Region): void {
    const { fleet, servers, postgresql } = this.#platform;
    const server = servers[active];
    if (!fleet || !server.running || !this.#platform.mayServe(active)) return;
    this.did.push(`${Math.round(this.#platform.time.nowMs)} ${active} is made a primary again by hand`);
    server.kill();
    server.barred = false;
    server.settings = { ...server.settings, default_transaction_read_only: 'off', synchronous_standby_names: '' };
    server.start();
    postgresql.flow();
  }

  /** The machine from which something is ordered: beside the hands that it takes. */
  #desk(region?: Region) {
    const { draw } = this.#platform;
    const running = draw.localHands && region ? this.#controllers.at(region) : this.#controllers.current;
    return running?.control && !running.process.isStalled ? running : undefined;
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
    // What can't be done as things are is ended, and looked at anew: but not again and again.
    this.#ended += 1;
    if (this.#ended <= endsMost) this.#ask(header.id, { kind: 'abort', by: 'ann' });
    else this.#invariants.liveness(`${header.id} does not go on although all is healed and it was asked ${triesEach} times: ${error}`);
  }

  #ask(id: string, request: ExecutionRequest): void {
    this.did.push(`${Math.round(this.#platform.time.nowMs)} ${request.kind} ${id}`);
    const parts = this.#desk()?.control?.parts;
    // What can't be asked now is asked at the next look.
    if (parts) void putRequest(parts.store, parts.host, id, request).catch(() => undefined);
  }

  #order(request: PlanRequest, thinksMs = this.#chance.happens(this.#thinkShare) ? this.#chance.between(1_000, 30_000) : 0): void {
    const active = this.#invariants.mirror.platform?.activeRegion as Region;
    const control = this.#desk(otherRegion(active))?.control;
    if (!control) return;
    this.did.push(`${Math.round(this.#platform.time.nowMs)} ${request.kind}`);
    void makePlan(control, request)
      .then(async (plan) => {
        await this.#platform.time.sleep(thinksMs);
        await beginExecution(control, plan, 'ann');
      })
      // Refused, or somebody else began something: the next look tells.
      .catch((error: Error) => this.did.push(`refused: ${error.message}`));
  }
}
