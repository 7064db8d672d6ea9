/**
 * The controllers of Velero: locations are looked at, schedules judged, backups taken of the objects of namespaces, restores put back what is not there yet (and say Completed all the same), backups of
 * others in the same bucket appear, and only a request for deletion makes one go for good.
 */
import type { ClusterSettings, OutsideWorld } from './cluster-settings.ts';
import { equal, type Fields, type KubeObject, stamp } from './fields.ts';
import { kindNamed } from './kinds.ts';
import type { Store } from './store.ts';

const backedUp = [
  'configmaps',
  'secrets',
  'services',
  'deployments',
  'statefulsets',
  'persistentvolumeclaims',
  'networkpolicies',
  'poddisruptionbudgets',
];
const ended = new Set(['Completed', 'PartiallyFailed', 'Failed', 'FailedValidation']);

export class Velero {
  readonly #store: Store;
  readonly #settings: ClusterSettings;
  readonly #world: OutsideWorld;
  readonly #begunMs = new Map<string, number>();
  #syncedMs = 0;
  #scheduled = 0;

  constructor(store: Store, settings: ClusterSettings, world: OutsideWorld) {
    this.#store = store;
    this.#settings = settings;
    this.#world = world;
  }

  reconcile(): void {
    for (const location of this.#store.list('backupstoragelocations')) this.#lookAtLocation(location);
    for (const schedule of this.#store.list('schedules')) this.#judgeSchedule(schedule);
    if (performance.now() - this.#syncedMs >= this.#settings.veleroSyncMs) {
      this.#syncedMs = performance.now();
      for (const location of this.#store.list('backupstoragelocations')) this.#sync(location);
    }
    for (const backup of this.#store.list('backups')) this.#backup(backup);
    for (const restore of this.#store.list('restores')) this.#restore(restore);
    for (const request of this.#store.list('deletebackuprequests')) this.#delete(request);
  }

  /** What the schedule does when its time has come. */
  takeScheduled(schedule: KubeObject): KubeObject {
    // Names have seconds only: a test does not wait for the next one.
    this.#scheduled += 1;
    const at = stamp(Date.now() + this.#scheduled * 1_000);
    const name = `${schedule.metadata.name}-${at.replace(/[-:TZ]/g, '')}`;
    this.#store.change('schedules', schedule, (copy) => {
      copy.status = { ...copy.status, lastBackup: at };
    });
    return this.#store.create(kindNamed('backups'), schedule.metadata.namespace, {
      metadata: { name, labels: { 'velero.io/schedule-name': schedule.metadata.name } },
      spec: schedule.spec.template,
    });
  }

  #lookAtLocation(location: KubeObject): void {
    const bucket = this.#world.buckets.get(String(location.spec.objectStorage?.bucket));
    const phase = bucket?.reachable ? 'Available' : 'Unavailable';
    const message =
      bucket === undefined
        ? 'rpc error: code = Unknown desc = NoSuchBucket: The specified bucket does not exist'
        : bucket.reachable
          ? undefined
          : 'rpc error: code = Unknown desc = RequestError: send request failed';
    this.#store.change('backupstoragelocations', location, (copy) => {
      if (copy.status?.phase === phase && copy.status.message === message) return;
      copy.status = { ...copy.status, phase, lastValidationTime: stamp(), ...(message ? { message } : {}) };
      if (!message) delete copy.status.message;
    });
  }

  #judgeSchedule(schedule: KubeObject): void {
    const fields = String(schedule.spec.schedule).trim().split(/\s+/);
    const right = fields.length === 5 && fields.every((field) => /^[\d*/,-]+$/.test(field));
    this.#store.change('schedules', schedule, (copy) => {
      copy.status = right
        ? { ...copy.status, phase: 'Enabled' }
        : {
            phase: 'FailedValidation',
            validationErrors: [`invalid schedule: expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`],
          };
    });
  }

  #sync(location: KubeObject): void {
    const bucket = this.#world.buckets.get(String(location.spec.objectStorage?.bucket));
    if (!bucket?.reachable) return;
    for (const [name, { backup }] of bucket.backups)
      if (!this.#store.find('backups', location.metadata.namespace, name))
        this.#store.create(kindNamed('backups'), location.metadata.namespace, {
          metadata: { name, labels: backup.metadata.labels },
          spec: { ...backup.spec, storageLocation: location.metadata.name },
          status: backup.status,
        });
    // A completed backup that is no longer in the bucket goes from here too.
    for (const backup of this.#store.list('backups', location.metadata.namespace))
      if (
        backup.spec.storageLocation === location.metadata.name &&
        backup.status?.phase === 'Completed' &&
        !bucket.backups.has(backup.metadata.name)
      )
        this.#store.remove('backups', backup);
  }

  #locationOf(object: KubeObject): KubeObject | undefined {
    const named = object.spec.storageLocation;
    const all = this.#store.list('backupstoragelocations', object.metadata.namespace);
    return named ? all.find(({ metadata }) => metadata.name === named) : all.find(({ spec }) => spec.default === true);
  }

  #backup(backup: KubeObject): void {
    const phase = backup.status?.phase;
    if (ended.has(phase)) return;
    const location = this.#locationOf(backup);
    const set = (status: Fields, spec: Fields = {}): void =>
      void this.#store.change('backups', backup, (copy) => {
        copy.status = { ...copy.status, version: 1, formatVersion: '1.1.0', ...status };
        copy.spec = { ...copy.spec, ...spec };
      });
    if (phase === undefined || phase === 'New') {
      const ttl = backup.spec.ttl ?? '720h0m0s';
      const errors = [
        ...(location === undefined
          ? [
              `an existing backup storage location was not specified at backup creation time and the default default was not found. Please address this issue`,
            ]
          : []),
        ...(location?.status?.phase === 'Unavailable'
          ? [`backup can't be created because BackupStorageLocation ${location.metadata.name} is in Unavailable status`]
          : []),
        ...(location?.spec.accessMode === 'ReadOnly'
          ? [`backup can't be created because backup storage location ${location.metadata.name} is currently in read-only mode`]
          : []),
        ...(/^(\d+h)?(\d+m)?(\d+s)?$/.test(ttl) ? [] : [`invalid ttl: ${ttl}`]),
      ];
      if (errors.length > 0) {
        set({ phase: 'FailedValidation', validationErrors: errors });
        return;
      }
      this.#begunMs.set(backup.metadata.uid, performance.now());
      const hours = Number(/^(\d+)h/.exec(ttl)?.[1] ?? 0);
      set(
        { phase: 'InProgress', startTimestamp: stamp(), expiration: stamp(Date.now() + hours * 3_600_000) },
        { storageLocation: location?.metadata.name, ttl },
      );
      return;
    }
    if (
      this.#settings.veleroFault === 'hang' ||
      performance.now() - (this.#begunMs.get(backup.metadata.uid) ?? 0) < this.#settings.veleroMs
    )
      return;
    const bucket = this.#world.buckets.get(String(location?.spec.objectStorage?.bucket));
    const items = this.#itemsOf(backup.spec);
    if (this.#settings.veleroFault === 'fail' || !bucket?.reachable) {
      set({ phase: 'Failed', failureReason: 'error uploading backup to object storage', completionTimestamp: stamp(), errors: 1 });
      return;
    }
    const partial = this.#settings.veleroFault === 'partial';
    const kept = partial ? items.slice(1) : items;
    set({
      phase: partial ? 'PartiallyFailed' : 'Completed',
      completionTimestamp: stamp(),
      progress: { totalItems: items.length, itemsBackedUp: kept.length },
      ...(partial ? { errors: 1 } : {}),
      hookStatus: {},
    });
    const done = this.#store.find('backups', backup.metadata.namespace, backup.metadata.name);
    if (done) bucket.backups.set(backup.metadata.name, { backup: structuredClone(done), items: structuredClone(kept) });
  }

  #itemsOf(spec: Fields): Fields[] {
    const chosen = (namespace: string): boolean => {
      const included = (spec.includedNamespaces ?? ['*']) as string[];
      return (included.includes('*') || included.includes(namespace)) && !((spec.excludedNamespaces ?? []) as string[]).includes(namespace);
    };
    return backedUp.flatMap((resource) =>
      this.#store
        .list(resource)
        .filter(({ metadata }) => chosen(String(metadata.namespace)))
        .map((object) => ({ resource, object: structuredClone(object) })),
    );
  }

  #restore(restore: KubeObject): void {
    const phase = restore.status?.phase;
    if (ended.has(phase)) return;
    const set = (status: Fields): void =>
      void this.#store.change('restores', restore, (copy) => {
        copy.status = { ...copy.status, ...status };
      });
    const found = this.#findBackup(restore);
    if (phase === undefined || phase === 'New') {
      const errors =
        restore.spec.backupName && restore.spec.scheduleName
          ? ['Either a backup or schedule must be specified as a source for the restore, but not both']
          : found === undefined
            ? [`Error retrieving backup: backup.velero.io "${restore.spec.backupName}" not found`]
            : [];
      if (errors.length > 0) {
        set({ phase: 'FailedValidation', validationErrors: errors });
        return;
      }
      this.#begunMs.set(restore.metadata.uid, performance.now());
      set({ phase: 'InProgress', startTimestamp: stamp() });
      return;
    }
    if (
      this.#settings.veleroFault === 'hang' ||
      performance.now() - (this.#begunMs.get(restore.metadata.uid) ?? 0) < this.#settings.veleroMs
    )
      return;
    const location = found && this.#locationOf(found);
    const kept = this.#world.buckets.get(String(location?.spec.objectStorage?.bucket))?.backups.get(String(found?.metadata.name));
    if (kept === undefined || this.#settings.veleroFault === 'fail') {
      set({ phase: 'Failed', failureReason: 'error downloading backup', completionTimestamp: stamp() });
      return;
    }
    set(this.#putBack(restore.spec, kept.items));
  }

  #findBackup(restore: KubeObject): KubeObject | undefined {
    if (restore.spec.backupName) return this.#store.find('backups', restore.metadata.namespace, restore.spec.backupName);
    return this.#store
      .list('backups', restore.metadata.namespace)
      .findLast(
        ({ metadata, status }) =>
          metadata.labels?.['velero.io/schedule-name'] === restore.spec.scheduleName && status?.phase === 'Completed',
      );
  }

  #putBack(spec: Fields, items: readonly Fields[]): Fields {
    const wanted = (spec.includedNamespaces ?? ['*']) as string[];
    const chosen = items.filter(({ object }) => wanted.includes('*') || wanted.includes(object.metadata.namespace));
    const partial = this.#settings.veleroFault === 'partial';
    let warnings = 0;
    for (const { resource, object } of partial ? chosen.slice(1) : chosen) {
      const namespace = spec.namespaceMapping?.[object.metadata.namespace] ?? object.metadata.namespace;
      if (!this.#store.find('namespaces', undefined, namespace))
        this.#store.create(kindNamed('namespaces'), undefined, { metadata: { name: namespace }, status: { phase: 'Active' } });
      const {
        uid: _u,
        resourceVersion: _v,
        creationTimestamp: _c,
        ownerReferences: _o,
        generation: _g,
        ...metadata
      } = object.metadata as Fields;
      const { status: _s, ...rest } = object as Fields;
      const present = this.#store.find(resource, namespace, object.metadata.name);
      if (present === undefined) this.#store.create(kindNamed(resource), namespace, { ...rest, metadata: { ...metadata, namespace } });
      else if (!equal(present.spec, object.spec) || !equal(present.data, object.data)) {
        warnings += 1;
        if (spec.existingResourcePolicy === 'update')
          this.#store.change(resource, present, (copy) => Object.assign(copy, structuredClone({ ...rest, metadata: copy.metadata })));
      }
    }
    // Objects that were there already count as restored: only the warnings tell.
    return {
      phase: partial ? 'PartiallyFailed' : 'Completed',
      completionTimestamp: stamp(),
      progress: { totalItems: chosen.length, itemsRestored: partial ? chosen.length - 1 : chosen.length },
      ...(warnings > 0 ? { warnings } : {}),
      ...(partial ? { errors: 1 } : {}),
    };
  }

  #delete(request: KubeObject): void {
    if (request.status?.phase === 'Processed') return;
    const backup = this.#store.find('backups', request.metadata.namespace, request.spec.backupName);
    const location = backup && this.#locationOf(backup);
    const errors =
      backup === undefined
        ? ['backup not found']
        : location?.spec.accessMode === 'ReadOnly'
          ? [`cannot delete backup because backup storage location ${location.metadata.name} is currently in read-only mode`]
          : [];
    if (errors.length === 0 && backup) {
      this.#world.buckets.get(String(location?.spec.objectStorage?.bucket))?.backups.delete(backup.metadata.name);
      this.#store.remove('backups', backup);
    }
    this.#store.change('deletebackuprequests', request, (copy) => {
      copy.status = { phase: 'Processed', ...(errors.length > 0 ? { errors } : {}) };
    });
  }
}
