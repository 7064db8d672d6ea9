/**
 * `npm run generate` writes what follows from the code: the registry of drivers and repositories, the references and the JSON Schema of the spec. With `--check` it writes nothing
 * and fails where anything is out of date.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCatalogue } from '../src/base/error-catalogue.ts';
import type { AnyDriver } from '../src/contracts/driver.ts';
import type { AnyRepositoryBackendFactory } from '../src/contracts/repository-backend.ts';
import { metricChapters, metricsOfDriver } from '../src/control/metrics/metric-definitions.ts';
import { specJsonSchema } from '../src/spec/json-schema.ts';
import { loadDrivers, loadRepositories } from './generate/load-drivers.ts';
import { findStale, type Output, writeStale } from './generate/outputs.ts';
import { writeDriverReference } from './generate/write-driver-reference.ts';
import { writeErrorReference } from './generate/write-error-reference.ts';
import { writeMetricsReference } from './generate/write-metrics-reference.ts';
import { writeLogIdentifiers, writeRegistry } from './generate/write-registry.ts';
import type { Layers } from './tidy/layers.ts';

const ownRoot = resolve(import.meta.dirname, '..');

interface Generated {
  readonly outputs: readonly Output[];
  readonly problems: readonly string[];
}

export async function generate(root: string): Promise<Generated> {
  const driversFolder = join(root, 'src', 'drivers');
  const { drivers, problems: driverProblems } = await loadDrivers(driversFolder, sharedFoldersOf(root));
  const { repositories, problems: repositoryProblems } = await loadRepositories(join(root, 'src', 'repositories'));
  const problems = [...driverProblems, ...repositoryProblems];
  const outputs: Output[] = [];
  const add = (path: string, write: () => string): void => {
    try {
      outputs.push({ path, text: write() });
    } catch (error) {
      problems.push(`${path} can not be written: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  add('src/registry.generated.ts', () => writeRegistry(drivers, repositories));
  const withLogs = drivers.map(({ name }) => name).filter((name) => existsSync(join(driversFolder, name, 'backups', 'identify-log.ts')));
  add('src/log-identifiers.generated.ts', () => writeLogIdentifiers(withLogs));
  add('docs/errors.md', () => writeErrorReference(errorCatalogue));
  add('docs/reference/drivers.md', () => writeDriverReference(drivers, (name) => existsSync(join(driversFolder, name, 'README.md'))));
  const ofDrivers = drivers
    .filter(({ metrics }) => metrics !== undefined)
    .map((driver) => ({ title: `Sites of ${driver.title}`, metrics: metricsOfDriver(driver) }));
  add('docs/reference/metrics.md', () => writeMetricsReference([...metricChapters, ...ofDrivers]));
  add('docs/reference/spec.schema.json', () => writeSpecSchema(drivers, repositories));
  return { outputs, problems };
}

/** Folders beside the drivers that some of them share, as the layers name them. */
function sharedFoldersOf(root: string): readonly string[] {
  const file = join(root, 'tools', 'layers.json');
  if (!existsSync(file)) return [];
  const { adapters } = JSON.parse(readFileSync(file, 'utf8')) as Layers;
  return (adapters.shared ?? []).map(({ folder }) => folder.replace(/^drivers\//, ''));
}

function writeSpecSchema(drivers: readonly AnyDriver[], repositories: readonly AnyRepositoryBackendFactory[]): string {
  const kinds = new Map(repositories.map((repository) => [repository.name, repository]));
  return `${JSON.stringify(specJsonSchema(new Map(drivers.map((driver) => [driver.name, driver])), kinds), null, 2)}\n`;
}

async function main(): Promise<void> {
  const check = process.argv.includes('--check');
  const { outputs, problems } = await generate(ownRoot);
  for (const problem of problems) process.stdout.write(`problem: ${problem}\n`);
  const stale = check ? findStale(ownRoot, outputs) : writeStale(ownRoot, outputs);
  for (const path of stale) process.stdout.write(check ? `out of date: ${path}\n` : `written: ${path}\n`);
  if (stale.length === 0) process.stdout.write(`${outputs.length} generated files are up to date\n`);
  else if (check) process.stdout.write('Run "npm run generate" and commit what it writes.\n');
  process.exitCode = problems.length > 0 || (check && stale.length > 0) ? 1 : 0;
}

if (import.meta.main) await main();
