/**
 * All metrics of one controller at an instant.
 *
 * Invariant: asking never waits for more than `stateWithinMs`, and never makes more than one look at the state and one at the repositories at a time, however many ask and however slow
 * those are: whoever acts is not held up by whoever watches it. What could not be read is left out, and a metric says so; what is older than the answer has the time of its own.
 */
import { computeBackupMetrics } from '../../backups/alarms-metrics.ts';
import { asHoldfastError } from '../../base/errors.ts';
import type { MetricDefinition, MetricSample } from '../../base/metric.ts';
import { readAlarmInput } from '../backups/backup-faults.ts';
import type { Control } from '../control.ts';
import { ExecutionCounts } from './execution-counts.ts';
import { definitionsWith } from './metric-definitions.ts';
import { readStateMetrics } from './state-metrics.ts';
import { computeWatchMetrics } from './watch-metrics.ts';

export interface MetricsOptions {
  readonly version: string;
  /** How long an answer waits for the state. */
  readonly stateWithinMs?: number;
  /** What was read from the state serves everybody for so long. */
  readonly stateEveryMs?: number;
  /** Reading the repositories costs requests: not more often than this, and only while somebody asks. */
  readonly backupsEveryMs?: number;
}

export interface ControllerReadiness {
  readonly ready: boolean;
  /** What is missing, for people. */
  readonly why: string;
}

interface StateReading {
  readonly samples: readonly MetricSample[];
  readonly atMonotonicMs: number;
}

export class MetricsReader {
  /** Told of what executions do by whoever runs them. */
  readonly counts = new ExecutionCounts();
  /** Of everything that it may tell. */
  readonly definitions: Readonly<Record<string, MetricDefinition>>;
  readonly #control: Control;
  readonly #options: Required<MetricsOptions>;
  readonly #startedAtMs: number;
  #state: StateReading | undefined;
  #readingState: Promise<StateReading | undefined> | undefined;
  #backups: readonly MetricSample[] = [];
  #backupsAtMonotonicMs: number | undefined;
  #readingBackups = false;

  constructor(control: Control, options: MetricsOptions) {
    this.#control = control;
    this.definitions = definitionsWith(control.parts.catalog.values());
    this.#options = { stateWithinMs: 2_000, stateEveryMs: 1_000, backupsEveryMs: 60_000, ...options };
    this.#startedAtMs = control.parts.host.clock.nowMs();
  }

  async read(): Promise<readonly MetricSample[]> {
    const { spec } = this.#control.parts;
    this.#lookAtBackups();
    const state = await this.#currentState();
    return [
      { name: 'holdfast_build_info', labels: { version: this.#options.version }, value: 1 },
      { name: 'holdfast_start_timestamp_seconds', labels: { platform: spec.name }, value: this.#startedAtMs / 1_000 },
      { name: 'holdfast_state_readable', labels: {}, value: state ? 1 : 0 },
      ...computeWatchMetrics(spec, this.#control.watch),
      ...(state?.samples ?? []),
      ...this.counts.samples(),
      ...this.#backups,
    ];
  }

  /** Whether this controller does its work: it looks at the sites, and the state can be read. */
  async readiness(): Promise<ControllerReadiness> {
    if (!this.#control.watch.started) return { ready: false, why: 'the sites are not watched yet' };
    if (!(await this.#currentState())) return { ready: false, why: 'the state can not be read' };
    return { ready: true, why: 'watching, and the state can be read' };
  }

  async #currentState(): Promise<StateReading | undefined> {
    const { clock } = this.#control.parts.host;
    const { stateEveryMs, stateWithinMs } = this.#options;
    if (this.#state && clock.monotonicMs() - this.#state.atMonotonicMs < stateEveryMs) return this.#state;
    this.#readingState ??= this.#readState().finally(() => {
      this.#readingState = undefined;
    });
    const over = new AbortController();
    const waited = clock.sleep(stateWithinMs, over.signal).catch(() => undefined);
    try {
      return (await Promise.race([this.#readingState, waited])) ?? undefined;
    } finally {
      over.abort();
    }
  }

  async #readState(): Promise<StateReading | undefined> {
    const { clock, log } = this.#control.parts.host;
    const atMonotonicMs = clock.monotonicMs();
    try {
      const samples = await readStateMetrics(this.#control);
      this.#state = { samples, atMonotonicMs };
      return this.#state;
    } catch (thrown) {
      const { code, message } = asHoldfastError(thrown);
      log.warn('metrics.state-unreadable', { code, message });
      return undefined;
    }
  }

  /** Begins a look where the last one is old. Nobody waits for it: a store far away may take minutes. */
  #lookAtBackups(): void {
    const { host } = this.#control.parts;
    const nowMs = host.clock.monotonicMs();
    const fresh = this.#backupsAtMonotonicMs !== undefined && nowMs - this.#backupsAtMonotonicMs < this.#options.backupsEveryMs;
    if (fresh || this.#readingBackups) return;
    this.#readingBackups = true;
    this.#backupsAtMonotonicMs = nowMs;
    readAlarmInput(this.#control.backups, true)
      .then((input) => {
        this.#backups = input === undefined ? [] : computeBackupMetrics(input);
      })
      .catch((thrown) => {
        // What was read before stays, with its time: a rule tells when that is long ago.
        const { code, message } = asHoldfastError(thrown);
        host.log.warn('metrics.backups-unreadable', { code, message });
      })
      .finally(() => {
        this.#readingBackups = false;
      });
  }
}
