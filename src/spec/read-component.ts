/**
 * One component of the spec: the keys that all components have by our schema, all others by its driver's. Everything that can be checked is checked, whatever else of
 * the component is wrong, so that one run of the loader shows all faults.
 */
import type { z } from 'zod';
import { nearestWord } from '../base/nearest.ts';
import type { AnyDriver, DriverCatalog } from '../contracts/driver.ts';
import { type BackupSpec, readBackups } from './backup-section.ts';
import { componentCommonKeys, componentCommonSchema } from './component-schema.ts';
import type { SpecPath } from './fault.ts';
import type { FaultCollector } from './fault-collector.ts';
import { childOf, entriesOf, type LocatedNode, makeMap, pickEntries, plainValue } from './located-node.ts';
import { knownKeys, type Schema } from './schema-shape.ts';
import type { SecretPlacement } from './secret-placement.ts';
import { handsSchema } from './section-schemas.ts';
import type { ComponentSpec, HandsSpec, SiteSpec } from './spec.ts';

export interface ComponentReading {
  readonly catalog: DriverCatalog;
  readonly collector: FaultCollector;
  readonly secrets: SecretPlacement;
}

function findDriver(node: LocatedNode, path: SpecPath, { catalog, collector }: ComponentReading): AnyDriver | undefined {
  const named = childOf(node, 'driver');
  if (named?.kind !== 'scalar' || typeof named.value !== 'string' || named.value === '') return undefined;
  const driver = catalog.get(named.value);
  if (driver !== undefined) return driver;
  const names = [...catalog.keys()].sort();
  const nearest = nearestWord(named.value, names);
  collector.add(
    [...path, 'driver'],
    'value',
    `there is no driver "${named.value}"`,
    nearest === undefined ? `There are: ${names.join(', ')}.` : `Did you mean "${nearest}"?`,
  );
  return undefined;
}

function commonPart(
  name: string,
  node: LocatedNode,
  path: SpecPath,
  collector: FaultCollector,
): z.output<typeof componentCommonSchema> | undefined {
  const common = pickEntries(node, (key) => key !== 'sites' && componentCommonKeys.includes(key));
  return collector.parseValue(path, plainValue(common), componentCommonSchema, { subject: `component ${name}` });
}

async function driverPart(
  name: string,
  node: LocatedNode,
  path: SpecPath,
  driver: AnyDriver,
  reading: ComponentReading,
): Promise<{ readonly options: unknown } | undefined> {
  const schema = driver.componentOptions;
  const own = pickEntries(node, (key) => !componentCommonKeys.includes(key));
  const value = await reading.secrets.place(own, [schema as Schema], path);
  const ofSites = new Map(
    [...knownKeys([driver.siteOptions as Schema]), 'hands'].map((key) => [
      key,
      `"${key}" belongs to a site: put it below sites, in the region that it is true of.`,
    ]),
  );
  const before = reading.collector.faults.length;
  const options: unknown = reading.collector.parseValue(path, value, schema, {
    subject: `component ${name}`,
    otherKeys: componentCommonKeys,
    misplacedKeys: ofSites,
  });
  return reading.collector.faults.length === before ? { options } : undefined;
}

async function readSite(
  component: string,
  region: string,
  written: LocatedNode,
  path: SpecPath,
  driver: AnyDriver | undefined,
  reading: ComponentReading,
): Promise<SiteSpec | undefined> {
  const { collector } = reading;
  const before = collector.faults.length;
  // `us-east-1:` with nothing after it is a site that has no keys of its own.
  const node = written.kind === 'scalar' && written.value === null ? makeMap(written.place, new Map()) : written;
  if (node.kind !== 'map') {
    collector.add(
      path,
      'value',
      `site ${region} of component ${component} must be a map`,
      `Write the keys of the site below ${region}, or {} when it has none.`,
    );
    return undefined;
  }
  let hands: HandsSpec | undefined;
  const handsNode = childOf(node, 'hands');
  if (handsNode !== undefined) hands = collector.parseValue([...path, 'hands'], plainValue(handsNode), handsSchema, { subject: '"hands"' });
  if (driver === undefined) return undefined;
  const schema = driver.siteOptions;
  const value = await reading.secrets.place(
    pickEntries(node, (key) => key !== 'hands'),
    [schema as Schema],
    path,
  );
  const ofComponent = new Map(
    [...componentCommonKeys, ...knownKeys([driver.componentOptions as Schema])].map((key) => [
      key,
      `"${key}" belongs to the component: move it up, beside sites.`,
    ]),
  );
  const options: unknown = collector.parseValue(path, value, schema, {
    subject: `site ${region}`,
    otherKeys: ['hands'],
    misplacedKeys: ofComponent,
  });
  if (collector.faults.length > before) return undefined;
  return { region, options, ...(hands === undefined ? {} : { hands }) };
}

async function readSites(
  name: string,
  node: LocatedNode,
  path: SpecPath,
  driver: AnyDriver | undefined,
  reading: ComponentReading,
): Promise<ReadonlyMap<string, SiteSpec> | undefined> {
  const written = childOf(node, 'sites');
  if (written === undefined || (written.kind === 'scalar' && written.value === null)) return new Map();
  if (written.kind !== 'map') {
    reading.collector.add(
      path,
      'value',
      `"sites" of component ${name} must be a map`,
      'Write the region of each site, and below it the keys of the site.',
    );
    return undefined;
  }
  const sites = new Map<string, SiteSpec>();
  let whole = true;
  for (const [region, entry] of entriesOf(written)) {
    const site = await readSite(name, region, entry.node, [...path, region], driver, reading);
    if (site === undefined) whole = false;
    else sites.set(region, site);
  }
  return whole ? sites : undefined;
}

function askDriver(path: SpecPath, driver: AnyDriver, component: ComponentSpec, collector: FaultCollector): void {
  const sites = new Map([...component.sites].map(([region, site]) => [region, site.options]));
  for (const fault of driver.validate?.({ options: component.options, sites, replication: component.replication }) ?? []) {
    collector.add([...path, ...fault.path], 'value', fault.message, fault.hint);
  }
}

/** Without a standby, only what its driver can bring back from a backup comes to another region. */
function checkComesBack(path: SpecPath, driver: AnyDriver, component: ComponentSpec, collector: FaultCollector): void {
  const { name, replication, sites, backup } = component;
  if (replication !== 'none' || sites.size < 2) return;
  if (driver.openReturn === undefined)
    collector.add(
      [...path, 'replication'],
      'value',
      `${name} has no standby, and nothing can bring ${driver.title} back from a backup in another region`,
      'Leave its other sites out; or replicate it, and say how.',
    );
  else if (backup === undefined)
    collector.add(
      [...path, 'replication'],
      'value',
      `${name} has no standby and no backups: nothing would bring it back in another region`,
      `Add backup: to ${name}.`,
    );
}

function backupsOf(
  name: string,
  written: z.output<typeof componentCommonSchema>['backup'],
  driver: AnyDriver,
  collector: FaultCollector,
): readonly BackupSpec[] | undefined {
  if (written === undefined) return undefined;
  const repositories = [...entriesOf(childOf(collector.root, 'repositories')).keys()];
  return readBackups(written, { component: name, system: driver.title, kinds: driver.backups?.kinds, repositories, collector });
}

/** The component, or undefined when it has faults (which the collector then has). */
export async function readComponent(name: string, node: LocatedNode, reading: ComponentReading): Promise<ComponentSpec | undefined> {
  const { collector } = reading;
  const path = ['components', name];
  if (node.kind !== 'map') {
    collector.add(path, 'value', `component ${name} must be a map`, 'Write its keys below it, beginning with its driver.');
    return undefined;
  }
  const driver = findDriver(node, path, reading);
  const common = commonPart(name, node, path, collector);
  const own = driver && (await driverPart(name, node, path, driver, reading));
  const sites = await readSites(name, node, [...path, 'sites'], driver, reading);
  const backup = driver && common && backupsOf(name, common.backup, driver, collector);
  if (driver === undefined || common === undefined || own === undefined || sites === undefined) return undefined;
  const component: ComponentSpec = {
    name,
    driver: driver.name,
    kind: driver.kind,
    vital: common.vital ?? driver.kind === 'data',
    needs: [...new Set(common.needs)],
    replication: common.replication,
    ...(common.rpo === undefined ? {} : { rpoMs: common.rpo }),
    canaryEveryMs: common['canary-every'],
    options: own.options,
    sites,
    ...(backup === undefined ? {} : { backup }),
  };
  const before = collector.faults.length;
  askDriver(path, driver, component, collector);
  checkComesBack(path, driver, component, collector);
  return collector.faults.length === before ? component : undefined;
}
