/**
 * Keeps one component's log being archived, all the time, from the region that is active. What ends it is begun again after a growing pause; after a failover it goes on from the new
 * primary. What it knows is kept in the state, once a second at the most.
 *
 * When the process dies here nothing is lost: the source and the repository know how far the archive came.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import { putRecord } from '../../watch/watch-records.ts';
import { type ArchiverRecord, archiverRecordPrefix } from './archiver-records.ts';
import type { BackupParts } from './backup-parts.ts';

const backoffFirstMs = 1_000;
const backoffMaxMs = 60_000;
/** A run that lasted so long was a good one: what ends it later is a new trouble. */
const goodRunMs = 60_000;
const publishEveryMs = 1_000;

export interface ArchiverOf {
  readonly id: string;
  readonly component: string;
  readonly what: string;
  readonly repository: string;
}

export class Archiver {
  readonly #parts: BackupParts;
  readonly #of: ArchiverOf;
  readonly #signal: AbortSignal;
  #record: ArchiverRecord;
  #published = 0;
  #publishing: Promise<void> = Promise.resolve();
  #region: string | undefined;
  #leaveRegion = new AbortController();
  #ended: Promise<void> | undefined;

  constructor(parts: BackupParts, of: ArchiverOf, signal: AbortSignal) {
    this.#parts = parts;
    this.#of = of;
    this.#signal = signal;
    const { component, what, repository } = of;
    const nowMs = parts.host.clock.nowMs();
    this.#record = { component, what, repository, state: 'starting', region: '', sinceMs: nowMs, atMs: nowMs, failures: 0 };
  }

  /** Archives from that region from now on. */
  aim(region: string): void {
    if (region === this.#region) return;
    this.#region = region;
    this.#leaveRegion.abort(fail('INTERRUPTED', { message: `${region} is the active region now` }));
    this.#ended ??= this.#keepRunning();
  }

  async ended(): Promise<void> {
    await this.#ended;
    await this.#publishing;
  }

  async #keepRunning(): Promise<void> {
    const { clock, log } = this.#parts.host;
    let backoffMs = backoffFirstMs;
    while (!this.#signal.aborted) {
      this.#leaveRegion = new AbortController();
      const region = this.#region as string;
      const signal = AbortSignal.any([this.#signal, this.#leaveRegion.signal]);
      const startedMs = clock.monotonicMs();
      this.#tell({ state: 'starting', region }, true);
      try {
        await this.#archive(region, signal);
        if (!signal.aborted) throw fail('BACKUP_TOOL_FAILED', { message: 'the archive ended by itself' });
      } catch (thrown) {
        if (signal.aborted) continue;
        const error = asHoldfastError(thrown);
        if (clock.monotonicMs() - startedMs > goodRunMs) backoffMs = backoffFirstMs;
        log.warn('backups.archive-failed', {
          archive: this.#of.id,
          region,
          code: error.code,
          message: error.message,
          againInMs: backoffMs,
        });
        this.#tell({ state: 'failing', error: { code: error.code, message: error.message }, failures: this.#record.failures + 1 }, true);
        await clock.sleep(backoffMs, signal).catch(() => undefined);
        backoffMs = Math.min(backoffMaxMs, backoffMs * 2);
      }
    }
    this.#tell({ state: 'stopped' }, true);
  }

  async #archive(region: string, signal: AbortSignal): Promise<void> {
    const component = this.#parts.component(this.#of.component);
    const repository = await this.#parts.repository(this.#of.repository);
    const source = this.#parts.openSource(component, region);
    try {
      if (!source.archive)
        throw fail('NO_SUCH_VERB', {
          subject: component.name,
          message: `${component.name} in ${region} can not be archived from here as it is configured`,
        });
      await source.archive(
        (identity) => repository.openArchive(component.name, identity),
        {
          onArchived: ({ position, atMs }) => {
            const first = this.#record.state !== 'archiving';
            this.#tell({ state: 'archiving', archivedAtMs: atMs, position: position.text, failures: 0 }, first);
          },
        },
        { signal, log: this.#parts.host.log.with({ component: component.name }), progress: () => {} },
      );
    } finally {
      await source.close();
    }
  }

  #tell(change: Partial<ArchiverRecord>, atOnce: boolean): void {
    const { clock, log } = this.#parts.host;
    const nowMs = clock.nowMs();
    const { error: _error, ...before } = this.#record;
    const sinceMs = change.state === undefined || change.state === before.state ? before.sinceMs : nowMs;
    this.#record = { ...before, ...change, sinceMs, atMs: nowMs } as ArchiverRecord;
    if (!atOnce && clock.monotonicMs() - this.#published < publishEveryMs) return;
    this.#published = clock.monotonicMs();
    const written = putRecord(`${archiverRecordPrefix}${this.#of.id}`, this.#record);
    this.#publishing = this.#publishing
      .then(async () => {
        await this.#parts.store.commit([written]);
      })
      .catch((thrown) => log.warn('backups.archive-state-not-kept', { message: asHoldfastError(thrown).message }));
  }
}
