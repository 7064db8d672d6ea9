/** The text of docs/reference/drivers.md, from the definitions of the drivers. */
import type { AnyDriver, DriverKind } from '../../src/contracts/driver.ts';
import { flattenOptions, type OptionRow } from './flatten-options.ts';
import { markdownTable } from './markdown.ts';

const kinds: Readonly<Record<DriverKind, string>> = {
  data: 'keeps what must not be lost',
  workload: 'can be started anew',
  route: 'decides where clients go',
  check: 'observes, or runs commands of yours',
};

/** `hasReadme` tells for a driver's name whether its folder has a README. */
export function writeDriverReference(drivers: readonly AnyDriver[], hasReadme: (name: string) => boolean): string {
  const overview = drivers.map((driver) => [`[${driver.name}](#${driver.name})`, driver.kind, driver.summary]);
  return `# Drivers

<!-- Written by "npm run generate" from src/drivers; changes made here are lost. -->

A driver knows one kind of system. A component of the spec names its driver and gives the options below; \`hands\` can be given to every site, and the keys that
every component has are in the guide.

${markdownTable(['driver', 'kind', 'what it does'], overview)}

${drivers.map((driver) => sectionOf(driver, hasReadme(driver.name))).join('\n')}`;
}

function sectionOf(driver: AnyDriver, hasReadme: boolean): string {
  const verbs = driver.verbs.map(({ verb, needsHands, typicalMs }) => [`\`${verb}\``, needsHands ? 'yes' : 'no', guess(typicalMs)]);
  return `## ${driver.name}

${driver.title}: ${driver.summary} A component of kind \`${driver.kind}\`: it ${kinds[driver.kind]}.${driver.hasCanary ? ' It takes canary rows, so that loss is measured.' : ''}
${hasReadme ? `\nVersions, privileges and limits: [its README](../../src/drivers/${driver.name}/README.md).\n` : ''}
${markdownTable(['verb', 'needs hands', 'takes about, until measured'], verbs)}

### Keys of a ${driver.name} component

${optionTable(flattenOptions(driver.componentOptions))}

### Keys of a ${driver.name} site

${optionTable(flattenOptions(driver.siteOptions))}
`;
}

function optionTable(rows: readonly OptionRow[]): string {
  if (rows.length === 0) return 'None of its own.';
  const cells = rows.map((row) => [
    `\`${row.key}\``,
    row.type,
    row.required ? 'required' : row.default === undefined ? '' : `\`${row.default}\``,
    row.description,
  ]);
  return markdownTable(['key', 'value', 'default', 'meaning'], cells);
}

function guess(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}
