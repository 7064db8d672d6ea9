/**
 * The JSON Schema (draft 2020-12) of the whole spec with the options of every driver, for editors that complete and check YAML, and for `holdfast schema`.
 *
 * It is made from the same schemas that the loader uses, so that the two can't disagree about a key. What lies between the parts (names that refer to others, roles,
 * circles) is beyond a JSON Schema and left to the loader.
 */
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { AnyDriver, DriverCatalog } from '../contracts/driver.ts';
import { componentCommonSchema } from './component-schema.ts';
import { objectivesSchema } from './objectives-schema.ts';
import { channelSchema, drillSchema } from './planned-sections.ts';
import { type RepositoryKind, type RepositoryKinds, repositoryCommonSchema } from './repository-section.ts';
import { isSecretSchema, type Schema } from './schema-shape.ts';
import { failbackSchema, failoverSchema, handsSchema, nameSchema, regionSchema, specVersion, watchSchema } from './section-schemas.ts';
import { controllersSchema, stateSchema } from './state-section.ts';

const draft = 'https://json-schema.org/draft/2020-12/schema';

const secretJson = {
  oneOf: [
    {
      type: 'object',
      properties: {
        env: { type: 'string', minLength: 1, description: 'Name of an environment variable', examples: ['ORDERS_DB_PASSWORD'] },
      },
      required: ['env'],
      additionalProperties: false,
    },
    {
      type: 'object',
      properties: {
        file: {
          type: 'string',
          minLength: 1,
          description: 'Path of a file that holds only the secret',
          examples: ['/run/secrets/orders-db'],
        },
      },
      required: ['file'],
      additionalProperties: false,
    },
  ],
};

/** The schema of what people write: before transforms, with secrets as references. */
function inputJson(schema: Schema): JsonObject {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // zod leaves the examples of a transformed value out, as it can't know on which side they stand; ours are what people write.
      const examples = z.globalRegistry.get(zodSchema)?.examples;
      if (Array.isArray(examples)) jsonSchema.examples = examples;
      if (!isSecretSchema(zodSchema)) return;
      // The schema's second branch is a resolved secret, which nobody can write.
      delete jsonSchema.anyOf;
      const { holdfast: _mark, ...rest } = jsonSchema as Record<string, unknown>;
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
      Object.assign(jsonSchema, { description: 'A secret: { env: NAME } or { file: PATH }' }, rest, structuredClone(secretJson));
    },
  });
  const { $schema: _draft, ...rest } = json as unknown as JsonObject;
  return rest;
}

/** The same schema with references to its own definitions led to where `takeDefinitions` puts them. */
function withRenamedReferences(json: Json, prefix: string): Json {
  if (Array.isArray(json)) return json.map((item: Json) => withRenamedReferences(item, prefix));
  if (!isObject(json)) return json;
  const reference = json.$ref;
  if (typeof reference === 'string') {
    assert(reference.startsWith('#/$defs/'), 'a recursive part of an options schema is below its root');
    return { ...json, $ref: reference.replace('#/$defs/', `#/$defs/${prefix}-`) };
  }
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [key, value === undefined ? undefined : withRenamedReferences(value, prefix)]),
  );
}

/** Recursive parts (any JSON value, say) come with definitions of their own: they move to the definitions of the whole, under names that can't collide. */
function takeDefinitions(json: JsonObject, prefix: string, definitions: Record<string, JsonObject>): JsonObject {
  if (!isObject(json.$defs)) return json;
  const { $defs: own, ...rest } = withRenamedReferences(json, prefix) as JsonObject & { readonly $defs: JsonObject };
  for (const [name, definition] of Object.entries(own)) definitions[`${prefix}-${name}`] = definition as JsonObject;
  return rest;
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Adds properties to an object's schema; to each branch where the schema is a choice of objects. */
function withProperties(json: JsonObject, properties: JsonObject, required: readonly string[]): JsonObject {
  for (const choice of ['anyOf', 'oneOf', 'allOf'] as const) {
    const branches = json[choice];
    if (Array.isArray(branches))
      return {
        ...json,
        [choice]: branches.map((branch: Json) => (isObject(branch) ? withProperties(branch, properties, required) : branch)),
      };
  }
  const own = isObject(json.properties) ? json.properties : {};
  const ownRequired = Array.isArray(json.required) ? (json.required as readonly Json[]) : [];
  return {
    ...json,
    type: 'object',
    properties: { ...properties, ...own },
    required: [...required, ...ownRequired],
    additionalProperties: json.additionalProperties ?? false,
  };
}

function mapOf(value: JsonObject, description: string, minProperties: number): JsonObject {
  return { type: 'object', description, minProperties, propertyNames: inputJson(nameSchema), additionalProperties: value };
}

function driverJson(driver: AnyDriver, common: JsonObject, definitions: Record<string, JsonObject>): JsonObject {
  const siteOptions = takeDefinitions(inputJson(driver.siteOptions), `site-${driver.name}`, definitions);
  const componentOptions = takeDefinitions(inputJson(driver.componentOptions), `component-${driver.name}`, definitions);
  const site = withProperties(siteOptions, { hands: { $ref: '#/$defs/hands' } }, []);
  const siteHasNoDuties = !Array.isArray(site.required) || site.required.length === 0;
  const sites: JsonObject = {
    type: 'object',
    description: 'Where it lives: a map from region to what is true of it there',
    propertyNames: inputJson(nameSchema),
    additionalProperties: siteHasNoDuties ? { anyOf: [site, { type: 'null' }] } : site,
  };
  const named: JsonObject = { const: driver.name, description: `${driver.title}: ${driver.summary}` };
  const own = withProperties(componentOptions, { ...(common.properties as JsonObject), driver: named, sites }, ['driver']);
  return { title: driver.title, ...own, description: driver.summary };
}

function componentJson(catalog: DriverCatalog, common: JsonObject): JsonObject {
  const drivers = [...catalog.values()];
  const driver: JsonObject = {
    ...((common.properties as JsonObject).driver as JsonObject),
    enum: drivers.map(({ name }) => name),
    examples: drivers.slice(0, 1).map(({ name }) => name),
  };
  return {
    type: 'object',
    description: 'One thing of the platform: a database, a workload, a DNS name',
    properties: { driver },
    required: ['driver'],
    // By if and then rather than by a choice: an editor then shows the faults of the driver that was named, not those of every other one.
    allOf: drivers.map(({ name }) => ({
      if: { properties: { driver: { const: name } }, required: ['driver'] },
      // biome-ignore lint/suspicious/noThenProperty: this is JSON Schema's own word; the value is data and never awaited.
      then: { $ref: `#/$defs/driver-${name}` },
    })),
  };
}

function repositoryKindJson(kind: RepositoryKind, common: JsonObject, definitions: Record<string, JsonObject>): JsonObject {
  const options = takeDefinitions(inputJson(kind.options as Schema), `repository-${kind.name}`, definitions);
  const named: JsonObject = { const: kind.name, description: kind.title };
  return { title: kind.title, ...withProperties(options, { ...(common.properties as JsonObject), driver: named }, ['driver']) };
}

function repositoryJson(kinds: RepositoryKinds, definitions: Record<string, JsonObject>): JsonObject {
  const common = inputJson(repositoryCommonSchema);
  const names = [...kinds.keys()];
  for (const kind of kinds.values()) definitions[`repository-${kind.name}`] = repositoryKindJson(kind, common, definitions);
  const driver: JsonObject = { ...((common.properties as JsonObject).driver as JsonObject), ...(names.length > 0 ? { enum: names } : {}) };
  return {
    type: 'object',
    description: 'A place where backups are kept',
    properties: { driver },
    required: ['driver'],
    allOf: names.map((name) => ({
      if: { properties: { driver: { const: name } }, required: ['driver'] },
      // biome-ignore lint/suspicious/noThenProperty: this is JSON Schema's own word; the value is data and never awaited.
      then: { $ref: `#/$defs/repository-${name}` },
    })),
  };
}

export function specJsonSchema(catalog: DriverCatalog, repositories: RepositoryKinds = new Map()): JsonObject {
  const common = inputJson(componentCommonSchema);
  const definitions: Record<string, JsonObject> = { hands: inputJson(handsSchema) };
  for (const driver of catalog.values()) definitions[`driver-${driver.name}`] = driverJson(driver, common, definitions);
  const repository = repositoryJson(repositories, definitions);
  return {
    $schema: draft,
    title: 'Holdfast spec',
    description: 'Describes a platform: its regions, its components, and how it survives the loss of a region',
    type: 'object',
    properties: {
      holdfast: { const: specVersion, description: 'Version of the spec', examples: [specVersion] },
      name: { ...inputJson(nameSchema), description: 'Name of the platform' },
      objectives: inputJson(objectivesSchema),
      regions: mapOf(
        inputJson(regionSchema),
        'The failure domains: one active, at least one standby, and witnesses that only watch and vote',
        2,
      ),
      components: mapOf(componentJson(catalog, common), 'What the platform is made of', 1),
      watch: inputJson(watchSchema),
      failover: inputJson(failoverSchema),
      failback: inputJson(failbackSchema),
      state: inputJson(stateSchema as Schema),
      controllers: inputJson(controllersSchema as Schema),
      repositories: mapOf(repository, 'Places where backups are kept', 1),
      drills: { type: 'array', description: 'Rehearsals (read and checked; not acted on yet)', items: inputJson(drillSchema) },
      tell: mapOf(inputJson(channelSchema), 'Who is told (read and checked; not acted on yet)', 1),
    },
    required: ['holdfast', 'name', 'regions', 'components'],
    additionalProperties: false,
    $defs: definitions,
  };
}
