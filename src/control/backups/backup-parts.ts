/** What everything about backups is given: the repositories of the spec, each opened once, and a way to a component's source and restorer. */

import type { BackupRepository } from '../../backups/backup-repository.ts';
import type { ArchiveExtent } from '../../backups/retention-archives.ts';
import type { SabotageRequest } from '../../backups/sabotage.ts';
import { fail } from '../../base/errors.ts';
import type { BackupContext, BackupKind, BackupSource, DriverBackups, Restorer } from '../../contracts/backup.ts';
import type { DriverCatalog, SiteContext } from '../../contracts/driver.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { SiteReturn } from '../../contracts/site-return.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import type { Host } from '../../host/host.ts';
import type { BackupSpec } from '../../spec/backup-section.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import type { ComponentSpec, Spec } from '../../spec/spec.ts';
import { readPlatformState } from '../../state/platform-state.ts';
import { type SiteKey, siteKey } from '../../watch/site-key.ts';

/** Opens a repository that has been made before; REPOSITORY_MISSING otherwise. */
export type OpenRepository = (repository: RepositorySpec) => Promise<OpenedRepository>;

export interface OpenedRepository {
  readonly repository: BackupRepository;
  /** What is archived, from when to when; of one component or of all. */
  readArchiveExtents(component?: string): Promise<readonly ArchiveExtent[]>;
  /** For proofs over damage in the store: the store, and the same repository over another one. */
  readonly store?: SabotageRequest['store'];
}

export interface BackupPartsRequest {
  readonly spec: Spec;
  readonly catalog: DriverCatalog;
  readonly host: Host;
  readonly store: StateStore;
  readonly contexts: ReadonlyMap<SiteKey, SiteContext<unknown, unknown>>;
  readonly openRepository: OpenRepository;
  /** Where copies are restored to for proofs, and where drivers may spool; on a disk with room. */
  readonly scratchDirectory: string;
}

export class BackupParts {
  readonly spec: Spec;
  readonly host: Host;
  readonly store: StateStore;
  readonly scratchDirectory: string;
  readonly #request: BackupPartsRequest;
  readonly #opened = new Map<string, Promise<OpenedRepository>>();

  constructor(request: BackupPartsRequest) {
    this.#request = request;
    this.spec = request.spec;
    this.host = request.host;
    this.store = request.store;
    this.scratchDirectory = request.scratchDirectory;
  }

  /** The component with its backups. NOT_FOUND where the spec has none of that name, or nothing of it is backed up. */
  component(name: string): ComponentSpec & { readonly backup: readonly BackupSpec[] } {
    const component = this.spec.components.get(name);
    const backedUp = [...this.spec.components.values()].filter((each) => (each.backup ?? []).length > 0).map((each) => each.name);
    const known = backedUp.length === 0 ? 'No component of the spec has a backup section.' : `Backed up are: ${backedUp.join(', ')}.`;
    if (!component) throw fail('NOT_FOUND', { subject: name, message: `there is no component "${name}"`, hint: known });
    if (!component.backup?.length) throw fail('NOT_FOUND', { subject: name, message: `${name} is not backed up`, hint: known });
    return component as ComponentSpec & { readonly backup: readonly BackupSpec[] };
  }

  repositorySpec(name: string): RepositorySpec {
    const repository = this.spec.repositories?.get(name);
    if (repository) return repository;
    const names = [...(this.spec.repositories?.keys() ?? [])];
    throw fail('NOT_FOUND', {
      subject: name,
      message: `the spec has no repository "${name}"`,
      hint: names.length === 0 ? 'Name one below repositories.' : `There are: ${names.join(', ')}.`,
    });
  }

  /** Opened once; one that could not be opened is tried anew by who asks next. */
  async repository(name: string): Promise<BackupRepository> {
    return (await this.#open(name)).repository;
  }

  async opened(name: string): Promise<OpenedRepository> {
    return this.#open(name);
  }

  async archiveExtents(name: string, component?: string): Promise<readonly ArchiveExtent[]> {
    return (await this.#open(name)).readArchiveExtents(component);
  }

  #open(name: string): Promise<OpenedRepository> {
    const known = this.#opened.get(name);
    if (known) return known;
    const opening = this.#request.openRepository(this.repositorySpec(name));
    this.#opened.set(name, opening);
    opening.catch(() => this.#opened.delete(name));
    return opening;
  }

  driverBackups(component: ComponentSpec): DriverBackups<unknown, unknown> {
    const driver = this.#request.catalog.get(component.driver);
    if (driver?.backups) return driver.backups;
    throw fail('NO_SUCH_VERB', {
      subject: component.name,
      message: `${driver?.title ?? component.driver} has nothing that can be backed up`,
    });
  }

  kindOf(component: ComponentSpec, what: string): BackupKind | undefined {
    return this.driverBackups(component).kinds.find((kind) => kind.what === what);
  }

  /** The active region as the state has it now: after a failover the source is another one. */
  async activeRegion(): Promise<{ readonly region: string; readonly epoch: number }> {
    const entry = await readPlatformState(this.store);
    if (entry) return { region: entry.state.activeRegion, epoch: entry.state.epoch };
    const active = [...this.spec.regions.values()].find((region) => region.role === 'active') ?? [...this.spec.regions.values()][0];
    if (!active) throw fail('BUG_BROKEN_BELIEF', { message: 'a spec has regions' });
    return { region: active.name, epoch: 0 };
  }

  /** The component's site in the region, opened as a source of backups. */
  openSource(component: ComponentSpec, region: string): BackupSource {
    const context = this.#request.contexts.get(siteKey(component.name, region));
    if (!context)
      throw fail('NOT_FOUND', {
        subject: component.name,
        message: `${component.name} has no site in ${region}, the active region: there is nothing to take a backup from`,
        hint: `Add ${region} below sites of ${component.name}.`,
      });
    return this.driverBackups(component).openSource(context);
  }

  /** By which programs run on the machine of the component's site in the region. HANDS_MISSING where there are none. */
  handsAt(component: string, region: string): Hands {
    const context = this.#request.contexts.get(siteKey(component, region));
    if (!context) throw fail('NOT_FOUND', { subject: component, message: `${component} has no site in "${region}"` });
    if (context.hands) return context.hands;
    throw fail('HANDS_MISSING', { subject: component, message: `${component} has no hands in ${region}` });
  }

  handsOf(component: string, region: string): Hands | undefined {
    return this.#request.contexts.get(siteKey(component, region))?.hands;
  }

  /** How the component's site in the region is brought back from a backup; undefined where it can't be. */
  openReturn(name: string, region: string): SiteReturn | undefined {
    const component = this.component(name);
    const context = this.#request.contexts.get(siteKey(name, region));
    return context && this.#request.catalog.get(component.driver)?.openReturn?.(context);
  }

  canBringBack(name: string, region: string): boolean {
    const component = this.spec.components.get(name);
    const context = this.#request.contexts.get(siteKey(name, region));
    const driver = this.#request.catalog.get(component?.driver ?? '');
    return component?.backup !== undefined && context !== undefined && driver?.openReturn?.(context) !== undefined;
  }

  openRestorer(component: ComponentSpec, workDirectory: string, context: BackupContext): Restorer {
    return this.driverBackups(component).openRestorer({
      ...context,
      host: this.host,
      component: component.name,
      options: component.options,
      workDirectory,
    });
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values());
    await Promise.all(opened.map((one) => (one.status === 'fulfilled' ? one.value.repository.close() : undefined)));
  }
}

/** Whether the component's log is archived all the time into that repository. */
export function archivesInto(component: ComponentSpec, repository: string): boolean {
  return (component.backup ?? []).some((backup) => backup.schedule === undefined && backup.to === repository);
}
