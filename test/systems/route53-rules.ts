/** What Route 53 checks of a batch before it changes anything, as its reference has it (API_ChangeResourceRecordSets). Pure. */
import type { ResourceRecordSet } from '@aws-sdk/client-route-53';

export interface BatchChange {
  readonly action: string;
  readonly set: ResourceRecordSet;
}

export function readBatch(xml: string): readonly BatchChange[] {
  return [...xml.matchAll(/<Change>([\s\S]*?)<\/Change>/g)].map(([, text = '']) => {
    const value = (tag: string) => decode(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(text)?.[1]);
    const number = (tag: string) => (value(tag) === undefined ? undefined : Number(value(tag)));
    const set = {
      Name: dotted(value('Name') ?? ''),
      Type: value('Type'),
      SetIdentifier: value('SetIdentifier'),
      Weight: number('Weight'),
      TTL: number('TTL'),
      Failover: value('Failover'),
      HealthCheckId: value('HealthCheckId'),
      ResourceRecords: [...text.matchAll(/<Value>([\s\S]*?)<\/Value>/g)].map(([, each]) => ({ Value: decode(each) })),
    } as ResourceRecordSet;
    return { action: value('Action') ?? '', set };
  });
}

/** In the service's words; undefined where all of it may be done. */
export function findBatchFault(changes: readonly BatchChange[], existing: readonly ResourceRecordSet[]): string | undefined {
  if (changes.length === 0) return 'The batch has no changes';
  const records = new Map(existing.map((set) => [keyOf(set), set]));
  for (const { action, set } of changes) {
    const label = `[name='${set.Name}', type='${set.Type}'${set.SetIdentifier === undefined ? '' : `, set identifier='${set.SetIdentifier}'`}]`;
    const found = records.get(keyOf(set));
    if (!['CREATE', 'DELETE', 'UPSERT'].includes(action)) return `Invalid action ${action}`;
    if (set.Weight !== undefined && !(Number.isInteger(set.Weight) && set.Weight >= 0 && set.Weight <= 255))
      return `Invalid weight of ${label}`;
    if (action === 'DELETE') {
      if (found === undefined) return `Tried to delete resource record set ${label} but it was not found`;
      if (contentOf(found) !== contentOf(set))
        return `Tried to delete resource record set ${label} but the values provided do not match the current values`;
      records.delete(keyOf(set));
      continue;
    }
    if (action === 'CREATE' && found !== undefined) return `Tried to create resource record set ${label} but it already exists`;
    if (set.TTL === undefined || (set.ResourceRecords ?? []).length === 0) return `${label} has no TTL or no values`;
    records.set(keyOf(set), set);
  }
  return faultOfNames([...records.values()]);
}

function faultOfNames(sets: readonly ResourceRecordSet[]): string | undefined {
  const byName = Map.groupBy(sets, ({ Name, Type }) => `${Name} ${Type}`);
  for (const [name, all] of byName) {
    const policies = new Set(
      all.map(({ Weight, Failover }) => (Weight !== undefined ? 'weighted' : Failover === undefined ? 'simple' : 'failover')),
    );
    if (policies.size > 1) return `RRSet of ${name} can't be created, for another routing policy exists with the same name and type`;
    if (policies.has('weighted') && new Set(all.map(({ TTL }) => TTL)).size > 1)
      return `the TTLs of the weighted records of ${name} differ`;
  }
  return undefined;
}

function keyOf({ Name = '', Type, SetIdentifier = '' }: ResourceRecordSet): string {
  return [dotted(Name), Type, SetIdentifier].join(' ');
}

function contentOf({ TTL, Weight, HealthCheckId, Failover, ResourceRecords = [] }: ResourceRecordSet): string {
  return JSON.stringify([TTL, Weight ?? null, HealthCheckId ?? null, Failover ?? null, ResourceRecords.map(({ Value }) => Value).sort()]);
}

function dotted(name: string): string {
  return name.endsWith('.') ? name : `${name}.`;
}

function decode(text: string | undefined): string | undefined {
  return text?.replaceAll('&quot;', '"').replaceAll('&#34;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
