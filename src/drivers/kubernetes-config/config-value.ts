/**
 * One value in one cluster: reading it, setting it with the old one recorded beside it, and restarting what reads it.
 *
 * The patch takes only the object as it was read. Which change it was stands on the object, and on the templates of what was restarted for it: whoever comes after a crash sees what is left to do.
 */
import type { JsonObject } from '../../base/json.ts';
import type { Host } from '../../host/host.ts';
import { annotations, epochOf, refuseOlderEpoch } from '../kubernetes-api/annotations.ts';
import { clearTheWay, findArgoOwner } from '../kubernetes-api/argo-owner.ts';
import { type CallOptions, KubernetesClient, type Resource, versionOf } from '../kubernetes-api/client.ts';
import type { KubeObject } from '../kubernetes-api/objects.ts';
import { inspectRestart, type Restart, restart } from '../kubernetes-api/restart.ts';
import { type ConfigOptions, type ConfigSiteOptions, revealed } from './options.ts';

export interface ValueStanding {
  readonly state: 'absent' | 'pending' | 'done';
  readonly why: string;
}

export class ConfigValue {
  readonly client: KubernetesClient;
  readonly #host: Host;
  readonly #options: ConfigOptions;
  readonly #resource: Resource;
  readonly #component: string;

  constructor(host: Host, component: string, options: ConfigOptions, site: ConfigSiteOptions) {
    this.client = new KubernetesClient(host, site);
    this.#host = host;
    this.#options = options;
    this.#component = component;
    const plural = options.secret === undefined ? 'configmaps' : 'secrets';
    this.#resource = { apiVersion: 'v1', plural, namespace: site.namespace ?? options.namespace };
  }

  get #name(): string {
    return (this.#options.secret ?? this.#options['config-map']) as string;
  }

  /** For messages: `config map shop/ledger-config in us-east-1`. */
  get subject(): string {
    return `${this.#options.secret === undefined ? 'config map' : 'secret'} ${this.#resource.namespace}/${this.#name} of ${this.client.name}`;
  }

  read(call: CallOptions): Promise<KubeObject> {
    return this.client.get(this.#resource, this.#name, call);
  }

  valueOf(object: KubeObject): string | undefined {
    const kept = object.data?.[this.#options.key];
    return kept === undefined || this.#options.secret === undefined ? kept : Buffer.from(kept, 'base64').toString('utf8');
  }

  async inspect(wanted: ConfigSiteOptions['value'], epoch: number, call: CallOptions): Promise<ValueStanding> {
    const object = await this.read(call);
    refuseOlderEpoch(object, this.subject, epoch);
    if (this.valueOf(object) !== revealed(wanted))
      return { state: 'absent', why: `${this.subject}: ${this.#options.key} has another value` };
    if (epochOf(object) !== epoch)
      return { state: 'absent', why: `${this.subject} is of epoch ${epochOf(object) ?? 'none'} instead of ${epoch}` };
    const restarts = await Promise.all(this.#restarts(object, call).map(inspectRestart));
    return (
      restarts.find(({ state }) => state === 'absent') ??
      restarts.find(({ state }) => state === 'pending') ?? { state: 'done', why: `${this.subject}: ${this.#options.key} has the value` }
    );
  }

  /** Returns the value before, where it is not secret. */
  async set(wanted: ConfigSiteOptions['value'], mark: string, epoch: number, call: CallOptions): Promise<string | undefined> {
    const before = await this.read(call);
    refuseOlderEpoch(before, this.subject, epoch);
    const old = this.valueOf(before);
    const value = revealed(wanted);
    let now = before;
    if (old !== value || epochOf(before) !== epoch) {
      const changes = old !== value;
      if (changes) await this.#askArgo(before, call);
      now = await this.client.merge(this.#resource, this.#name, this.#patch(before, { value, old, mark, epoch, changes }), call);
    }
    for (const each of this.#restarts(now, call)) await restart(each);
    return this.#options.secret === undefined ? old : undefined;
  }

  async #askArgo(object: KubeObject, call: CallOptions): Promise<void> {
    const owner = await findArgoOwner(this.client, object, this.#options.argocd, call);
    if (owner) await clearTheWay(owner, { client: this.client, options: this.#options.argocd, call, subject: this.subject });
  }

  #patch(
    before: KubeObject,
    {
      value,
      old,
      mark,
      epoch,
      changes,
    }: {
      readonly value: string;
      readonly old: string | undefined;
      readonly mark: string;
      readonly epoch: number;
      readonly changes: boolean;
    },
  ): JsonObject {
    const { key, secret } = this.#options;
    const written = (text: string): string => (secret === undefined ? text : Buffer.from(text, 'utf8').toString('base64'));
    const kept: Record<string, string> = { [annotations.epoch]: String(epoch) };
    if (!changes) return { metadata: { ...versionOf(before), annotations: kept } };
    // With the version that it was made from: made a second time, because somebody undid it, it is another change.
    kept[annotations.changed] = `${mark} ${before.metadata.resourceVersion ?? ''}`;
    // An old value of a Secret stays in the Secret: annotations are shown to whoever may list them.
    const data: JsonObject = {
      [key]: written(value),
      ...(secret === undefined || old === undefined ? {} : { [`${key}.previous`]: written(old) }),
    };
    if (secret === undefined && old !== undefined) kept[annotations.previous] = JSON.stringify({ [key]: old });
    return { metadata: { ...versionOf(before), annotations: kept }, data };
  }

  /** Nothing where Holdfast has never changed the value: then pods have what they started with. */
  #restarts(object: KubeObject, call: CallOptions): readonly Restart[] {
    const mark = object.metadata.annotations?.[annotations.changed];
    if (mark === undefined) return [];
    return this.#options.restart.map(({ deployment, statefulset }) => ({
      client: this.client,
      resource: {
        apiVersion: 'apps/v1',
        plural: deployment === undefined ? 'statefulsets' : 'deployments',
        namespace: this.#resource.namespace,
      },
      kind: deployment === undefined ? ('StatefulSet' as const) : ('Deployment' as const),
      name: (deployment ?? statefulset) as string,
      mark,
      // One for each component: two of them may restart the same workload.
      annotation: `${annotations.restart}-${this.#component.slice(0, 40)}`,
      nowMs: this.#host.clock.nowMs(),
      call,
    }));
  }
}
