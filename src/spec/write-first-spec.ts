/** The first spec of a platform: from answers, or from flags, to a YAML text with comments that a newcomer can go on from. Pure: nothing is read or written. */
import { stringify } from 'yaml';
import { fail } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { nearestWord } from '../base/nearest.ts';
import type { AnyDriver, DriverCatalog } from '../contracts/driver.ts';
import { answerValue, questions, requiredKeys } from './first-spec-questions.ts';
import { memberSchemas, type Schema } from './schema-shape.ts';
import { specVersion } from './section-schemas.ts';
import type { RegionRole } from './spec.ts';

export { answerValue, componentQuestions, type Question, questions } from './first-spec-questions.ts';

export interface FirstComponent {
  readonly name: string;
  readonly driver: string;
  readonly needs?: readonly string[];
  readonly replication?: 'synchronous' | 'asynchronous';
  /** The driver's own keys of the component. */
  readonly options?: JsonObject;
  /** Region -> the keys of the site there. */
  readonly sites: Readonly<Record<string, JsonObject>>;
}

export interface FirstSpecAnswers {
  readonly name: string;
  readonly regions: readonly { readonly name: string; readonly role: RegionRole }[];
  readonly components: readonly FirstComponent[];
  readonly rto?: string;
  readonly rpo?: string;
  readonly automatic?: boolean;
}

function flow(value: Json): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0, flowCollectionPadding: true }).trimEnd();
}

function keyLines(indent: string, keys: JsonObject): string[] {
  return Object.entries(keys).flatMap(([key, value]) => (value === undefined ? [] : [`${indent}${flow(key)}: ${flow(value)}`]));
}

function componentLines(component: FirstComponent): string[] {
  const { name, driver, needs = [], replication, options = {}, sites } = component;
  const common: JsonObject = { driver, ...(needs.length === 0 ? {} : { needs }), ...(replication === undefined ? {} : { replication }) };
  const siteLines = Object.entries(sites).flatMap(([region, keys]) => {
    const lines = keyLines('        ', keys);
    return lines.length === 0 ? [`      ${region}: {}`] : [`      ${region}:`, ...lines];
  });
  return [
    `  ${name}:`,
    ...keyLines('    ', { ...common, ...options }),
    ...(siteLines.length === 0 ? [] : ['    sites:', ...siteLines]),
    '',
  ];
}

/** The answers are taken as they are: load the text to learn what the drivers think of them. */
export function writeFirstSpec(answers: FirstSpecAnswers): string {
  const { name, regions, components, rto = '5m', rpo = '1m', automatic = false } = answers;
  return [
    `# How ${name} survives the loss of a region. After each change: holdfast validate`,
    `holdfast: ${specVersion}`,
    `name: ${flow(name)}`,
    '',
    '# What the loss of a region may cost: so long may the platform be gone (rto), so much of the newest data may be lost (rpo).',
    'objectives:',
    `  rto: ${flow(rto)}`,
    `  rpo: ${flow(rpo)}`,
    '',
    '# active serves now, standby can take over, witness only watches and votes.',
    'regions:',
    ...regions.map((region) => `  ${region.name}: { role: ${region.role} }`),
    '',
    '# What the platform is made of. "needs" names what must work first; "sites" says where each lives.',
    '# Secrets are never written here: { env: NAME } or { file: /path } says where one is.',
    '# A site may have hands, by which commands run there: hands: { ssh: { host: 10.0.1.5, as: postgres } }',
    'components:',
    ...components.flatMap(componentLines),
    '# How each site is watched (these are the defaults).',
    'watch:',
    '  every: 1s',
    '  timeout: 1s',
    '  failures: 3 # so many in a row before silence counts as down',
    '',
    '# When and how the platform moves to another region (besides "automatic", these are the defaults).',
    'failover:',
    `  automatic: ${automatic} # true: a failover may start without a person`,
    '  grace: 3s # a vital component may be gone for so long before its region counts as lost',
    '  loss-budget: 0s # an automatic failover may lose no more than this',
    '  cool-down: 1h # no second automatic failover for so long',
    '',
  ].join('\n');
}

export interface FirstSpecFlags {
  readonly name?: string;
  readonly active?: string;
  readonly standby?: string;
  readonly witness?: string;
  readonly rto?: string;
  readonly rpo?: string;
  readonly automatic?: boolean;
  /** `NAME=DRIVER` each. */
  readonly component?: readonly string[];
  /** `COMPONENT.KEY=VALUE` or `COMPONENT.REGION.KEY=VALUE` each. */
  readonly set?: readonly string[];
}

function simpleAnswer(id: string, given: string | undefined): string {
  const question = questions.find((known) => known.id === id);
  const answer = given ?? question?.default ?? '';
  const fault = question?.validate(answer);
  if (fault !== undefined) throw fail('USAGE', { message: `--${id}: ${fault}` });
  return answer;
}

interface Draft {
  readonly driver: AnyDriver;
  readonly options: Record<string, Json>;
  readonly sites: Record<string, Record<string, Json>>;
}

function draftComponents(flags: FirstSpecFlags, regions: readonly string[], catalog: DriverCatalog): Map<string, Draft> {
  const drafts = new Map<string, Draft>();
  for (const text of flags.component ?? []) {
    const [, name = '', driverName = ''] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    const driver = catalog.get(driverName);
    if (name === '')
      throw fail('USAGE', { message: `--component ${text}: a name and a driver are missing`, hint: 'Write --component NAME=DRIVER.' });
    if (driver === undefined) {
      const nearest = nearestWord(driverName, [...catalog.keys()]);
      throw fail('USAGE', {
        message: `--component ${text}: there is no driver "${driverName}"`,
        hint: nearest === undefined ? `There are: ${[...catalog.keys()].join(', ')}.` : `Did you mean "${nearest}"?`,
      });
    }
    const fault = questions.find(({ id }) => id === 'name')?.validate(name);
    if (fault !== undefined) throw fail('USAGE', { message: `--component ${text}: ${fault}` });
    drafts.set(name, { driver, options: {}, sites: Object.fromEntries(regions.map((region) => [region, {}])) });
  }
  if (drafts.size === 0)
    throw fail('USAGE', { message: 'a platform has at least one component', hint: 'Name each with --component NAME=DRIVER.' });
  return drafts;
}

/** Puts one `--set` into its draft. */
function applySetting(text: string, drafts: ReadonlyMap<string, Draft>): void {
  const [, place = '', answer = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  const [component = '', ...rest] = place.split('.');
  const draft = drafts.get(component);
  const key = rest.at(-1);
  if (draft === undefined || key === undefined || rest.length > 2) {
    throw fail('USAGE', {
      message: `--set ${place}: no component has this key`,
      hint: 'Write --set COMPONENT.KEY=VALUE or --set COMPONENT.REGION.KEY=VALUE.',
    });
  }
  const region = rest.length === 2 ? (rest[0] as string) : undefined;
  const target = region === undefined ? draft.options : draft.sites[region];
  if (target === undefined)
    throw fail('USAGE', {
      message: `--set ${place}: there is no region "${region}" for it`,
      hint: `There are: ${Object.keys(draft.sites).join(', ')}.`,
    });
  const [schema] = memberSchemas([(region === undefined ? draft.driver.componentOptions : draft.driver.siteOptions) as Schema], key);
  if (schema === undefined)
    throw fail('USAGE', {
      message: `--set ${place}: the driver ${draft.driver.name} has no key "${key}" there`,
      hint: 'See the driver reference for its keys.',
    });
  const result = answerValue(schema, answer);
  if ('fault' in result) throw fail('USAGE', { message: `--set ${place}: ${result.fault}` });
  target[key] = result.value;
}

function missingSettings(drafts: ReadonlyMap<string, Draft>): readonly string[] {
  return [...drafts].flatMap(([name, { driver, options, sites }]) => [
    ...[...requiredKeys(driver.componentOptions as Schema).keys()]
      .filter((key) => !Object.hasOwn(options, key))
      .map((key) => `${name}.${key}`),
    ...Object.entries(sites).flatMap(([region, keys]) =>
      [...requiredKeys(driver.siteOptions as Schema).keys()]
        .filter((key) => !Object.hasOwn(keys, key))
        .map((key) => `${name}.${region}.${key}`),
    ),
  ]);
}

/** The same answers from flags, for scripts. Whatever has no default and was not given is named in one USAGE. */
export function firstSpecFromFlags(flags: FirstSpecFlags, catalog: DriverCatalog): FirstSpecAnswers {
  const answer = (id: 'name' | 'active' | 'standby' | 'witness' | 'rto' | 'rpo') => simpleAnswer(id, flags[id]);
  const [name, active, standby, witness] = [answer('name'), answer('active'), answer('standby'), answer('witness')];
  const [rto, rpo] = [answer('rto'), answer('rpo')];
  const named = [active, standby, ...(witness === '' ? [] : [witness])];
  if (new Set(named).size < named.length)
    throw fail('USAGE', { message: 'two regions have the same name', hint: 'Give --active, --standby and --witness a region each.' });
  const drafts = draftComponents(flags, [active, standby], catalog);
  for (const setting of flags.set ?? []) applySetting(setting, drafts);
  const missing = missingSettings(drafts);
  if (missing.length > 0)
    throw fail('USAGE', { message: `not given: ${missing.join(', ')}`, hint: `Give each with --set, such as --set ${missing[0]}=VALUE.` });
  return {
    name,
    regions: [
      { name: active, role: 'active' },
      { name: standby, role: 'standby' },
      ...(witness === '' ? [] : [{ name: witness, role: 'witness' as const }]),
    ],
    components: [...drafts].map(([component, { driver, options, sites }]) => ({ name: component, driver: driver.name, options, sites })),
    rto,
    rpo,
    automatic: flags.automatic ?? false,
  };
}
