/**
 * What the cluster keeps: objects by kind, namespace and name, each with a resourceVersion that grows with every change of any of them, and the events that watches are fed from. Nothing here
 * judges an object; what comes in was judged.
 */
import { randomUUID } from 'node:crypto';
import { alreadyExists, conflict, notFound } from './api-error.ts';
import { recordUpdate } from './field-owners.ts';
import { equal, type Fields, type KubeObject, stamp } from './fields.ts';
import { apiVersionOf, type Kind, kindNamed } from './kinds.ts';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly object: KubeObject;
  readonly resourceVersion: number;
}

export interface Change {
  /** Of a kind with a status of its own: what may change. */
  readonly part?: 'object' | 'status';
  readonly manager?: string;
  readonly dryRun?: boolean;
}

const eventsKept = 5_000;

export class Store {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<(event: WatchEvent) => void>();
  #events: WatchEvent[] = [];
  #version = 1_000;

  get version(): number {
    return this.#version;
  }

  get oldestEvent(): number {
    return this.#events[0]?.resourceVersion ?? this.#version;
  }

  eventsAfter(version: number): readonly WatchEvent[] {
    return this.#events.filter((event) => event.resourceVersion > version);
  }

  listen(listener: (event: WatchEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  find(resource: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#of(resource).get(`${namespace ?? ''}/${name}`);
  }

  get(kind: Kind, namespace: string | undefined, name: string): KubeObject {
    const found = this.find(kind.resource, namespace, name);
    if (found === undefined) throw notFound(kind.group, kind.resource, name);
    return found;
  }

  /** In the order of their names. */
  list(resource: string, namespace?: string): KubeObject[] {
    return [...this.#of(resource)]
      .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  create(kind: Kind, namespace: string | undefined, input: Fields, change: Change = {}): KubeObject {
    const name = String(input.metadata?.name ?? `${input.metadata?.generateName ?? ''}${randomUUID().slice(0, 5)}`);
    if (this.find(kind.resource, namespace, name)) throw alreadyExists(kind.group, kind.resource, name);
    const object = structuredClone(input) as KubeObject;
    object.metadata = {
      ...object.metadata,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: randomUUID(),
      creationTimestamp: stamp(),
      resourceVersion: '',
      generation: 1,
    };
    if (change.manager) recordUpdate(kind.fields, undefined, object, change.manager);
    return change.dryRun ? object : this.#put(kind, object, 'ADDED');
  }

  /** `next` as it shall be. Its resourceVersion, where it has one, must be the present one. */
  update(kind: Kind, next: KubeObject, { part = 'object', manager, dryRun = false }: Change = {}): KubeObject {
    const before = this.get(kind, next.metadata.namespace, next.metadata.name);
    if (next.metadata.resourceVersion && next.metadata.resourceVersion !== before.metadata.resourceVersion)
      throw conflict(kind.group, kind.resource, next.metadata.name);
    const { resourceVersion, uid, creationTimestamp, generation, managedFields } = before.metadata;
    const object = structuredClone(next) as KubeObject;
    object.metadata = { ...object.metadata, resourceVersion, uid, creationTimestamp, generation };
    if (kind.hasStatus && part === 'object') object.status = before.status;
    const kept: KubeObject = part === 'status' ? { ...structuredClone(before), status: object.status } : object;
    if (kept.status === undefined) delete kept.status;
    if (!equal(kept.spec, before.spec)) kept.metadata.generation = Number(generation ?? 0) + 1;
    if (manager && part === 'object') {
      kept.metadata.managedFields = managedFields;
      recordUpdate(kind.fields, before, kept, manager);
    }
    if (
      equal(
        { ...kept, metadata: { ...kept.metadata, managedFields: [] } },
        { ...before, metadata: { ...before.metadata, managedFields: [] } },
      )
    )
      return before;
    return dryRun ? kept : this.#put(kind, kept, 'MODIFIED');
  }

  /** For the controllers of the cluster: changes what is there, whatever its version. Nothing happens where it is gone. */
  change(resource: string, object: KubeObject, how: (copy: KubeObject) => void): KubeObject | undefined {
    const present = this.find(resource, object.metadata.namespace, object.metadata.name);
    if (present === undefined || present.metadata.uid !== object.metadata.uid) return undefined;
    const copy = structuredClone(present);
    how(copy);
    if (equal(copy, present)) return present;
    const kind = kindNamed(resource);
    if (!equal(copy.spec, present.spec)) copy.metadata.generation = Number(present.metadata.generation ?? 0) + 1;
    return this.#put(kind, copy, 'MODIFIED');
  }

  remove(resource: string, object: KubeObject): void {
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    const found = this.#of(resource).get(key);
    if (found?.metadata.uid !== object.metadata.uid) return;
    this.#of(resource).delete(key);
    this.#version += 1;
    this.#tell({
      type: 'DELETED',
      resource,
      object: { ...found, metadata: { ...found.metadata, resourceVersion: String(this.#version) } },
      resourceVersion: this.#version,
    });
  }

  #put(kind: Kind, object: KubeObject, type: 'ADDED' | 'MODIFIED'): KubeObject {
    this.#version += 1;
    const kept = {
      ...object,
      apiVersion: apiVersionOf(kind),
      kind: kind.kind,
      metadata: { ...object.metadata, resourceVersion: String(this.#version) },
    };
    this.#of(kind.resource).set(`${kept.metadata.namespace ?? ''}/${kept.metadata.name}`, kept);
    this.#tell({ type, resource: kind.resource, object: kept, resourceVersion: this.#version });
    return kept;
  }

  #tell(event: WatchEvent): void {
    this.#events.push(event);
    if (this.#events.length > eventsKept) this.#events = this.#events.slice(-eventsKept / 2);
    for (const listener of this.#listeners) listener(event);
  }

  #of(resource: string): Map<string, KubeObject> {
    let found = this.#objects.get(resource);
    if (found === undefined) {
      found = new Map();
      this.#objects.set(resource, found);
    }
    return found;
  }
}
