/** What the verbs of the control plane are given, besides the step's context. */
import type { Site } from '../../contracts/driver.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Host } from '../../host/host.ts';
import type { Spec } from '../../spec/spec.ts';
import type { SiteKey } from '../../watch/site-key.ts';
import type { RegionVerdict } from '../../watch/verdict.ts';
import type { Watch } from '../../watch/watch.ts';
import type { BackupParts } from '../backups/backup-parts.ts';
import type { ViewParts } from '../view.ts';

export interface PlatformParts {
  readonly backups: BackupParts;
  readonly spec: Spec;
  readonly store: StateStore;
  readonly host: Host;
  readonly watch: Watch;
  readonly sites: ReadonlyMap<SiteKey, Site>;
  /** A fresh look at the whole. */
  view(): Promise<ViewParts>;
  /** @param looked own looks that are under way: our own word is that of after them */
  verdict(region: string, looked?: Promise<void>): Promise<RegionVerdict>;
}
