/** Loads the driver of every folder in src/drivers. A folder whose driver can't be used is named as a problem and left out: nothing is generated from half a driver. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AnyDriver } from '../../src/contracts/driver.ts';

export interface LoadedDrivers {
  /** In the order of their names. */
  readonly drivers: readonly AnyDriver[];
  readonly problems: readonly string[];
}

export async function loadDrivers(folder: string): Promise<LoadedDrivers> {
  const drivers: AnyDriver[] = [];
  const problems: string[] = [];
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = join(folder, name, 'driver.ts');
    if (!existsSync(file)) {
      problems.push(`${name} has no driver.ts: it is left out`);
      continue;
    }
    try {
      drivers.push(await loadDriver(file, name));
    } catch (error) {
      problems.push(`${name} can not be loaded, it is left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { drivers, problems };
}

async function loadDriver(file: string, name: string): Promise<AnyDriver> {
  const { driver } = (await import(pathToFileURL(file).href)) as { driver?: AnyDriver };
  if (driver === undefined) throw new Error('driver.ts exports no "driver"');
  if (driver.name !== name) throw new Error(`the driver calls itself "${driver.name}"; it must be named as its folder`);
  return driver;
}
