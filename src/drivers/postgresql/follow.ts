/**
 * Makes a server a live standby of the upstream: by starting it as it is when it never left the upstream's history, by rewinding it when it did, by copying the upstream anew
 * when it can't be rewound.
 *
 * Invariant: from the first change on, a start of the server brings up a standby or nothing. What it holds and the upstream lacks is never destroyed: before a rewind its log
 * from the fork on is kept aside, and a copy leaves the old directory in place.
 * When the process dies, the next run finds the server stopped and barred, half rewound (then it is copied anew), or streaming.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { awaitUpstream } from './await-upstream.ts';
import { formatLsn, type Lsn, parseLsn, parseTimelineHistory, sameSwitches } from './lsn.ts';
import type { ClusterState, Machine, ServerStatus } from './ports.ts';

type Method = 'started' | 'rewound' | 'copied';

const pollMs = 50;
const streamingTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const recoverTimeoutMs = 1_800_000;
const copyTimeoutMs = 24 * 3_600_000;
const checkpointTimeoutMs = 600_000;

export function followVerb(access: Access): Verb {
  return {
    inspect: (want, context) => inspectFollowing(access, want, context),
    apply: (want, context) => new Following(access, want, context).apply(),
  };
}

function upstreamRegion(access: Access, want: JsonObject): string {
  const region = want['upstream'];
  if (typeof region !== 'string' || region === access.region) {
    throw fail('BUG_BROKEN_BELIEF', { message: `follow needs another region as upstream, not ${JSON.stringify(region)}` });
  }
  return region;
}

async function readUpstream(access: Access, region: string, context: StepContext): Promise<ServerStatus> {
  const status = await awaitUpstream(access, region, context, (connection, limit) => connection.readStatus(limit));
  if (status.inRecovery)
    throw fail('SYSTEM_WRONG_ROLE', { subject: access.subject, message: `${region} is a standby itself: nobody is made to follow it` });
  return status;
}

async function inspectFollowing(access: Access, want: JsonObject, context: StepContext): Promise<Inspection> {
  const region = upstreamRegion(access, want);
  const upstream = await readUpstream(access, region, context);
  const own = await readOwn(access, context);
  if (typeof own === 'string') return { state: 'absent', why: own };
  const fault = faultInFollowing(access, region, own, upstream);
  if (fault !== undefined) return { state: 'absent', why: fault };
  const note = context.note as JsonObject | undefined;
  return {
    state: 'done',
    output: { method: note?.['method'] ?? 'found', ...(note?.['kept'] === undefined ? {} : { kept: note['kept'] }) },
  };
}

async function readOwn(access: Access, context: StepContext): Promise<ServerStatus | string> {
  const limit = access.limit(context.signal, 2_000);
  try {
    return await access.read('verb', limit, (connection) => connection.readStatus(limit));
  } catch (thrown) {
    context.signal.throwIfAborted();
    const error = asHoldfastError(thrown);
    if (error.kind === 'bug' || error.code === 'SYSTEM_WRONG_CREDENTIALS') throw error;
    return error.message;
  }
}

function faultInFollowing(access: Access, region: string, own: ServerStatus, upstream: ServerStatus): string | undefined {
  if (!own.inRecovery) return 'it runs as a primary';
  if (own.systemIdentifier !== upstream.systemIdentifier)
    return `it holds system ${own.systemIdentifier}, ${region} is ${upstream.systemIdentifier}`;
  const { host, port } = access.address(region);
  const { receiver } = own;
  if (receiver?.status !== 'streaming') return 'it does not receive';
  if (receiver.host !== host || receiver.port !== port) return `it receives from ${receiver.host}:${receiver.port}`;
  if (own.timeline !== upstream.timeline) return `it is on timeline ${own.timeline}, ${region} on ${upstream.timeline}`;
  const row = upstream.standbys.find((standby) => standby.member === access.member());
  if (row?.state !== 'streaming') return `${region} does not see ${access.member()} streaming yet`;
  return undefined;
}

/** In the words of pg_controldata: what it was when it stopped. */
function wasPrimary({ state }: ClusterState): boolean {
  return state === 'shut down' || state === 'in production';
}

class Following {
  readonly #access: Access;
  readonly #context: StepContext;
  readonly #region: string;
  readonly #keep: string | undefined;
  readonly #machine: Machine;

  constructor(access: Access, want: JsonObject, context: StepContext) {
    this.#access = access;
    this.#context = context;
    this.#region = upstreamRegion(access, want);
    this.#keep = typeof want['keep'] === 'string' ? want['keep'] : undefined;
    this.#machine = access.requireMachine();
  }

  async apply(): Promise<void> {
    const upstream = await readUpstream(this.#access, this.#region, this.#context);
    await this.#prepareUpstream();
    await this.#stopOwn();
    const state = await this.#machine.readState(this.#limit());
    const method = await this.#align(state, upstream);
    await this.#machine.configureStandby(this.#access.upstream(this.#region), this.#limit());
    await this.#machine.start(this.#limit(recoverTimeoutMs));
    if (await this.#untilStreaming()) return this.#dropOwnSlots();
    if (method === 'copied') {
      throw fail('TIMED_OUT', {
        subject: this.#access.subject,
        message: `it does not stream from ${this.#region} although it was copied anew`,
      });
    }
    // Most often the upstream no longer has the log that this one needs.
    this.#context.progress('it does not stream: copying the upstream anew');
    await this.#machine.stop('orderly', this.#limit(stopTimeoutMs));
    await this.#copy();
    await this.#machine.configureStandby(this.#access.upstream(this.#region), this.#limit());
    await this.#machine.start(this.#limit(recoverTimeoutMs));
    if (!(await this.#untilStreaming()))
      throw fail('TIMED_OUT', { subject: this.#access.subject, message: `it does not stream from ${this.#region}` });
  }

  #limit(timeoutMs = 10_000) {
    return this.#access.limit(this.#context.signal, timeoutMs);
  }

  /** Older pg_rewind looks for the fork in the source's control file, which a promotion alone does not bring up to date. */
  async #prepareUpstream(): Promise<void> {
    const limit = this.#limit(checkpointTimeoutMs);
    const connection = await this.#access.connection('verb', limit, this.#region);
    await connection.checkpoint(limit);
    const { slot } = this.#access.upstream(this.#region);
    if (slot !== undefined) await connection.ensureSlot(slot, limit);
  }

  async #stopOwn(): Promise<void> {
    await this.#machine.bar('', this.#limit());
    try {
      await this.#machine.stop('orderly', this.#limit(stopTimeoutMs));
    } catch (thrown) {
      this.#context.signal.throwIfAborted();
      this.#context.log.warn('follow.orderly-stop-failed', { region: this.#access.region, error: asHoldfastError(thrown).message });
      await this.#machine.stop('now', this.#limit(stopTimeoutMs));
    }
  }

  /** Brings the stopped directory onto the upstream's history. */
  async #align(state: ClusterState, upstream: ServerStatus): Promise<Method> {
    if (state.systemIdentifier !== upstream.systemIdentifier) return this.#copy();
    const history = this.#historyOf(upstream);
    if (state.rewinding) return this.#rewindOrCopy(history);
    // Rewound by an earlier attempt that did not live to say so. It holds the upstream's pages and not all of its log: alone it can't be replayed, it has to stream.
    if (state.rewoundOnto === history) return this.#note('rewound', this.#keptBefore());
    const fork = await this.#forkOf(state, upstream);
    if (fork === 'stranger') return this.#copy();
    const clean = state.state === 'shut down' && (fork === undefined || parseLsn(state.checkpointLsn) < fork);
    // A standby that had not passed the fork; should it have received more than it applied, it will not stream, and is copied.
    const behind = state.state === 'shut down in recovery' && (fork === undefined || parseLsn(state.appliedLsn) <= fork);
    if (clean || behind) return this.#note('started');
    return this.#rewind(state, fork, history);
  }

  /** Of this very change: after another one, the directory may have been a primary in between. */
  #historyOf(upstream: ServerStatus): string {
    return `${upstream.systemIdentifier} timeline ${upstream.timeline} epoch ${this.#context.epoch}`;
  }

  #keptBefore(): string | undefined {
    const kept = (this.#context.note as JsonObject | undefined)?.['kept'];
    return typeof kept === 'string' ? kept : undefined;
  }

  /**
   * Where the upstream left the timeline; undefined when it is still on it. A number says nothing by itself: two servers that were promoted apart from each other are both on the one after the
   * timeline that they had in common. pg_rewind takes them for one history then, and would do nothing.
   */
  async #forkOf(state: ClusterState, upstream: ServerStatus): Promise<Lsn | undefined | 'stranger'> {
    if (state.timeline > upstream.timeline) return 'stranger';
    const text = await awaitUpstream(this.#access, this.#region, this.#context, (connection, limit) =>
      connection.readTimelineHistory(upstream.timeline, limit),
    );
    const history = parseTimelineHistory(text);
    // Of the first timeline there is no file; one that is missing otherwise leaves what the numbers say.
    const own = state.timelineHistory === undefined ? undefined : parseTimelineHistory(state.timelineHistory);
    const before = new Map([...history].filter(([timeline]) => timeline < state.timeline));
    if (own !== undefined && !sameSwitches(own, before)) return 'stranger';
    if (state.timeline < upstream.timeline) return history.get(state.timeline) ?? 'stranger';
    // Both were primaries of it, and no promotion lies between them: where they parted is written nowhere.
    return wasPrimary(state) ? 'stranger' : undefined;
  }

  async #rewind(state: ClusterState, fork: Lsn | undefined, history: string): Promise<Method> {
    if (state.state !== 'shut down' && state.state !== 'shut down in recovery') {
      this.#context.progress('replaying its own log to the end');
      try {
        await this.#machine.recover(this.#limit(recoverTimeoutMs));
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        if (error.code !== 'COMMAND_FAILED') throw error;
        this.#context.log.warn('follow.recovery-failed', { region: this.#access.region, error: error.message });
        return this.#copy();
      }
    }
    const after = await this.#machine.readState(this.#limit());
    const into = this.#keep ?? `${this.#access.context.site['data-directory']}.holdfast-diverged-${this.#context.epoch}`;
    const checkpoint = parseLsn(after.checkpointLsn);
    const from = fork === undefined || checkpoint < fork ? checkpoint : fork;
    const kept = await this.#machine.keepLog(state.timeline, formatLsn(from), into, this.#limit(copyTimeoutMs));
    return this.#rewindOrCopy(history, kept);
  }

  async #rewindOrCopy(history: string, kept?: string): Promise<Method> {
    try {
      this.#context.progress('rewinding');
      await this.#machine.rewind(this.#access.upstream(this.#region), history, this.#limit(copyTimeoutMs));
      return await this.#note('rewound', kept);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.details['rewindFailed'] !== true) throw error;
      this.#context.log.warn('follow.rewind-failed', { region: this.#access.region, error: error.message });
      return this.#copy();
    }
  }

  async #copy(): Promise<Method> {
    this.#context.progress('copying the upstream anew');
    const kept = await this.#machine.copyAnew(this.#access.upstream(this.#region), this.#keep, this.#limit(copyTimeoutMs));
    return this.#note('copied', kept);
  }

  /** Slots of its time as a primary would keep its log for ever, now that nobody follows it. */
  async #dropOwnSlots(): Promise<void> {
    const members = this.#access.otherRegions().map((region) => this.#access.member(region));
    const limit = this.#limit();
    await (await this.#access.connection('verb', limit)).dropSlots(members, limit);
  }

  async #note(method: Method, kept?: string): Promise<Method> {
    await this.#context.keepNote({ method, ...(kept === undefined ? {} : { kept }) });
    return method;
  }

  async #untilStreaming(): Promise<boolean> {
    const { clock } = this.#access.context.host;
    const startedMs = clock.monotonicMs();
    while (clock.monotonicMs() - startedMs < streamingTimeoutMs) {
      const upstream = await readUpstream(this.#access, this.#region, this.#context);
      const own = await readOwn(this.#access, this.#context);
      if (typeof own !== 'string' && faultInFollowing(this.#access, this.#region, own, upstream) === undefined) return true;
      await clock.sleep(pollMs, this.#context.signal);
    }
    return false;
  }
}
