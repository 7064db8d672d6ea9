/** One archiver for each log that the spec wants archived; all of them aimed at the region that is active. */

import { Archiver } from './archiver.ts';
import type { BackupParts } from './backup-parts.ts';
import { scheduleId } from './schedules-of.ts';

export class Archivers {
  readonly #archivers: readonly Archiver[];
  readonly #parts: BackupParts;

  constructor(parts: BackupParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#archivers = [...parts.spec.components.values()].flatMap((component) =>
      (component.backup ?? [])
        .filter((backup) => backup.schedule === undefined)
        .map(
          (backup) =>
            new Archiver(
              parts,
              { id: scheduleId(component.name, backup), component: component.name, what: backup.what, repository: backup.to },
              signal,
            ),
        ),
    );
  }

  /** Follows the active region; cheap to call often. */
  async turn(): Promise<void> {
    if (this.#archivers.length === 0) return;
    const { region } = await this.#parts.activeRegion();
    for (const archiver of this.#archivers) archiver.aim(region);
  }

  async ended(): Promise<void> {
    await Promise.all(this.#archivers.map((archiver) => archiver.ended()));
  }
}
