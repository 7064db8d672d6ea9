/**
 * The spec's files -> a validated Spec, or one SPEC_INVALID that carries all faults at once.
 *
 * Invariant: whatever the files hold, the outcome is a Spec without faults, SPEC_INVALID, or SPEC_UNREADABLE for files that can't be read. Reads only: a process that
 * dies here leaves nothing behind.
 */
import { z } from 'zod';
import { asHoldfastError, fail, type HoldfastError } from '../base/errors.ts';
import { hashJson } from '../base/hashing.ts';
import { nearestWord } from '../base/nearest.ts';
import type { DriverCatalog } from '../contracts/driver.ts';
import type { Host } from '../host/host.ts';
import { backupNotices } from './backup-notices.ts';
import { checkComponents, checkRegions } from './cross-references.ts';
import type { Fault } from './fault.ts';
import { FaultCollector } from './fault-collector.ts';
import { childOf, entriesOf, type LocatedNode, plainValue } from './located-node.ts';
import { mergeFiles } from './merge-files.ts';
import { noticesOf } from './notices.ts';
import { objectiveNotices } from './objective-notices.ts';
import { objectivesSchema } from './objectives-schema.ts';
import { parseYaml } from './parse-yaml.ts';
import { channelSchema, drillSchema } from './planned-sections.ts';
import { checkPurposes, purposeNotices } from './purpose-notices.ts';
import { readComponent } from './read-component.ts';
import { type RepositoryKinds, readRepository } from './repository-section.ts';
import type { RepositorySpec } from './repository-spec.ts';
import { SecretPlacement } from './secret-placement.ts';
import { failbackSchema, failoverSchema, nameSchema, regionSchema, specVersion, watchSchema } from './section-schemas.ts';
import type { ComponentSpec, RegionSpec, Spec } from './spec.ts';
import { readControllers, readState } from './state-section.ts';

export { type Fault, faultsOf, formatFaults } from './fault.ts';

export interface LoadOptions {
  readonly catalog: DriverCatalog;
  readonly host: Host;
  /** The kinds of repositories there are; without them a spec can have none. */
  readonly repositories?: RepositoryKinds;
  /** False leaves secrets unread: each becomes a placeholder that can't be revealed; `repositories` reads only theirs, `stores` of these not what opens them. Default true. */
  readonly resolveSecrets?: boolean | 'repositories' | 'stores';
}

export const topLevelKeys = [
  'holdfast',
  'name',
  'objectives',
  'regions',
  'components',
  'watch',
  'failover',
  'failback',
  'state',
  'controllers',
  'repositories',
  'drills',
  'tell',
] as const;

/** The texts of the files, by name, in order. All files that can't be read are named in one SPEC_UNREADABLE. */
export async function readSpecSources(files: readonly string[], host: Host): Promise<ReadonlyMap<string, string>> {
  if (files.length === 0) throw fail('SPEC_UNREADABLE', { message: 'no file was named' });
  const sources = new Map<string, string>();
  const unreadable: { file: string; error: HoldfastError | Error }[] = [];
  for (const file of files) {
    try {
      sources.set(file, await host.files.readText(file));
    } catch (error) {
      unreadable.push({ file, error: error instanceof Error ? error : asHoldfastError(error) });
    }
  }
  const [first] = unreadable;
  if (first !== undefined) {
    const message = unreadable
      .map(({ file, error }) => (error.message.includes(file) ? error.message : `${file}: ${error.message}`))
      .join('; ');
    throw fail('SPEC_UNREADABLE', { message, subject: unreadable.map(({ file }) => file).join(', '), cause: first.error });
  }
  return sources;
}

function invalid(faults: readonly Fault[]): HoldfastError {
  const first = faults[0] as Fault;
  const where = `${first.file}:${first.line}:${first.column}`;
  const message =
    faults.length === 1 ? `${where}: ${first.message}` : `the spec has ${faults.length} faults, the first at ${where}: ${first.message}`;
  return fail('SPEC_INVALID', { message, subject: [...new Set(faults.map((fault) => fault.file))].join(', '), details: { faults } });
}

/** In the order of the files and of the places in them; faults at one place in the order in which they were found. */
function inOrder(faults: readonly Fault[], files: readonly string[]): readonly Fault[] {
  return [...faults].sort(
    (left, right) => files.indexOf(left.file) - files.indexOf(right.file) || left.line - right.line || left.column - right.column,
  );
}

/** False when the file is written for another version of the format: then nothing else in it can be judged. */
function checkVersion(collector: FaultCollector): boolean {
  const node = childOf(collector.root, 'holdfast');
  const written = node && plainValue(node);
  if (written === specVersion) return true;
  const hint = `Write holdfast: ${specVersion}`;
  if (node === undefined)
    collector.add([], 'value', `"holdfast: ${specVersion}" is missing`, `Begin the file with holdfast: ${specVersion}.`);
  else if (typeof written === 'string' && /^v\d+$/.test(written))
    collector.add(
      ['holdfast'],
      'value',
      `this spec is written for version ${written}, and this Holdfast reads ${specVersion}`,
      `${hint}, if the content is of that version, or use a Holdfast that reads ${written}.`,
    );
  else collector.add(['holdfast'], 'value', '"holdfast" must name the version of the spec', `${hint}.`);
  return !(typeof written === 'string' && /^v\d+$/.test(written));
}

function checkTopLevel(collector: FaultCollector): void {
  for (const key of entriesOf(collector.root).keys()) {
    if ((topLevelKeys as readonly string[]).includes(key)) continue;
    const nearest = nearestWord(key, topLevelKeys);
    collector.add(
      [key],
      'key',
      `unknown key "${key}"`,
      nearest === undefined ? `Known here: ${topLevelKeys.join(', ')}.` : `Did you mean "${nearest}"?`,
    );
  }
  for (const key of ['name', 'regions', 'components']) {
    if (childOf(collector.root, key) === undefined) collector.add([], 'value', `"${key}" is missing`, `Add ${key}: at the top level.`);
  }
}

/** The entries of a top-level map of names, each name checked. */
function namedEntries(collector: FaultCollector, section: string, example: string): readonly (readonly [string, LocatedNode])[] {
  const node = childOf(collector.root, section);
  if (node === undefined) return [];
  if (node.kind !== 'map' || node.entries.size === 0) {
    collector.add(
      [section],
      'value',
      node.kind === 'map' || (node.kind === 'scalar' && node.value === null)
        ? `"${section}" is empty`
        : `"${section}" must be a map of names`,
      `For example: ${example}`,
    );
    return [];
  }
  for (const name of node.entries.keys()) {
    const result = nameSchema.safeParse(name);
    if (result.success) continue;
    collector.addIssues([section, name], result.error.issues, { schema: nameSchema, value: name, subject: `"${name}"` }, 'key');
  }
  return [...node.entries].map(([name, entry]) => [name, entry.node] as const);
}

function readNamed<T>(
  collector: FaultCollector,
  section: string,
  schema: z.ZodType<T>,
  subject: string,
  example: string,
): ReadonlyMap<string, T> {
  const read = new Map<string, T>();
  for (const [name, node] of namedEntries(collector, section, example)) {
    const value = collector.parseValue([section, name], plainValue(node), schema, { subject: `${subject} ${name}` });
    if (value !== undefined) read.set(name, value);
  }
  return read;
}

/** The sections that nothing acts on yet; left out where the spec has none. */
function readPlanned(collector: FaultCollector): Pick<Spec, 'drills' | 'tell'> {
  const { root } = collector;
  const drills = childOf(root, 'drills') && collector.parse(['drills'], z.array(drillSchema), '"drills"');
  return {
    ...(drills ? { drills } : {}),
    ...(childOf(root, 'tell')
      ? { tell: readNamed(collector, 'tell', channelSchema, 'channel', 'tell: { on-call: { channel: pagerduty, key: { env: PD_KEY } } }') }
      : {}),
  };
}

/** Looks secrets up where the caller wants those of this part of the spec; `true`: of the parts that only a running platform needs. */
function secretsOf(collector: FaultCollector, options: LoadOptions, part: true | 'repositories' | 'stores'): SecretPlacement {
  const { resolveSecrets = true, host } = options;
  const wanted = resolveSecrets === true || resolveSecrets === part || (resolveSecrets === 'repositories' && part === 'stores');
  return new SecretPlacement(wanted ? host.secrets : undefined, collector);
}

async function readRepositories(collector: FaultCollector, options: LoadOptions): Promise<ReadonlyMap<string, RepositorySpec>> {
  const [secrets, openers] = [secretsOf(collector, options, 'stores'), secretsOf(collector, options, 'repositories')];
  const kinds = options.repositories ?? new Map();
  const example = 'repositories: { main: { driver: filesystem, path: /var/lib/holdfast/repository } }';
  const read = new Map<string, RepositorySpec>();
  for (const [name, node] of namedEntries(collector, 'repositories', example)) {
    const repository = await readRepository(name, node, { kinds, collector, secrets, openers });
    if (repository !== undefined) read.set(name, repository);
  }
  return read;
}

async function readComponents(collector: FaultCollector, options: LoadOptions): Promise<ReadonlyMap<string, ComponentSpec>> {
  const secrets = secretsOf(collector, options, true);
  const components = new Map<string, ComponentSpec>();
  for (const [name, node] of namedEntries(collector, 'components', 'components: { orders-db: { driver: postgresql } }')) {
    const component = await readComponent(name, node, { catalog: options.catalog, collector, secrets });
    if (component !== undefined) components.set(name, component);
  }
  return components;
}

async function readSpec(
  root: LocatedNode,
  collector: FaultCollector,
  options: LoadOptions,
  sources: ReadonlyMap<string, string>,
): Promise<Spec | undefined> {
  checkTopLevel(collector);
  const name = childOf(root, 'name') && collector.parse(['name'], nameSchema, '"name"');
  const objectives = collector.parse(['objectives'], objectivesSchema, '"objectives"');
  const watch = collector.parse(['watch'], watchSchema, '"watch"');
  const failover = collector.parse(['failover'], failoverSchema, '"failover"');
  const failback = collector.parse(['failback'], failbackSchema, '"failback"');
  const roles = readNamed(
    collector,
    'regions',
    regionSchema,
    'region',
    'regions: { us-east-1: { role: active }, us-west-2: { role: standby } }',
  );
  const regions = new Map<string, RegionSpec>([...roles].map(([region, { role }]) => [region, { name: region, role }]));
  const components = await readComponents(collector, options);
  const repositories = childOf(root, 'repositories') && (await readRepositories(collector, options));
  const state = await readState(collector, secretsOf(collector, options, true), name);
  const controllers = readControllers(collector, components);
  const planned = readPlanned(collector);
  checkRegions(collector);
  checkComponents(options.catalog, collector);
  if (objectives) checkPurposes(collector, objectives, [...entriesOf(childOf(root, 'components') ?? root).keys()]);
  if (name === undefined || !objectives || !watch || !failover || !failback || !controllers) return undefined;
  return {
    name,
    objectives,
    regions,
    components,
    watch,
    failover,
    failback,
    ...(state === undefined ? {} : { state }),
    controllers,
    ...(repositories === undefined ? {} : { repositories }),
    ...planned,
    notices: [
      ...noticesOf(root),
      ...objectiveNotices(root, { objectives, components, watch, failover }),
      ...purposeNotices(root, objectives, components),
      ...backupNotices(root, { objectives, regions, components, repositories: repositories ?? new Map() }),
    ],
    files: [...sources.keys()],
    digest: hashJson([...sources.values()]),
  };
}

export async function loadSpec(files: readonly string[], options: LoadOptions): Promise<Spec> {
  const sources = await readSpecSources(files, options.host);
  const names = [...sources.keys()];
  const parsed = [...sources].map(([file, text]) => parseYaml(file, text));
  const roots = parsed.map((one) => one.root).filter((root) => root !== undefined);
  const yamlFaults = parsed.flatMap((one) => one.faults);
  // With a file that could not be parsed the others would seem to lack what it holds.
  if (roots.length < parsed.length) throw invalid(inOrder(yamlFaults, names));
  const merged = mergeFiles(roots);
  const collector = new FaultCollector(merged.root);
  const spec = checkVersion(collector) ? await readSpec(merged.root, collector, options, sources) : undefined;
  const faults = inOrder([...yamlFaults, ...merged.faults, ...collector.faults], names);
  if (spec === undefined || faults.length > 0) throw invalid(faults);
  return spec;
}
