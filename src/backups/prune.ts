/**
 * Carries a retention plan out: tombstones first; what has lain under one through its grace goes, manifest first; then log segments that nothing needs; then what never committed.
 *
 * Dying between any two lines is harmless. A tombstone is an object of its own, and a plan made anew finds it; a backup without its manifest is none, and the sweep finds the rest;
 * log segments go only after every backup that needs them has gone. The next run goes on.
 */
import { fail, HoldfastError } from '../base/errors.ts';
import { formatInstant } from '../base/instants.ts';
import type { Clock } from '../host/host.ts';
import type { BackupRepository } from './backup-repository.ts';
import type { CatalogueEntry } from './records.ts';
import type { RetentionPlan } from './retention.ts';

const planAgeMaxMs = 3_600_000;

export interface PruneRequest {
  readonly repository: BackupRepository;
  readonly plan: RetentionPlan;
  readonly by: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What never committed goes when it is older than this: longer than the longest backup. */
  readonly orphanAgeMs: number;
  onProgress?(message: string): void;
}

export interface PruneOutcome {
  readonly tombstoned: readonly string[];
  readonly removed: readonly string[];
  /** Should have gone and did not, with the reason; the next run tries again. */
  readonly held: readonly { readonly backupId: string; readonly why: string }[];
  readonly objects: number;
  readonly bytes: number;
  readonly refusals: RetentionPlan['refusals'];
}

class Pruning {
  readonly tombstoned: string[] = [];
  readonly removed: string[] = [];
  readonly held: { backupId: string; why: string }[] = [];
  readonly heldComponents = new Set<string>();
  objects = 0;
  bytes = 0;
  readonly request: PruneRequest;

  constructor(request: PruneRequest) {
    this.request = request;
  }

  count(gone: { readonly objects: number; readonly bytes: number }): void {
    this.objects += gone.objects;
    this.bytes += gone.bytes;
  }

  hold(entry: CatalogueEntry, why: string): void {
    this.held.push({ backupId: entry.backup.backupId, why });
    this.heldComponents.add(entry.backup.component);
  }

  async writeTombstones(): Promise<void> {
    const { repository, plan, by, clock, signal } = this.request;
    for (const { entry, because } of plan.remove) {
      signal.throwIfAborted();
      const { component, backupId } = entry.backup;
      await repository.writeTombstone({ component, backupId, because, by, atMs: clock.nowMs() });
      this.tombstoned.push(backupId);
    }
  }

  /** The plan was made from an older look. Whoever took a lease since keeps the backup: a reader takes its lease first and looks for a tombstone then. */
  async removeDue(): Promise<void> {
    const { repository, plan, clock, signal } = this.request;
    const byComponent = Map.groupBy(plan.due, ({ entry }) => entry.backup.component);
    for (const [component, due] of byComponent) {
      const now = await repository.readCatalogue(component);
      const byId = new Map(now.entries.map((entry) => [entry.backup.backupId, entry]));
      for (const { entry } of due) {
        signal.throwIfAborted();
        const current = byId.get(entry.backup.backupId);
        if (!current) continue;
        const lease = current.leases.find(({ untilMs }) => untilMs > clock.nowMs());
        // Newest first, so what needs it has been looked at: where that stays, this does.
        const user = now.entries.find(
          ({ backup }) => !this.removed.includes(backup.backupId) && backup.facts.needs?.includes(current.backup.backupId),
        );
        if (now.unreadable.length > 0) this.hold(entry, `${now.unreadable[0]?.object} can't be read`);
        else if (!current.tombstone) this.hold(entry, 'its tombstone is gone');
        else if (lease) this.hold(entry, `${lease.holder} holds it for ${lease.what}`);
        else if (user) this.hold(entry, `${user.backup.backupId} needs it`);
        else await this.removeOne(current);
      }
    }
  }

  private async removeOne(entry: CatalogueEntry): Promise<void> {
    const { backupId } = entry.backup;
    this.request.onProgress?.(`removing ${backupId}`);
    try {
      this.count(await this.request.repository.removeBackup(entry));
      this.removed.push(backupId);
    } catch (error) {
      // The store keeps it for longer than the catalogue knew of: nothing is wrong with the rest.
      if (!(error instanceof HoldfastError) || error.code !== 'STORE_LOCKED') throw error;
      this.hold(entry, error.message);
    }
  }

  async cutArchives(): Promise<void> {
    for (const cut of this.request.plan.archives) {
      this.request.signal.throwIfAborted();
      // A backup that stayed although it should have gone may need what the plan took for free.
      if (this.heldComponents.has(cut.component)) continue;
      this.request.onProgress?.(`removing the log of ${cut.component} before ${cut.before}`);
      this.count(await this.request.repository.removeArchive(cut.component, cut.identity, cut));
    }
  }
}

export async function applyRetention(request: PruneRequest): Promise<PruneOutcome> {
  const { plan, clock, repository, signal } = request;
  const refused = plan.refusals.find(({ component }) => component === undefined);
  if (refused) throw fail('PRUNE_REFUSED', { message: `nothing was pruned: ${refused.message}`, subject: repository.name });
  const ageMs = clock.nowMs() - plan.nowMs;
  if (ageMs < 0 || ageMs > planAgeMaxMs)
    throw fail('PRUNE_REFUSED', {
      message: `nothing was pruned: the plan is from ${formatInstant(plan.nowMs)}, and it is ${formatInstant(clock.nowMs())}`,
      hint: 'Make the plan anew.',
      subject: repository.name,
    });
  const pruning = new Pruning(request);
  await pruning.writeTombstones();
  await pruning.removeDue();
  await pruning.cutArchives();
  signal.throwIfAborted();
  pruning.count(await repository.sweepOrphans(request.orphanAgeMs));
  const { tombstoned, removed, held, objects, bytes } = pruning;
  return { tombstoned, removed, held, objects, bytes, refusals: plan.refusals };
}
