/** Objects of the API as plain trees, and the few things that are done with them everywhere. */

// biome-ignore lint/suspicious/noExplicitAny: objects of two dozen kinds; each is checked against its kind's own fields when it comes in.
export type Fields = Record<string, any>;

export interface KubeObject extends Fields {
  readonly apiVersion: string;
  readonly kind: string;
  metadata: Fields & { name: string; namespace?: string; uid: string; resourceVersion: string };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, index) => equal(each, b[index]));
  if (!isFields(a) || !isFields(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && equal(a[key], b[key]));
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}

/** An empty selector matches everything, as the real one does. */
export function selects(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> | undefined): boolean {
  if (selector === undefined) return false;
  const has = labels ?? {};
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => has[key] === value) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = has[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      if (operator === 'In') return value !== undefined && values.includes(value);
      return value === undefined || !values.includes(value);
    })
  );
}

/** `app=web,tier!=db,zone in (a,b),!old`. */
export function parseSelector(text: string): LabelSelector {
  const matchExpressions = text
    .split(/,(?![^(]*\))/)
    .filter((each) => each.trim() !== '')
    .map((each) => {
      const term = each.trim();
      const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
      if (set)
        return {
          key: set[1] as string,
          operator: set[2] === 'in' ? 'In' : 'NotIn',
          values: (set[3] as string).split(',').map((v) => v.trim()),
        };
      const comparison = /^([^!=\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(term);
      if (comparison)
        return { key: comparison[1] as string, operator: comparison[2] === '!=' ? 'NotIn' : 'In', values: [comparison[3] as string] };
      return term.startsWith('!') ? { key: term.slice(1), operator: 'DoesNotExist' } : { key: term, operator: 'Exists' };
    });
  return { matchExpressions };
}

export function stamp(ms: number = Date.now()): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Short, stable and made of letters that names may have. */
export function shortHash(value: unknown): string {
  let sum = 2_166_136_261;
  for (const letter of JSON.stringify(value)) sum = Math.imul(sum ^ letter.charCodeAt(0), 16_777_619) >>> 0;
  return sum.toString(36).padStart(7, '0').slice(0, 7);
}
