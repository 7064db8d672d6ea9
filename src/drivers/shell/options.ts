/** Options of a component that is the user's own commands. A verb given for a site replaces the component's verb of that name. */
import { z } from 'zod';
import { commandLine, duration } from '../../contracts/options.ts';
import { commandEnvironment } from '../../contracts/site-command.ts';
import { type SiteVerb, siteVerbs } from '../../contracts/verbs.ts';

const verbCommands = z.strictObject({
  inspect: commandLine('Says whether the wanted state holds: exit 0 done, 1 absent, 2 pending, 3 unknown').optional(),
  apply: commandLine('Brings the wanted state about: exit 0 when that has been done or begun').optional(),
  shell: z.boolean().default(false).describe('Hand the first text of inspect and apply to sh -c, with the others as $1, $2, ...'),
  timeout: duration('How long one of the commands may take').prefault('60s'),
});

const observeCommand = z.strictObject({
  command: commandLine(
    'Says how it is: exit 0 up, 1 down, 3 unknown; may print a JSON object with role, writable, identity, replicas and facts',
  ),
  shell: z.boolean().default(false).describe('Hand the first text of command to sh -c, with the others as $1, $2, ...'),
});

const verbOptions = Object.fromEntries(
  siteVerbs.map((verb) => [verb, verbCommands.optional().describe(`The commands of the verb ${verb}`)]),
) as unknown as Readonly<Record<SiteVerb, z.ZodOptional<typeof verbCommands>>>;

const shape = {
  observe: observeCommand.optional().describe('How to look at it; without it only the hands are tried'),
  ...verbOptions,
  env: commandEnvironment.optional(),
};

export const componentOptions = z.strictObject(shape);
export const siteOptions = z.strictObject(shape);

export type ShellOptions = z.output<typeof componentOptions>;
export type VerbCommands = z.output<typeof verbCommands>;
export type ObserveCommand = z.output<typeof observeCommand>;

/** Verbs that only wait or look: `apply` may be missing, and what is absent is waited for. */
export const lookingVerbs: ReadonlySet<SiteVerb> = new Set(['check', 'await-ready', 'await-position']);

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** What no schema of a single key can see. */
export function findFaults(options: ShellOptions, sites: ReadonlyMap<string, ShellOptions>): readonly Fault[] {
  const faults = faultsOf(options, []);
  for (const [region, site] of sites) faults.push(...faultsOf(site, ['sites', region]));
  return faults;
}

function faultsOf(options: ShellOptions, path: readonly string[]): Fault[] {
  const faults: Fault[] = [];
  for (const verb of siteVerbs) {
    const given = options[verb];
    if (!given) continue;
    const looks = lookingVerbs.has(verb);
    if (!given.inspect && (looks || verb !== 'run')) {
      faults.push({
        path: [...path, verb],
        message: `${verb} needs an inspect command`,
        hint: 'Only run may do without: give a command that says whether it has been done.',
      });
    }
    if (!given.apply && !looks)
      faults.push({
        path: [...path, verb],
        message: `${verb} needs an apply command`,
        hint: 'Give a command that brings the wanted state about.',
      });
  }
  return faults;
}
