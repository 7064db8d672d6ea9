/** Options of an HTTP service. Strict: an unknown key is a fault with a line number, never a silent no-op. */
import { z } from 'zod';
import { commandLine, duration } from '../../contracts/options.ts';
import { commandEnvironment, misplacedPlaceholders } from '../../contracts/site-command.ts';
import { endpointOptions } from '../../contracts/workload/endpoint.ts';
import { httpHealthOptions } from '../../contracts/workload/http-health.ts';
import { smokeOptions } from '../../contracts/workload/smoke-checks.ts';

const count = z.int().min(0);

export const placeholders = ['size', 'replicas', 'region', 'component'] as const;

const commands = {
  'scale-command': commandLine(
    'Sets the number of replicas; arguments that are exactly {size}, {replicas}, {region} or {component} are filled in',
  ).optional(),
  'count-command': commandLine('Prints how many replicas run: a number, or JSON { "wanted": 10, "ready": 8 }').optional(),
  start: commandLine('Starts the service where there is no scale-command; starting it twice must be harmless').optional(),
  stop: commandLine('Stops the service; stopping it twice must be harmless').optional(),
  env: commandEnvironment.optional(),
};

export const componentOptions = z.strictObject({
  health: httpHealthOptions.prefault({}),
  smoke: smokeOptions.optional(),
  'full-replicas': count.min(1).default(1).describe('How many replicas carry the whole load'),
  'standby-replicas': count.optional().describe('How many replicas run in a standby region; default: as many as full-replicas'),
  ...commands,
  'command-timeout': duration('How long one of the commands may take').prefault('60s'),
});

/** A command given for a site replaces the component's. */
export const siteOptions = z.strictObject({ ...endpointOptions, ...commands });

export type HttpServiceOptions = z.output<typeof componentOptions>;
export type HttpServiceSiteOptions = z.output<typeof siteOptions>;

const commandKeys = ['scale-command', 'count-command', 'start', 'stop'] as const;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function findFaults(options: HttpServiceOptions, sites: ReadonlyMap<string, HttpServiceSiteOptions>): readonly Fault[] {
  const faults: Fault[] = [];
  const look = (given: Pick<HttpServiceOptions, (typeof commandKeys)[number]>, path: readonly string[]): void => {
    for (const key of commandKeys) {
      for (const argument of misplacedPlaceholders(given[key] ?? [], placeholders)) {
        faults.push({
          path: [...path, key],
          message: `"${argument}" holds a placeholder beside other text`,
          hint: 'A placeholder must be a whole argument: ["--replicas", "{replicas}"].',
        });
      }
    }
  };
  look(options, []);
  for (const [region, site] of sites) look(site, ['sites', region]);
  const standby = options['standby-replicas'];
  if (standby !== undefined && standby > options['full-replicas']) {
    faults.push({
      path: ['standby-replicas'],
      message: `${standby} standby replicas are more than the ${options['full-replicas']} of full-replicas`,
      hint: 'Raise full-replicas or lower standby-replicas.',
    });
  }
  if (options.health['wanted-count'] !== undefined && options.health['ready-count'] === undefined) {
    faults.push({
      path: ['health', 'wanted-count'],
      message: 'wanted-count says nothing without ready-count',
      hint: 'Add ready-count, the path to the number of ready replicas.',
    });
  }
  return faults;
}
