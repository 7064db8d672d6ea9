/**
 * The demo's story, told step by step: build, serve, take orders, kill a region, fail over, bring it back, re-protect, fail back; and what was counted on the way. It decides nothing
 * about Holdfast: it only breaks things, looks from outside and compares.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunningPostgres } from '../../test/systems/postgresql.ts';
import { runHoldfast, type ServeEvent, ServeProcess } from './holdfast-process.ts';
import { OrdersClient } from './orders-client.ts';
import { controllerRegions } from './region.ts';
import type { TwoRegions } from './two-regions.ts';

export interface StoryResult {
  readonly outageMs: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly lossMeasuredByCanary: number;
  readonly failoverMs: number;
  readonly promoteToRouteMs: number;
  readonly failbackMs: number;
  readonly failbackOutageMs: number;
  readonly failbackLost: number;
  readonly epoch: number;
  readonly measuredOutageMs: number;
  readonly held: boolean;
  readonly broken: readonly string[];
  readonly timeline: readonly { readonly atMs: number; readonly text: string }[];
}

export interface Teller {
  /** A line of the story. */
  say(text: string): void;
  /** What stands on the screen while the story goes on. */
  show(state: { readonly phase: string; readonly client: OrdersClient | undefined; readonly downSinceMs: number | undefined }): void;
}

const conditionTimeoutMs = 60_000;

/** @param what is waited for, in words; asked for them only when time is up, for then they know most */
async function until<T>(
  what: string | (() => string),
  look: () => Promise<T | undefined> | T | undefined,
  signal: AbortSignal,
  timeoutMs = conditionTimeoutMs,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${typeof what === 'string' ? what : what()}: not within ${timeoutMs / 1_000} s`);
    await delay(20);
  }
}

interface JournalEvent {
  readonly type: string;
  readonly atMs: number;
  readonly stepId?: string;
  readonly data?: {
    readonly outcome?: string;
    readonly tookMs?: number;
    readonly output?: Record<string, unknown>;
    readonly error?: { readonly message: string };
  };
}

interface ExecutionAnswer {
  readonly header: { readonly startedAtMs: number; readonly plan: { readonly epoch: number } };
  readonly state: { readonly status: string; readonly endedAtMs: number };
  readonly events: readonly JournalEvent[];
  readonly measured: {
    readonly outageMs?: number;
    readonly byComponent: readonly { readonly component: string; readonly lostCanaries?: number; readonly lossMeasured: boolean }[];
  };
}

/** Acknowledged orders that a database does not have. */
async function countMissing(client: OrdersClient, database: RunningPostgres): Promise<number> {
  const numbers = client.acknowledgements.map((each) => each.number);
  const rows = await database.query('SELECT number FROM orders', { database: 'orders' });
  const there = new Set(rows.map((row) => Number(row.number)));
  return numbers.filter((number) => !there.has(number)).length;
}

export class Story {
  readonly #regions: TwoRegions;
  readonly #teller: Teller;
  readonly #signal: AbortSignal;
  /** Several controllers, one in each region and one in the witness region; else one in a third place. */
  readonly #fleet: boolean;
  readonly #timeline: { atMs: number; text: string }[] = [];
  readonly #events: ServeEvent[] = [];
  #client: OrdersClient | undefined;
  /** By the region that each is in. */
  readonly #serving = new Map<string, ServeProcess>();
  #phase = 'starting';
  #downSinceMs: number | undefined;
  #failedStep: string | undefined;
  #saidOfVerdict = '';

  constructor(regions: TwoRegions, teller: Teller, signal: AbortSignal, fleet = false) {
    this.#fleet = fleet;
    this.#regions = regions;
    this.#teller = teller;
    this.#signal = signal;
  }

  #say(text: string, atMs = Date.now()): void {
    this.#timeline.push({ atMs, text });
    this.#teller.say(text);
  }

  show(): void {
    this.#teller.show({ phase: this.#phase, client: this.#client, downSinceMs: this.#downSinceMs });
  }

  #heard(event: ServeEvent): void {
    this.#events.push(event);
    if (event.event === 'decision') {
      const said = decisionLine(event as unknown as DecisionEvent);
      const { decision, verdict } = event as unknown as DecisionEvent;
      // Each probe may word the same state anew; a spectator hears of it once.
      const saidOfVerdict = `${verdict.region} ${verdict.state}`;
      const news = decision.act || saidOfVerdict !== this.#saidOfVerdict;
      this.#saidOfVerdict = saidOfVerdict;
      if (said !== undefined && news) this.#say(`holdfast: ${said}`, event.atMs as number);
    }
    const { error } = event as { error?: { message: string } };
    if (error) this.#say(`holdfast serve has ended: ${error.message}`);
    if (event.event !== 'journal') return;
    const journal = event.journal as JournalEvent;
    if (journal.type === 'step-done')
      this.#say(`holdfast: ${journal.stepId} (${Math.round(journal.data?.tookMs ?? 0)} ms)${proofOf(journal)}`, journal.atMs);
    if (journal.type === 'step-failed') {
      this.#failedStep = `${journal.stepId} failed: ${journal.data?.error?.message ?? ''}`;
      this.#say(`holdfast: ${this.#failedStep}`, journal.atMs);
    }
    if (journal.type === 'finished') {
      const unneeded = journal.data?.outcome === 'done' && this.#failedStep !== undefined ? ', for nothing else needed what failed' : '';
      this.#say(`holdfast: execution ${journal.data?.outcome}${unneeded}`, journal.atMs);
    }
  }

  #serveExited(): string {
    const said = [...this.#serving].filter(([, serve]) => serve.errorOutput !== '');
    return said.map(([place, serve]) => `; serve in ${place} says: ${serve.errorOutput.slice(-500)}`).join('');
  }

  #startServing(place: string): void {
    const options = this.#fleet ? { region: place } : {};
    this.#serving.set(place, new ServeProcess(this.#regions, (event) => this.#heard(event), options));
  }

  async begin(): Promise<void> {
    const { dns, recordName, ordersPort } = this.#regions;
    if (!dns) throw new Error('the demo needs its name server');
    this.#phase = 'all is well';
    this.#say(
      this.#fleet
        ? `holdfast serve starts in each of ${controllerRegions.join(', ')}; they share a state in etcd`
        : 'holdfast serve starts to watch both regions',
    );
    for (const place of this.#fleet ? controllerRegions : ['a third place']) this.#startServing(place);
    this.#client = new OrdersClient({ nameServer: `${dns.address}:${dns.port}`, name: recordName, port: ordersPort, everyMs: 10 });
    this.#client.start();
    this.#say(`a customer places orders at ${recordName}, as fast as they are acknowledged`);
    const client = this.#client;
    await until('the first 100 orders', () => (client.acknowledgements.length >= 100 ? true : undefined), this.#signal);
    let answers = 0;
    let last: unknown;
    await until(
      () => `readiness (${answers} answers, the last one ${JSON.stringify(last)}${this.#serveExited()})`,
      async () => {
        const { json } = await runHoldfast(this.#regions, ['status']);
        const { readiness } = json as { readiness?: { ready: boolean; rpoNowMs?: number } };
        answers += 1;
        last = readiness ?? json;
        return readiness?.ready && readiness.rpoNowMs !== undefined ? true : undefined;
      },
      this.#signal,
    );
    this.#say('holdfast says: the loss of us-east-1 would be survived');
  }

  async #execution(id: string): Promise<ExecutionAnswer> {
    return (await runHoldfast(this.#regions, ['executions', id])).json as unknown as ExecutionAnswer;
  }

  async disaster(): Promise<{ execution: ExecutionAnswer; killedAtMs: number; outageMs: number; lost: number }> {
    const client = this.#client as OrdersClient;
    this.#phase = 'us-east-1 IS DEAD';
    const killedAtMs = Date.now();
    this.#downSinceMs = killedAtMs;
    const controller = this.#fleet ? this.#serving.get('us-east-1') : undefined;
    await Promise.all([this.#regions.kill('us-east-1'), controller?.kill()]);
    const more = this.#fleet ? ', its member of etcd and its controller' : '';
    this.#say(`kill -9: every process of us-east-1 is gone: PostgreSQL, Redis, the orders service, sshd${more}`, killedAtMs);
    const first = await until(
      () => `an acknowledged order after the disaster${this.#serveExited()}`,
      async () => {
        await this.#endIfHalted();
        return client.acknowledgements.find((each) => each.region === 'us-west-2');
      },
      this.#signal,
    );
    this.#downSinceMs = undefined;
    const before = client.acknowledgements.findLast((each) => each.atMs < first.atMs && each.region === 'us-east-1');
    const outageMs = first.atMs - Math.max(killedAtMs, before?.atMs ?? 0);
    this.#say(`first order acknowledged by us-west-2, ${outageMs} ms after the last one of us-east-1`, first.atMs);
    this.#phase = 'us-west-2 serves';
    const id = await until(
      'the failover begun',
      () => this.#events.find((event) => event.event === 'execution')?.id as string | undefined,
      this.#signal,
    );
    const execution = await until(
      'the failover ended',
      async () => {
        const answer = await this.#execution(id);
        return answer.state.endedAtMs === undefined ? undefined : answer;
      },
      this.#signal,
      120_000,
    );
    const lost = await countMissing(client, this.#regions.regions['us-west-2'].database);
    this.#say(`${client.acknowledgements.length} orders acknowledged so far, ${lost} of them lost`);
    return { execution, killedAtMs, outageMs, lost };
  }

  /** Some steps may fail without harm. One that holds the failover up will not mend itself, and waiting for it would only look like a hang. */
  async #endIfHalted(): Promise<void> {
    const id = this.#events.find((event) => event.event === 'execution')?.id as string | undefined;
    if (this.#failedStep === undefined || id === undefined) return;
    const { state } = await this.#execution(id);
    if (state.status === 'failed') throw new Error(`the failover stands still and waits for a person: ${this.#failedStep}`);
  }

  /** Runs a command as a person would, and tells what it says while it works. */
  async #run(...args: string[]): Promise<Record<string, unknown>> {
    this.#say(`$ holdfast ${args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)).join(' ')}`);
    const { exitCode, json } = await runHoldfast(this.#regions, args, (line) => {
      // Its own clock stands before each line; ours does already.
      const said = line.replace(/^\d\d:\d\d:\d\d\S*\s+/, '').replace(/\s{2,}/g, ' ');
      if (said.trim() !== '') this.#say(`holdfast: ${said.trim()}`);
    });
    if (exitCode !== 0) throw new Error(`holdfast ${args[0]} failed: ${JSON.stringify(json).slice(0, 2_000)}`);
    return json;
  }

  async comeBack(): Promise<void> {
    this.#phase = 'us-east-1 comes back';
    await this.#regions.revive('us-east-1');
    if (this.#fleet) this.#startServing('us-east-1');
    this.#say('us-east-1 has power again; its database still believes that it is the primary');
    const json = await this.#run('reprotect', '--yes', '--reason', 'us-east-1 is back');
    for (const step of (json.steps ?? []) as { id: string; output?: Record<string, unknown> }[]) {
      if (step.output?.method) this.#say(`${step.id}: ${String(step.output.method)}`);
      if (step.output?.detail) this.#say(`${step.id}: ${String(step.output.detail)}`);
    }
    this.#say('us-east-1 is the standby of us-west-2 now');
  }

  async failBack(): Promise<{ execution: ExecutionAnswer; outageMs: number; lost: number }> {
    const client = this.#client as OrdersClient;
    this.#phase = 'failing back, as planned';
    const begunAtMs = Date.now();
    const json = await this.#run('failback', '--yes', '--reason', 'home again');
    await until('an acknowledged order in us-east-1', () => (client.last?.region === 'us-east-1' ? true : undefined), this.#signal);
    const endedAtMs = Date.now();
    await client.stop();
    const outageMs = client.longestGapMs(begunAtMs, endedAtMs);
    const lost = await countMissing(client, this.#regions.regions['us-east-1'].database);
    this.#say(`home again: customers waited ${outageMs} ms, ${lost} of ${client.acknowledgements.length} orders lost`);
    this.#phase = 'all is well, at home';
    return { execution: await this.#execution(String(json.execution)), outageMs, lost };
  }

  async end(): Promise<void> {
    await this.#client?.stop();
    await Promise.all([...this.#serving.values()].map((serve) => serve.stop()));
  }

  async tell(): Promise<StoryResult> {
    await this.begin();
    const failover = await this.disaster();
    await this.comeBack();
    const failback = await this.failBack();
    return this.#sumUp(failover, failback);
  }

  #sumUp(failover: Awaited<ReturnType<Story['disaster']>>, failback: Awaited<ReturnType<Story['failBack']>>): StoryResult {
    const doneAtMs = (execution: ExecutionAnswer, start: string) =>
      Math.max(
        ...execution.events.filter((event) => event.type === 'step-done' && event.stepId?.startsWith(start)).map((event) => event.atMs),
      );
    const database = failover.execution.measured.byComponent.find((each) => each.component === 'orders-db');
    const broken: string[] = [];
    const expect = (holds: boolean, what: string) => {
      if (!holds) broken.push(what);
    };
    expect(failover.lost === 0, `${failover.lost} acknowledged orders were lost in the failover`);
    expect(failback.lost === 0, `${failback.lost} acknowledged orders were lost in the failback`);
    expect(database?.lossMeasured === true && database.lostCanaries === 0, 'the canaries do not show that nothing was lost');
    expect(failover.execution.state.status === 'done', `the failover is ${failover.execution.state.status}`);
    expect(failback.execution.state.status === 'done', `the failback is ${failback.execution.state.status}`);
    const durationOf = (execution: ExecutionAnswer) => execution.state.endedAtMs - execution.header.startedAtMs;
    return {
      outageMs: failover.outageMs,
      acknowledged: this.#client?.acknowledgements.length ?? 0,
      lost: failover.lost,
      lossMeasuredByCanary: database?.lostCanaries ?? -1,
      failoverMs: durationOf(failover.execution),
      promoteToRouteMs: doneAtMs(failover.execution, 'route') - doneAtMs(failover.execution, 'promote'),
      failbackMs: durationOf(failback.execution),
      failbackOutageMs: failback.outageMs,
      failbackLost: failback.lost,
      epoch: failback.execution.header.plan.epoch,
      measuredOutageMs: failover.execution.measured.outageMs ?? -1,
      held: broken.length === 0,
      broken,
      timeline: this.#timeline,
    };
  }
}

interface DecisionEvent {
  readonly decision: { readonly act: boolean; readonly summary: string };
  readonly verdict: { readonly region: string; readonly state: string; readonly votes: readonly { readonly because: readonly string[] }[] };
}

/** What a spectator wants to know of a decision; undefined for what only repeats that nothing is wrong or that a failover is under way. */
function decisionLine({ decision, verdict }: DecisionEvent): string | undefined {
  const because = verdict.votes.flatMap((vote) => vote.because).join('; ');
  if (decision.act) return `DECIDES to ${decision.summary}`;
  if (verdict.state === 'healthy') return `${verdict.region} is healthy`;
  if (verdict.state === 'failing') return `${verdict.region} is failing, not lost before its grace is over: ${because}`;
  return undefined;
}

function proofOf(journal: JournalEvent): string {
  const output = journal.data?.output;
  return typeof output?.proof === 'string' ? ` — proof: ${output.proof}, ${String(output.evidence)}` : '';
}
