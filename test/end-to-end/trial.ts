/**
 * One change of the platform by a controller that may be killed on the way and is then started again; and what came of it, seen from outside and in the journal.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { OrdersClient } from '../../examples/demo/orders-client.ts';
import { type RegionName, regionNames } from '../../examples/demo/region.ts';
import type { TwoRegions } from '../../examples/demo/two-regions.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Plan } from '../../src/plans/plan.ts';
import { type Execution, listExecutions, loadExecution } from '../../src/state/journal.ts';
import { readPlatformState } from '../../src/state/platform-state.ts';
import { readSiteRecords } from '../../src/watch/watch-records.ts';
import { findMissingOrders, isAccepted } from './acknowledged-orders.ts';
import { type ControllerProcess, startController } from './controller-process.ts';
import type { Acknowledgement, Crash, CrashLine } from './crashing-store.ts';
import { computeEffects, computeEndState, type Effects, type EndState } from './end-state.ts';
import { lookFromOutside, type OutsideView } from './outside-view.ts';

export const kinds = ['failover', 'reprotect', 'failback', 'switchover'] as const;
export type Kind = (typeof kinds)[number];

export interface TrialRequest {
  readonly kind: Kind;
  readonly crash?: Crash;
  /** The journal of the controller that is killed is not durable. */
  readonly forget?: boolean;
  /** What an undisturbed run came to: waited for, for a moment, before the look from outside counts. */
  readonly expected?: EndState;
}

export interface TrialResult {
  readonly kind: Kind;
  readonly crash: Crash | undefined;
  readonly killed: boolean;
  /** The commit it was killed at. */
  readonly killedAt: string;
  /** How many commits of the journal the first controller made. */
  readonly commits: number;
  readonly endState: EndState;
  readonly effects: Effects;
  /** What is wrong whatever an undisturbed run does. */
  readonly faults: readonly string[];
  readonly tookMs: number;
  /** From the start of the controller that goes on to the end of the execution. */
  readonly resumedMs: number;
  readonly journal: string;
}

const endTimeoutMs = 120_000;
const endGraceMs = 15_000;
const haltedForMs = 4_000;
const settleTimeoutMs = 20_000;
const acceptedTimeoutMs = 20_000;
const readyTimeoutMs = 30_000;
let trials = 0;

export interface TrialParts {
  readonly platform: TwoRegions;
  readonly store: StateStore;
  readonly client: OrdersClient;
}

interface Before {
  readonly view: OutsideView;
  readonly active: RegionName;
  readonly epoch: number;
  readonly ids: ReadonlySet<string>;
}

export async function readActive(store: StateStore): Promise<{ active: RegionName; epoch: number }> {
  const state = (await readPlatformState(store))?.state;
  return { active: (state?.activeRegion ?? regionNames[0]) as RegionName, epoch: state?.epoch ?? 1 };
}

export class Trial {
  readonly #parts: TrialParts;
  readonly #request: TrialRequest;
  readonly #file: string;
  readonly #faults: string[] = [];
  readonly #controllers: ControllerProcess[] = [];

  constructor(parts: TrialParts, request: TrialRequest) {
    trials += 1;
    this.#parts = parts;
    this.#request = request;
    this.#file = join(parts.platform.directory, `acknowledged-${trials}.jsonl`);
  }

  async run(): Promise<TrialResult> {
    const { kind, crash, expected } = this.#request;
    const { store, platform } = this.#parts;
    const startedMs = performance.now();
    const { active, epoch } = await readActive(store);
    const ids = new Set((await listExecutions(store)).map((each) => each.id));
    const before: Before = { view: await lookFromOutside(platform, active), active, epoch, ids };
    try {
      const killed = await this.#first(before);
      const resumedAtMs = performance.now();
      if (killed) await this.#goOn(before);
      const id = await this.#untilEnded(before);
      const resumedMs = performance.now() - resumedAtMs;
      await this.#endControllers();
      const execution = id === undefined ? undefined : await loadExecution<Plan>(store, id);
      const { endState, effects } = await this.#settled(before, execution, expected);
      const lines = this.#lines();
      if (execution) this.#findForgotten(execution, lines);
      return {
        kind,
        crash,
        killed,
        killedAt: lines.flatMap((line) => line.killed ?? []).join(' + '),
        commits: lines.filter((line) => line.acknowledged !== undefined).length,
        endState,
        effects,
        faults: this.#faults,
        tookMs: performance.now() - startedMs,
        resumedMs,
        journal: execution ? journalText(execution) : 'no execution',
      };
    } finally {
      for (const controller of this.#controllers) await controller.stop(0);
    }
  }

  #start(words: readonly string[], first: boolean): ControllerProcess {
    const { crash, forget } = this.#request;
    const options = first ? { crash, acknowledgedFile: this.#file, forget: forget === true } : undefined;
    const controller = startController(this.#parts.platform, words, options);
    this.#controllers.push(controller);
    return controller;
  }

  /** The controller that may be killed. True when it was. */
  async #first(before: Before): Promise<boolean> {
    const { kind } = this.#request;
    if (kind !== 'failover') {
      const command = this.#start([kind, '--yes'], true);
      return (await command.endsWithin(endTimeoutMs)) && (await command.ended).signal === 'SIGKILL';
    }
    const controller = this.#start(['serve'], true);
    await this.#untilProtecting(before, controller);
    await this.#parts.platform.kill(before.active);
    const ended = this.#untilEnded(before).then(() => undefined);
    const end = await Promise.race([controller.ended, ended]);
    return end?.signal === 'SIGKILL';
  }

  /** What a failover's decision rests on is there: both canaries were seen on the other side, by this very process. */
  async #untilProtecting(before: Before, controller: ControllerProcess): Promise<void> {
    const { store, platform } = this.#parts;
    const sinceMs = Date.now();
    const other = regionNames.find((region) => region !== before.active) as RegionName;
    const deadline = performance.now() + readyTimeoutMs;
    for (;;) {
      const records = await readSiteRecords(store);
      const seen = ['orders-db', 'orders-cache'].every((component) =>
        regionNames.every((region) => {
          const record = records.get(`${component}@${region}` as never);
          if ((record?.latest.atMs ?? 0) < sinceMs || record?.latest.health !== 'up') return false;
          return region !== other || (record.standbyCanary?.readAtMs ?? 0) >= sinceMs;
        }),
      );
      if (seen) return;
      if (performance.now() > deadline)
        throw new Error(`the controller in ${platform.directory} does not see both regions:\n${controller.output()}`);
      await delay(50);
    }
  }

  async #goOn(before: Before): Promise<void> {
    const { kind } = this.#request;
    if (kind === 'failover') {
      this.#start(['serve'], false);
      return;
    }
    const id = await this.#newest(before);
    // Killed before the plan was durable: nothing is under way, and whoever asked asks again.
    this.#start(id === undefined ? [kind, '--yes'] : ['resume', id], false);
  }

  /** A command ends by itself once its execution is over; a server when it is asked to. */
  async #endControllers(): Promise<void> {
    for (const controller of this.#controllers) {
      const ends = this.#request.kind === 'failover' ? controller.stop() : controller.endsWithin(endGraceMs);
      if (!(await ends)) this.#faults.push(`controller ${controller.pid} did not end: ${controller.output().slice(-300)}`);
    }
  }

  async #newest(before: Before): Promise<string | undefined> {
    const all = await listExecutions(this.#parts.store, { limit: 5 });
    return all.find((each) => !before.ids.has(each.id))?.id;
  }

  /** The execution's id once it is over, or held up for good, or time is up. */
  async #untilEnded(before: Before): Promise<string | undefined> {
    const deadline = performance.now() + endTimeoutMs;
    let haltedAtMs: number | undefined;
    for (;;) {
      const id = await this.#newest(before);
      const state = id === undefined ? undefined : (await loadExecution<Plan>(this.#parts.store, id)).state;
      if (state?.outcome !== undefined) return id;
      if (state?.status !== 'failed') haltedAtMs = undefined;
      else haltedAtMs ??= performance.now();
      if (haltedAtMs !== undefined && performance.now() - haltedAtMs > haltedForMs) return id;
      const left = this.#request.kind !== 'failover' && (await this.#allEnded());
      if (left || performance.now() > deadline) return id;
      await delay(50);
    }
  }

  async #allEnded(): Promise<boolean> {
    const running = Symbol('running');
    const ends = await Promise.all(this.#controllers.map((each) => Promise.race([each.ended, Promise.resolve(running)])));
    return ends.every((end) => end !== running);
  }

  async #settled(before: Before, execution: Execution<Plan> | undefined, expected: EndState | undefined) {
    const { platform, store, client } = this.#parts;
    const accepted = await isAccepted(client, acceptedTimeoutMs);
    if (!accepted) this.#faults.push(`orders are not accepted: ${client.lastError}`);
    const deadline = performance.now() + settleTimeoutMs;
    for (;;) {
      const { active, epoch } = await readActive(store);
      const view = await lookFromOutside(platform, active);
      const missing = await findMissingOrders(client, platform.regions[active].database).catch(() => [-1]);
      const endState = computeEndState({ execution, view, active, epochBefore: before.epoch, epoch, accepted, lostOrders: missing.length });
      const effects = computeEffects(before.view, view, execution);
      const same = expected === undefined || JSON.stringify(endState) === JSON.stringify(expected);
      if ((same && expected !== undefined) || performance.now() > deadline) return { endState, effects };
      // An undisturbed run says itself when it has settled: two looks in a row that are the same.
      await delay(500);
      if (expected === undefined) {
        const again = computeEndState({
          execution,
          view: await lookFromOutside(platform, active),
          active,
          epochBefore: before.epoch,
          epoch,
          accepted,
          lostOrders: missing.length,
        });
        if (JSON.stringify(again) === JSON.stringify(endState)) return { endState, effects };
      }
    }
  }

  #lines(): CrashLine[] {
    if (!existsSync(this.#file)) return [];
    return readFileSync(this.#file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as CrashLine);
  }

  /** A commit that was acknowledged is durable: each of its events stands in the journal. */
  #findForgotten(execution: Execution<Plan>, lines: readonly CrashLine[]): void {
    const hashes = new Set(execution.events.map((event) => event.hash));
    const prefix = `executions/${execution.header.id}`;
    const acknowledged: Acknowledgement[] = lines.flatMap((line) => line.acknowledged ?? []);
    const forgotten = acknowledged.filter(({ key, hash }) => key.startsWith(prefix) && hash !== undefined && !hashes.has(hash));
    if (forgotten.length > 0)
      this.#faults.push(`${forgotten.length} acknowledged events are not in the journal: ${forgotten.map((each) => each.what).join(', ')}`);
  }
}

export function journalText(execution: Execution<Plan>): string {
  const { header, events } = execution;
  const lines = events.map((event) => {
    const time = new Date(event.atMs).toISOString().slice(11, 23);
    return `${String(event.seq).padStart(4)} ${time} ${event.type} ${'stepId' in event ? event.stepId : ''} ${JSON.stringify(event.data).slice(0, 400)}`;
  });
  return [`execution ${header.id}`, ...lines].join('\n');
}
