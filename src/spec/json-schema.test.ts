import { expect, test } from 'vitest';
import { fakeCatalog } from '../../test/fakes/driver-catalog.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { specJsonSchema } from './json-schema.ts';
import { topLevelKeys } from './load-spec.ts';

const schema = specJsonSchema(fakeCatalog);

const at = (path: string): JsonObject =>
  path
    .split('/')
    .reduce<Json | undefined>(
      (json, part) => (json !== null && typeof json === 'object' ? (json as Record<string, Json>)[part] : undefined),
      schema,
    ) as JsonObject;

/** Every `properties` member, with its path. */
function* properties(json: Json | undefined, path = ''): Generator<readonly [string, JsonObject]> {
  if (json === null || typeof json !== 'object') return;
  for (const [key, value] of Object.entries(json as Record<string, Json>)) {
    if (key === 'if') continue;
    if (key === 'properties')
      for (const [name, member] of Object.entries(value as JsonObject)) yield [`${path}/${name}`, member as JsonObject];
    yield* properties(value, `${path}/${key}`);
  }
}

test('is a draft 2020-12 schema of all top-level keys, and no others', () => {
  expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  expect(Object.keys(at('properties')).sort()).toEqual([...topLevelKeys].sort());
  expect(schema.additionalProperties).toBe(false);
});

test('every key of the spec itself has a description and, where it holds a value, an example or a default', () => {
  for (const [path, member] of properties(schema)) {
    if (path.startsWith('/$defs/driver-') && !/\/properties\/(driver|vital|needs|replication|rpo|canary-every|backup|sites)$/.test(path))
      continue;
    if (member.$ref !== undefined) continue;
    expect(member.description, path).toBeTypeOf('string');
    const holdsValue = typeof member.type === 'string' && ['string', 'number', 'integer', 'boolean'].includes(member.type);
    if (holdsValue && member.const === undefined) expect(member.examples ?? member.default, path).toBeDefined();
  }
});

test('the options of a driver follow from its name', () => {
  const component = at('properties/components/additionalProperties');
  expect(at('properties/components/additionalProperties/properties/driver').enum).toEqual([...fakeCatalog.keys()]);
  expect((component.allOf as readonly JsonObject[])[1]).toEqual({
    if: { properties: { driver: { const: 'fake-workload' } }, required: ['driver'] },
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own word.
    then: { $ref: '#/$defs/driver-fake-workload' },
  });
  const workload = at('$defs/driver-fake-workload');
  expect(workload.additionalProperties).toBe(false);
  expect(workload.required).toEqual(['driver', 'replicas', 'start']);
  expect(Object.keys(workload.properties as JsonObject)).toEqual(expect.arrayContaining(['driver', 'needs', 'sites', 'replicas', 'ready']));
});

test('durations are texts as people write them, with their defaults', () => {
  expect(at('properties/watch/properties/every')).toMatchObject({ type: 'string', default: '1s' });
  expect(at('$defs/driver-memory-store/properties/lag-limit')).toMatchObject({
    type: 'string',
    default: '10s',
    description: 'How far a standby may be behind',
  });
});

test('a secret is a reference to one, and never a text', () => {
  const password = at('$defs/driver-memory-store/properties/sites/additionalProperties/properties/password');
  expect(password.description).toBe('Password of the store');
  expect((password.oneOf as readonly JsonObject[]).map((branch) => branch.required)).toEqual([['env'], ['file']]);
  expect(JSON.stringify(password)).not.toContain('holdfast');
});

test('sites take hands, and may be empty where the driver asks nothing of them', () => {
  expect(at('$defs/driver-memory-store/properties/sites/additionalProperties/properties/hands')).toEqual({ $ref: '#/$defs/hands' });
  expect(at('$defs/driver-fake-workload/properties/sites/additionalProperties').anyOf).toContainEqual({ type: 'null' });
});

test('recursive parts of options are defined once, and every reference leads somewhere', () => {
  const references: string[] = [];
  const collect = (json: Json | undefined): void => {
    if (json === null || typeof json !== 'object') return;
    const { $ref } = json as JsonObject;
    if (typeof $ref === 'string') references.push($ref);
    for (const value of Object.values(json as Record<string, Json>)) collect(value);
  };
  collect(schema);
  expect(references.some((reference) => reference.startsWith('#/$defs/component-fake-check-'))).toBe(true);
  for (const reference of references) expect(at(reference.replace('#/', '')), reference).toBeDefined();
});
