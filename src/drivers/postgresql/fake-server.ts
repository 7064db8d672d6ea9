/**
 * One simulated server: its log, its role, whether it runs. The log is a list of entries that servers share by identity, so one history is a prefix of another when its
 * entries are the same ones; what a table holds is what the entries say.
 *
 * What it models: streaming (at once, or not at all), waiting for a synchronous standby, crash and orderly stop, the bar, timelines and forks, rewinding. What it does not:
 * lag in between, slots that fill a disk, replay apart from receipt, anything of SQL.
 */
import type { CanaryRow } from '../../contracts/driver.ts';
import { formatLsn, type Lsn } from './lsn.ts';
import type { ChangeableSetting, ClusterState, EpochRow, ServerStatus } from './ports.ts';
import { parseStandbyNames } from './synchronous.ts';

export type Entry =
  | { readonly kind: 'record'; readonly record: string }
  | { readonly kind: 'canary'; readonly component: string; readonly row: CanaryRow }
  | { readonly kind: 'epoch'; readonly component: string; readonly row: EpochRow }
  | { readonly kind: 'fork'; readonly from: number; readonly at: Lsn }
  | { readonly kind: 'checkpoint' };

const firstLsn = 0x300_0000n;
const entryBytes = 64n;

export class FakeServer {
  readonly host: string;
  readonly port: number;
  readonly password: string;
  readonly systemIdentifier: string;
  log: Entry[] = [];
  timeline = 1;
  running = true;
  hung = false;
  barred = false;
  barWord = '';
  inRecovery: boolean;
  /** In the words of pg_controldata. */
  state = 'in production';
  settings: Record<ChangeableSetting, string>;
  readonly slots = new Set<string>();
  /** Whom it receives from now. */
  upstream: FakeServer | undefined;
  readonly #onBreak = new Set<() => void>();

  constructor(parts: {
    host: string;
    port: number;
    password: string;
    systemIdentifier: string;
    primary?: { server: FakeServer; member: string };
  }) {
    this.host = parts.host;
    this.port = parts.port;
    this.password = parts.password;
    this.systemIdentifier = parts.systemIdentifier;
    const { primary } = parts;
    this.inRecovery = primary !== undefined;
    this.barred = primary !== undefined;
    this.log = [...(primary?.server.log ?? [])];
    this.settings = {
      default_transaction_read_only: 'off',
      primary_conninfo: primary ? conninfo(primary.server, primary.member) : '',
      primary_slot_name: '',
      synchronous_standby_names: '',
    };
  }

  get answers(): boolean {
    return this.running && !this.hung;
  }

  get end(): Lsn {
    return lsnAfter(this.log.length);
  }

  get member(): string {
    return /application_name='?(\w+)/.exec(this.settings.primary_conninfo)?.[1] ?? 'walreceiver';
  }

  onBreak(listener: () => void): () => void {
    this.#onBreak.add(listener);
    return () => this.#onBreak.delete(listener);
  }

  /** The processes are gone; what was in the log stays. */
  kill(): void {
    this.running = false;
    this.hung = false;
    this.upstream = undefined;
    this.state = this.inRecovery ? 'in archive recovery' : 'in production';
    for (const listener of [...this.#onBreak]) listener();
  }

  /** In an orderly stop, a primary's last entry is its checkpoint; the caller lets the standbys receive it before the end. */
  writeShutdown(): void {
    if (!this.inRecovery) this.log.push({ kind: 'checkpoint' });
  }

  endOrderly(): void {
    this.kill();
    this.state = this.inRecovery ? 'shut down in recovery' : 'shut down';
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.inRecovery = this.barred;
    this.state = this.inRecovery ? 'in archive recovery' : 'in production';
  }

  promote(): void {
    this.log.push({ kind: 'fork', from: this.timeline, at: this.end });
    this.timeline += 1;
    this.inRecovery = false;
    this.barred = false;
    this.upstream = undefined;
    this.state = 'in production';
  }

  /** Whether everything in it is also in the other one, in the same order. An entry is written once, at one place of one history: whoever has it there has all that came before it. */
  isPrefixOf(other: FakeServer): boolean {
    const last = this.log.length - 1;
    return last < other.log.length && (last < 0 || this.log[last] === other.log[last]);
  }

  records(): string[] {
    return this.log.flatMap((entry) => (entry.kind === 'record' ? [entry.record] : [])).sort();
  }

  canary(component: string): CanaryRow | undefined {
    const newest = this.log.findLast((entry) => entry.kind === 'canary' && entry.component === component);
    return newest?.kind === 'canary' ? newest.row : undefined;
  }

  epoch(component: string): EpochRow | undefined {
    const newest = this.log.findLast((entry) => entry.kind === 'epoch' && entry.component === component);
    return newest?.kind === 'epoch' ? newest.row : undefined;
  }

  historyText(): string {
    return this.log
      .flatMap((entry) => (entry.kind === 'fork' ? [`${entry.from}\t${formatLsn(entry.at)}\tno recovery target specified\n`] : []))
      .join('');
  }

  rewoundOnto: string | undefined;

  /** Where the log begins to differ from the other one's. */
  commonLength(other: FakeServer): number {
    let length = 0;
    while (length < this.log.length && this.log[length] === other.log[length]) length += 1;
    return length;
  }

  clusterState(): ClusterState {
    return {
      processes: this.running ? 5 : 0,
      barred: this.barred,
      barWord: this.barred ? this.barWord : '',
      rewinding: false,
      ...(this.rewoundOnto === undefined ? {} : { rewoundOnto: this.rewoundOnto }),
      state: this.state,
      systemIdentifier: this.systemIdentifier,
      timeline: this.timeline,
      timelineHistory: this.historyText(),
      checkpointLsn: formatLsn(this.state === 'shut down' ? lsnAfter(this.log.length - 1) : firstLsn),
      appliedLsn: formatLsn(this.state === 'shut down in recovery' ? this.end : 0n),
    };
  }

  status(followers: readonly FakeServer[]): ServerStatus {
    const lsn = formatLsn(this.end);
    return {
      inRecovery: this.inRecovery,
      systemIdentifier: this.systemIdentifier,
      version: 15,
      timeline: this.timeline,
      lsn,
      replayLsn: this.inRecovery ? lsn : null,
      paused: false,
      receiver: this.upstream && { status: 'streaming', lastMessageAgeMs: 0, host: this.upstream.host, port: this.upstream.port },
      standbys: this.inRecovery
        ? []
        : followers.map((each) => ({
            member: each.member,
            state: 'streaming',
            syncState: this.syncStateOf(each),
            lagBytes: '0',
            lagMs: null,
          })),
      slots: [...this.slots].map((name) => ({
        name,
        active: followers.some((each) => each.member === name),
        retainedBytes: '0',
        walStatus: 'reserved',
      })),
      settings: {
        ...this.settings,
        data_directory: `/fake/${this.port}`,
        full_page_writes: 'on',
        fsync: 'on',
        synchronous_commit: 'on',
        data_checksums: 'on',
        wal_level: 'replica',
        wal_log_hints: 'on',
        wal_receiver_timeout: '60000',
      },
      seesEverything: true,
    };
  }

  syncStateOf(follower: FakeServer): 'quorum' | 'async' {
    return parseStandbyNames(this.settings.synchronous_standby_names).names.includes(follower.member) ? 'quorum' : 'async';
  }
}

export function lsnAfter(entries: number): Lsn {
  return firstLsn + entryBytes * BigInt(entries);
}

export function conninfo(server: { readonly host: string; readonly port: number }, member: string): string {
  return `host='${server.host}' port='${server.port}' application_name='${member}'`;
}
