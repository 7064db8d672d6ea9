/** The text of src/registry.generated.ts: the only list of drivers and of repositories' backends there is, so that a new one is a new folder and nothing else. */
import type { AnyDriver } from '../../src/contracts/driver.ts';
import type { AnyRepositoryBackendFactory } from '../../src/contracts/repository-backend.ts';

export function writeRegistry(drivers: readonly AnyDriver[], repositories: readonly AnyRepositoryBackendFactory[]): string {
  const imports = [
    ...drivers.map(({ name }) => `import { driver as ${variableOf(name, 'Driver')} } from './drivers/${name}/driver.ts';`),
    ...repositories.map(({ name }) => `import { backend as ${variableOf(name, 'Repository')} } from './repositories/${name}/backend.ts';`),
  ];
  return `/** Every driver and every kind of repository there is, by name. Written by "npm run generate" from the folders of src/drivers and src/repositories; changes made here are lost. */
import type { AnyDriver, DriverCatalog } from './contracts/driver.ts';
import type { AnyRepositoryBackendFactory, RepositoryCatalog } from './contracts/repository-backend.ts';
${imports.join('\n')}

const drivers: readonly AnyDriver[] = [
${drivers.map(({ name }) => `  ${variableOf(name, 'Driver')},`).join('\n')}
];

const repositories: readonly AnyRepositoryBackendFactory[] = [
${repositories.map(({ name }) => `  ${variableOf(name, 'Repository')},`).join('\n')}
];

export const driverCatalog: DriverCatalog = new Map(drivers.map((driver) => [driver.name, driver]));

export const repositoryCatalog: RepositoryCatalog = new Map(repositories.map((repository) => [repository.name, repository]));
`;
}

/** The text of src/log-identifiers.generated.ts: for pushing a log without loading the drivers. `names`: those whose folder has backups/identify-log.ts. */
export function writeLogIdentifiers(names: readonly string[]): string {
  const lines = names.map(
    (name) => `  ${/^\w+$/.test(name) ? name : `'${name}'`}: () => import('./drivers/${name}/backups/identify-log.ts'),`,
  );
  return `/** How to tell whose log a file is, by driver. Written by "npm run generate" from the folders of src/drivers; changes made here are lost. */
import type { DriverBackups } from './contracts/backup.ts';

type IdentifyLog = NonNullable<DriverBackups<never, never>['identifyLog']>;

export const logIdentifiers: Readonly<Record<string, (() => Promise<{ readonly identifyLog: IdentifyLog }>) | undefined>> = {
${lines.join('\n')}
};
`;
}

function variableOf(name: string, what: string): string {
  return `${name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())}${what}`;
}
