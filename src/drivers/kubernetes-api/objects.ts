/** Objects as the API gives them, as far as drivers read them: loosely, for newer servers know more fields. */
import { z } from 'zod';
import type { Json, JsonObject } from '../../base/json.ts';

const text = z.string();
const texts = z.record(text, text);

const metadata = z.looseObject({
  name: text,
  namespace: text.optional(),
  uid: text.optional(),
  resourceVersion: text.optional(),
  generation: z.number().optional(),
  creationTimestamp: text.nullish(),
  deletionTimestamp: text.nullish(),
  labels: texts.nullish(),
  annotations: texts.nullish(),
});

const kubeObject = z.looseObject({
  apiVersion: text.optional(),
  kind: text.optional(),
  metadata,
  spec: z.record(text, z.json()).nullish(),
  status: z.record(text, z.json()).nullish(),
  data: z.record(text, text).nullish(),
});

const kubeList = z.looseObject({
  metadata: z.looseObject({ continue: text.nullish() }),
  items: z.array(kubeObject).nullable(),
});

export type KubeObject = z.output<typeof kubeObject>;

export function parseObject(value: unknown): KubeObject | undefined {
  const parsed = kubeObject.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

export function parseList(value: unknown): { readonly items: readonly KubeObject[]; readonly next: string | undefined } | undefined {
  const parsed = kubeList.safeParse(value);
  if (!parsed.success) return undefined;
  return { items: parsed.data.items ?? [], next: parsed.data.metadata.continue || undefined };
}

/** The value at a path of names; undefined where there is none. */
export function valueAt(from: unknown, ...path: readonly string[]): Json | undefined {
  let at: unknown = from;
  for (const name of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) return undefined;
    at = (at as JsonObject)[name];
  }
  return at as Json | undefined;
}

export function textAt(from: unknown, ...path: readonly string[]): string | undefined {
  const value = valueAt(from, ...path);
  return typeof value === 'string' ? value : undefined;
}

/** A field that is left out is zero: so the API writes it. */
export function countAt(from: unknown, ...path: readonly string[]): number {
  const value = valueAt(from, ...path);
  return typeof value === 'number' ? value : 0;
}

export function objectsAt(from: unknown, ...path: readonly string[]): readonly JsonObject[] {
  const value = valueAt(from, ...path);
  return Array.isArray(value)
    ? value.filter((each): each is JsonObject => typeof each === 'object' && each !== null && !Array.isArray(each))
    : [];
}

export function conditionOf(
  object: KubeObject,
  type: string,
): { readonly status: string; readonly reason: string; readonly message: string } | undefined {
  const found = objectsAt(object.status, 'conditions').find((each) => each.type === type);
  return found && { status: String(found.status), reason: String(found.reason ?? ''), message: String(found.message ?? '') };
}

export const isReady = (object: KubeObject): boolean => conditionOf(object, 'Ready')?.status === 'True';

/** `app=web,tier in (a,b)`: the selector of a workload as a list is asked with it. Undefined where there is none. */
export function formatSelector(selector: unknown): string | undefined {
  const labels = Object.entries((valueAt(selector, 'matchLabels') ?? {}) as JsonObject).map(([key, value]) => `${key}=${String(value)}`);
  const expressions = objectsAt(selector, 'matchExpressions').map(({ key, operator, values }) => {
    const list = Array.isArray(values) ? values.join(',') : '';
    if (operator === 'Exists') return String(key);
    if (operator === 'DoesNotExist') return `!${String(key)}`;
    return `${String(key)} ${operator === 'In' ? 'in' : 'notin'} (${list})`;
  });
  const all = [...labels, ...expressions];
  return all.length === 0 ? undefined : all.join(',');
}
