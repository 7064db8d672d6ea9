/**
 * Goes through the boundaries of failover, reprotect, failback and switchover on two real regions. At each one the controller is killed and started again, and the end
 * state and the effects are compared with those of undisturbed runs. One pair of regions serves many boundaries, for each round ends where it began; after a run that
 * went wrong the regions are built anew.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OrdersClient } from '../../examples/demo/orders-client.ts';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { CrashTasks, type TaskChoice } from './crash-tasks.ts';
import { computeDuplicates, describeDifferences, type Effects, type EndState } from './end-state.ts';
import { type Kind, kinds, readActive, Trial, type TrialParts, type TrialRequest, type TrialResult } from './trial.ts';

export interface SweepReport {
  /** Boundaries that were reached. */
  readonly boundaries: number;
  readonly killed: number;
  readonly sameEndState: number;
  readonly duplicateEffects: number;
}

export interface SweepFinding {
  readonly name: string;
  readonly differences: readonly string[];
  readonly duplicates: readonly string[];
  readonly journal: string;
}

interface Undisturbed {
  readonly endState: EndState;
  readonly effects: Effects;
}

const home = 'us-east-1';
const attemptsMax = 3;

export async function openTrialParts(): Promise<TrialParts> {
  const platform: TwoRegions = await startTwoRegions({ automatic: true, coolDown: '10ms', lossBudget: '5s' });
  try {
    const host = nodeHost({ logLevel: 'error', logTo: 'stderr' });
    const store = await openSqliteStore({ path: join(platform.stateDirectory, 'state.sqlite'), host, platform: 'orders' });
    const { dns } = platform;
    if (!dns) throw new Error('the client finds its way by the name server');
    const client = new OrdersClient({
      nameServer: `${dns.address}:${dns.port}`,
      name: platform.recordName,
      port: platform.ordersPort,
      everyMs: 100,
    });
    client.start();
    return { platform, store, client };
  } catch (error) {
    await platform.stop();
    throw error;
  }
}

export async function closeTrialParts({ platform, store, client }: TrialParts): Promise<void> {
  await client.stop();
  await store.close();
  await platform.stop();
  await rm(platform.directory, { recursive: true, force: true });
}

export class KillSweep {
  readonly #say: (line: string) => void;
  readonly #undisturbed = new Map<Kind, Undisturbed>();
  readonly #commits: Record<Kind, number> = { failover: 0, reprotect: 0, failback: 0, switchover: 0 };
  readonly #startedMs = performance.now();
  #parts: TrialParts | undefined;
  #over = false;
  #tasks = new CrashTasks(this.#commits, { every: 1, offset: 0 });
  #boundaries = 0;
  #killed = 0;
  #same = 0;
  readonly findings: SweepFinding[] = [];
  #duplicates = 0;
  readonly resumedMs: number[] = [];

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  get report(): SweepReport {
    return { boundaries: this.#boundaries, killed: this.#killed, sameEndState: this.#same, duplicateEffects: this.#duplicates };
  }

  /** Nothing is begun any more: what is under way breaks off and counts as nothing. */
  async close(): Promise<void> {
    this.#over = true;
    await this.#tearDown();
  }

  async #tearDown(): Promise<void> {
    const parts = this.#parts;
    this.#parts = undefined;
    if (parts) await closeTrialParts(parts);
  }

  /** How many commits the journal of each kind has, by the undisturbed runs. */
  get commits(): Readonly<Record<Kind, number>> {
    return this.#commits;
  }

  /** A round without a crash: what the others are compared with. */
  async runUndisturbed(): Promise<void> {
    for (const kind of ['failover', 'reprotect', 'failback', 'switchover', 'failback'] as const) {
      const result = await this.#runOnce({ kind });
      const { outcome } = result.endState;
      this.#line(`undisturbed ${kind}`, result, [`${result.commits} commits`]);
      if (outcome !== 'done' || result.faults.length > 0)
        throw new Error(`an undisturbed ${kind} is ${outcome}: ${result.faults.join('; ')}\n${result.journal}`);
      this.#undisturbed.set(kind, { endState: result.endState, effects: result.effects });
      this.#commits[kind] = Math.max(this.#commits[kind], result.commits);
    }
    for (const [kind, { endState, effects }] of this.#undisturbed) this.#say(`${kind}: ${JSON.stringify({ endState, effects })}`);
  }

  async runBoundaries(choice: TaskChoice): Promise<SweepReport> {
    this.#tasks = new CrashTasks(this.#commits, choice);
    this.#say(`${this.#tasks.left} boundaries to visit: ${kinds.map((kind) => `${kind} ${this.#commits[kind]} commits`).join(', ')}`);
    while (this.#tasks.left > 0 && !this.#over) {
      const round: readonly Kind[] =
        this.#tasks.has('failover') || this.#tasks.has('reprotect') ? ['failover', 'reprotect', 'failback'] : ['switchover', 'failback'];
      for (const kind of round) if (!(await this.#visit(kind, this.#tasks.take(kind)))) break;
    }
    return this.report;
  }

  /** A single boundary with a journal that forgets: what such a sweep must not call the same. */
  async runForgetting(kind: Kind, crash: TrialRequest['crash'] & {}): Promise<SweepFinding | undefined> {
    const result = await this.#runOnce({ kind, crash, forget: true });
    const finding = this.#judge(`${kind}, forgetful`, result);
    this.#line(`forgetful ${kind}`, result, finding ? [...finding.differences, ...finding.duplicates] : []);
    return finding;
  }

  /** False when the platform was built anew: the round begins again. */
  async #visit(kind: Kind, crash: TrialRequest['crash'] | undefined): Promise<boolean> {
    const name = crash ? `${kind} ${crash.moment} ${crash.commit}` : `${kind} undisturbed`;
    let finding: SweepFinding | undefined;
    try {
      const result = await this.#runUntilBegun(name, crash ? { kind, crash } : { kind });
      finding = this.#judge(name, result);
      if (crash && result.killed) {
        this.#boundaries += 1;
        this.#killed += 1;
        this.resumedMs.push(result.resumedMs);
        this.#tasks.reached(kind, crash);
        if (!finding) this.#same += 1;
      }
      this.#line(name, result, finding ? [...finding.differences, ...finding.duplicates] : []);
    } catch (error) {
      if (this.#over) return false;
      if (crash) this.#boundaries += 1;
      finding = { name, differences: [String(error)], duplicates: [], journal: '' };
      this.#say(`${name}: BROKEN: ${String(error)}`);
    }
    if (!finding) return true;
    this.findings.push(finding);
    this.#duplicates += finding.duplicates.length;
    this.#say(`DIFFERENT: ${finding.name}\n${finding.journal}`);
    await this.#tearDown();
    return false;
  }

  /** On a machine that is too busy to answer its own probes in time, a change ends before it has touched anything: then it is asked for again. */
  async #runUntilBegun(name: string, request: TrialRequest): Promise<TrialResult> {
    for (let attempt = 1; ; attempt += 1) {
      const result = await this.#runOnce(request);
      if (result.killed || result.endState.outcome !== 'aborted' || attempt === attemptsMax) return result;
      this.#say(`${name}: it did not begin, once more\n${result.journal}`);
    }
  }

  #judge(name: string, result: TrialResult): SweepFinding | undefined {
    const undisturbed = this.#undisturbed.get(result.kind);
    if (!undisturbed) throw new Error(`there is no undisturbed ${result.kind} to compare with`);
    const differences = [...describeDifferences(result.endState, undisturbed.endState), ...result.faults];
    const duplicates = computeDuplicates(result.effects, undisturbed.effects);
    return differences.length + duplicates.length === 0 ? undefined : { name, differences, duplicates, journal: result.journal };
  }

  async #runOnce(request: TrialRequest): Promise<TrialResult> {
    if (this.#over) throw new Error('the sweep is over');
    this.#parts ??= await openTrialParts();
    const expected = this.#undisturbed.get(request.kind)?.endState;
    const parts = this.#parts;
    if (request.kind === 'reprotect') await parts.platform.revive(home);
    const { active } = await readActive(parts.store);
    const wanted = request.kind === 'failover' || request.kind === 'switchover' ? home : 'us-west-2';
    if (active !== wanted) throw new Error(`${request.kind} begins with ${wanted} active, and ${active} is`);
    return new Trial(parts, expected ? { ...request, expected } : request).run();
  }

  #line(name: string, result: TrialResult, wrong: readonly string[]): void {
    const at = ((performance.now() - this.#startedMs) / 1_000).toFixed(0).padStart(5);
    const how = result.crash ? (result.killed ? `killed at ${result.killedAt || 'the beginning'}` : 'not reached') : '';
    const verdict = wrong.length > 0 ? wrong.join('; ') : 'same end state, same effects';
    this.#say(
      `${at} s  ${name.padEnd(24)} ${(result.tookMs / 1_000).toFixed(1)} s  ${how}  ${this.#tasks.left > 0 || result.crash ? verdict : wrong.join('; ')}  (${this.#tasks.left} left)`,
    );
  }
}
