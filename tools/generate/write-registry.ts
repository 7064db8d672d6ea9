/** The text of src/registry.generated.ts: the only list of drivers there is, so that a new driver is a new folder and nothing else. */
import type { AnyDriver } from '../../src/contracts/driver.ts';

export function writeRegistry(drivers: readonly AnyDriver[]): string {
  const imports = drivers.map(({ name }) => `import { driver as ${variableOf(name)} } from './drivers/${name}/driver.ts';`);
  return `/** Every driver there is, by name. Written by "npm run generate" from the folders of src/drivers; changes made here are lost. */
import type { AnyDriver, DriverCatalog } from './contracts/driver.ts';
${imports.join('\n')}

const drivers: readonly AnyDriver[] = [
${drivers.map(({ name }) => `  ${variableOf(name)},`).join('\n')}
];

export const driverCatalog: DriverCatalog = new Map(drivers.map((driver) => [driver.name, driver]));
`;
}

function variableOf(name: string): string {
  return `${name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())}Driver`;
}
