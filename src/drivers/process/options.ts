/** Options of a workload made of processes. What a site says of a process is laid over what the component says of the process of that name, key by key. */
import { z } from 'zod';
import { commandLine, duration } from '../../contracts/options.ts';
import { commandEnvironment } from '../../contracts/site-command.ts';
import { endpointOptions } from '../../contracts/workload/endpoint.ts';
import { httpHealthOptions } from '../../contracts/workload/http-health.ts';
import { smokeOptions } from '../../contracts/workload/smoke-checks.ts';

const absolutePath = (description: string) => z.string().regex(/^\//, 'is not an absolute path').describe(description);

const processShape = z.strictObject({
  start: commandLine('Starts the process and ends; starting it twice must be harmless').optional(),
  stop: commandLine('Stops the process; stopping it twice must be harmless').optional(),
  status: commandLine(
    'Ends with 0 while the process runs, with 1, 2 or 3 while it does not, and with anything else when it can not tell',
  ).optional(),
  program: commandLine(
    'The program itself, which Holdfast starts detached, finds again by its pid file and stops; instead of start, stop and status',
  ).optional(),
  'pid-file': absolutePath('Where Holdfast notes the process of program').optional(),
  'log-file': absolutePath('Where the output of program goes; default: the pid file with .log after it').optional(),
  directory: absolutePath('Working directory of program').optional(),
  'stop-grace': duration('How long program may take to end after SIGTERM before it gets SIGKILL; default 5s').optional(),
  env: commandEnvironment.optional(),
});

const processes = z.record(
  z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'is not a name of lower-case letters, digits and dashes'),
  processShape,
);

export const componentOptions = z.strictObject({
  processes: processes.default({}).describe('The processes by name; started in this order, stopped in the reverse order'),
  health: httpHealthOptions.optional(),
  smoke: smokeOptions.optional(),
  standby: z.enum(['started', 'stopped']).default('started').describe('Whether the processes run in a standby region'),
  'command-timeout': duration('How long one of the commands may take').prefault('60s'),
});

export const siteOptions = z.strictObject({
  ...endpointOptions,
  url: endpointOptions.url.optional(),
  tcp: z
    .string()
    .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5}$/, 'is not HOST:PORT')
    .optional()
    .describe('HOST:PORT that accepts connections while the processes run; for those that do not speak HTTP'),
  processes: processes.default({}).describe('What is different about the processes at this site'),
});

export type ProcessOptions = z.output<typeof componentOptions>;
export type ProcessSiteOptions = z.output<typeof siteOptions>;
export type ProcessDefinition = z.output<typeof processShape>;

/** The processes of a site, in the component's order, those that only the site knows last. */
export function mergeProcesses(options: ProcessOptions, site: ProcessSiteOptions): ReadonlyMap<string, ProcessDefinition> {
  const merged = new Map<string, ProcessDefinition>();
  for (const name of [...Object.keys(options.processes), ...Object.keys(site.processes)]) {
    const common = options.processes[name];
    const own = site.processes[name];
    merged.set(name, { ...common, ...own, ...(common?.env || own?.env ? { env: { ...common?.env, ...own?.env } } : {}) });
  }
  return merged;
}

export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function findFaults(options: ProcessOptions, sites: ReadonlyMap<string, ProcessSiteOptions>): readonly Fault[] {
  const faults: Fault[] = [];
  for (const [region, site] of sites) {
    const merged = mergeProcesses(options, site);
    if (merged.size === 0)
      faults.push({ path: ['sites', region], message: 'no processes are named', hint: 'Name at least one under processes.' });
    for (const [name, definition] of merged)
      faults.push(
        ...faultsOfProcess(definition, region, site.processes[name] ? ['sites', region, 'processes', name] : ['processes', name]),
      );
    if ((options.health || options.smoke) && site.url === undefined) {
      faults.push({ path: ['sites', region], message: 'health and smoke need the url of the site', hint: 'Give the site a url.' });
    }
    const port = Number(site.tcp?.split(':').at(-1) ?? 1);
    if (port < 1 || port > 65_535)
      faults.push({ path: ['sites', region, 'tcp'], message: `${port} is not a port`, hint: 'A port is a number from 1 to 65535.' });
  }
  return faults;
}

function faultsOfProcess(definition: ProcessDefinition, region: string, path: readonly (string | number)[]): readonly Fault[] {
  const faults: Fault[] = [];
  if (definition.program) {
    for (const key of ['start', 'stop', 'status'] as const) {
      if (definition[key])
        faults.push({
          path: [...path, key],
          message: `${key} and program exclude each other`,
          hint: 'Give either program with pid-file, or start, stop and status.',
        });
    }
    if (definition['pid-file'] === undefined)
      faults.push({
        path,
        message: `program has no pid-file in ${region}`,
        hint: 'Name a file that survives as long as the process: /run/NAME.pid.',
      });
    return faults;
  }
  for (const key of ['start', 'stop', 'status'] as const) {
    if (!definition[key])
      faults.push({ path, message: `${key} is missing in ${region}`, hint: 'Give start, stop and status, or program with pid-file.' });
  }
  for (const key of ['pid-file', 'log-file', 'directory', 'stop-grace'] as const) {
    if (definition[key] !== undefined)
      faults.push({ path: [...path, key], message: `${key} belongs to program`, hint: 'Leave it out, or give program.' });
  }
  return faults;
}
