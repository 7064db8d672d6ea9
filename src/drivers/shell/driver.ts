/**
 * A component that is the user's own commands: for what no other driver knows. Which verbs it can do is what the options give commands for.
 *
 * It holds no state of its own; what a dying controller leaves is for the inspect commands to find.
 */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import { endOfOutput, runSiteCommand } from '../../contracts/site-command.ts';
import { type SiteVerb, siteVerbs, type Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { commandVerb } from './command-verb.ts';
import { runnable, type ShellSite, siteEnvironment } from './commands.ts';
import { componentOptions, findFaults, type ObserveCommand, type ShellOptions, siteOptions } from './options.ts';
import { readReading } from './outputs.ts';

async function observe(site: ShellSite, command: ObserveCommand | undefined, timeoutMs: number, signal: AbortSignal): Promise<Reading> {
  try {
    if (!command) {
      await site.hands.check(signal);
      return readingOf({ kind: 'answered', detail: `commands can be run on ${site.hands.name}; nothing else is looked at` });
    }
    const result = await runSiteCommand(site.hands, runnable(command.command, command.shell), {
      timeoutMs,
      env: siteEnvironment(site),
      signal,
    });
    const detail = endOfOutput(result);
    if (result.exitCode === 0) return { ...readReading(result.stdout), ...readingOf({ kind: 'answered', detail }) };
    if (result.exitCode === 1) return { ...readReading(result.stdout), ...readingOf({ kind: 'wrong-answer', detail }) };
    return readingOf({ kind: 'error', detail: `exit code ${result.exitCode}: ${detail}` });
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug') throw thrown;
    const kind =
      thrown.code === 'TIMED_OUT' || thrown.code === 'INTERRUPTED'
        ? 'timeout'
        : thrown.code === 'HANDS_UNREACHABLE'
          ? 'unreachable'
          : 'error';
    return readingOf({ kind, detail: thrown.message });
  }
}

function openSite(context: SiteContext<ShellOptions, ShellOptions>): Site {
  const { options, site: own, hands } = context;
  if (!hands) {
    const reading = readingOf({ kind: 'error', detail: 'the site has no hands to run commands with' });
    return { observe: async () => reading, verbs: {}, close: async () => {} };
  }
  const site: ShellSite = { hands, component: context.component, region: context.region, env: { ...options.env, ...own.env } };
  const verbs: Partial<Record<SiteVerb, Verb>> = {};
  for (const verb of siteVerbs) {
    const commands = own[verb] ?? options[verb];
    if (commands) verbs[verb] = commandVerb(site, verb, commands, context.host.clock);
  }
  const looking = own.observe ?? options.observe;
  return { observe: (signal) => observe(site, looking, context.probeTimeoutMs, signal), verbs, close: async () => {} };
}

export const driver = defineDriver<ShellOptions, ShellOptions>({
  name: 'shell',
  title: 'Your own commands',
  summary: 'Does any verb by commands of your own: one that inspects and one that applies.',
  kind: 'check',
  verbs: siteVerbs.map((verb) => ({ verb, needsHands: true, typicalMs: 5_000 })),
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: ({ options, sites }) => findFaults(options, sites),
  open: openSite,
});
