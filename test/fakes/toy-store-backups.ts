/** The toy store as something that can be backed up by the whole program: a source in front of the toy database's restorer. What it holds and how it behaves is the test's to say. */
import type { AnyDriverBackups, ArchiveOptions, BackupContext, BackupSink, BackupSource, TakeOptions } from '../../src/contracts/backup.ts';
import type { SiteContext } from '../../src/contracts/site-context.ts';
import { type ToyRow, toyBackups, toyFingerprint, toyPosition, toyRow } from './toy-backups.ts';

export class ToyStoreBackups implements AnyDriverBackups {
  rows: readonly ToyRow[] = [toyRow(1), toyRow(2)];
  /** Regions that backups were taken from, and that were archived from, in order. */
  readonly taken: string[] = [];
  readonly archivedFrom: string[] = [];
  /** Awaited in the middle of a backup. */
  duringTake: (region: string) => Promise<void> = async () => {};
  /** Awaited before an archive begins. */
  beforeArchive: (region: string) => Promise<void> = async () => {};
  /** Awaited when a copy is started. */
  duringStart: () => Promise<void> = async () => {};
  readonly restorer = toyBackups({ at: (phase) => (phase === 'start' ? this.duringStart() : undefined) });
  readonly openRestorer = this.restorer.openRestorer;
  readonly kinds = [
    { what: 'base', summary: 'all rows', continuous: false, isDefault: true },
    { what: 'log', summary: 'what happens', continuous: true },
  ];

  openSource(site: SiteContext<unknown, unknown>): BackupSource {
    const { region, host } = site;
    return {
      take: (_what, sink, options) => this.#take(region, host.clock.nowMs(), sink, options),
      archive: async (_open, options, context) => {
        await this.beforeArchive(region);
        this.archivedFrom.push(region);
        await this.#archive(() => host.clock.nowMs(), host.clock.sleep, options, context);
      },
      close: async () => {},
    };
  }

  async #take(region: string, atMs: number, sink: BackupSink, options: TakeOptions) {
    this.taken.push(region);
    const part = sink.openPart('rows.json');
    await part.write(new TextEncoder().encode(JSON.stringify(this.rows)));
    await this.duringTake(region);
    await part.end();
    const canary = sink.openPart('canary.json');
    await canary.write(new TextEncoder().encode('null'));
    await canary.end();
    return {
      engine: 'toy',
      engineVersion: '1.0',
      identity: '7000000000000000001',
      consistentAtMs: atMs,
      dataBytes: 100,
      fingerprint: toyFingerprint(this.rows, options.fingerprintKey),
    };
  }

  async #archive(
    nowMs: () => number,
    sleep: (ms: number, signal?: AbortSignal) => Promise<void>,
    options: ArchiveOptions,
    { signal }: BackupContext,
  ) {
    for (let number = 1; !signal.aborted; number += 1) {
      options.onArchived({ position: toyPosition(number), atMs: nowMs() });
      await sleep(500, signal).catch(() => undefined);
    }
  }
}
