/** Infrastructure as Terraform (or OpenTofu) keeps it: is it as the configuration says, and make it so by a plan that was judged first. It holds no state between calls. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site, type SiteContext } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { Terraform } from './client.ts';
import { componentOptions, findFaults, siteOptions, type TerraformOptions, type TerraformSiteOptions } from './options.ts';
import type { BackendFacts } from './plan-json.ts';
import { runVerb } from './run.ts';

type TerraformContext = SiteContext<TerraformOptions, TerraformSiteOptions>;
type Fault = NonNullable<Reading['faults']>[number];

/** A look is cheap: program, initialization, place of the state. Drift costs a plan, and is what `check` finds. */
async function observe(context: TerraformContext, terraform: Terraform, signal: AbortSignal): Promise<Reading> {
  const { probeTimeoutMs: timeoutMs } = context;
  try {
    const [version, backend] = await Promise.all([terraform.readVersion(timeoutMs, signal), terraform.readBackend(timeoutMs, signal)]);
    return {
      ...readingOf({ kind: 'answered', detail: `${context.options.program} ${version} is there for ${terraform.name}` }),
      faults: stateFaults(context, backend),
      facts: { version, backend: backend?.type ?? 'none', ...(backend?.region ? { stateRegion: backend.region } : {}) },
    };
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

/** Nothing can be planned, in any region, while the state is out of reach. */
export function stateFaults(
  { region, sites, site }: Pick<TerraformContext, 'region' | 'sites' | 'site'>,
  backend: BackendFacts | undefined,
): readonly Fault[] {
  if (backend === undefined && site['state-in'] === undefined)
    return [
      {
        severity: 'warning',
        message: `${site.directory} has no backend that was initialized: its state is a file beside it, or it was never applied`,
        hint: 'Run terraform init there beforehand: a disaster is no time to fetch providers.',
      },
    ];
  const told = backend?.region;
  if (told !== undefined && told !== region && sites.has(told))
    return [
      {
        severity: 'problem',
        message: `the state that ${region} is built by lies in ${told} (${backend?.type}): when that region is dark, nothing can be built here`,
        hint: 'Keep a state of its own for each region, in that region or in one that is not lost with another.',
      },
    ];
  if (told === undefined && site['state-in'] === undefined)
    return [
      {
        severity: 'warning',
        message: `nothing says in which region the state of ${site.directory} is kept (backend ${backend?.type})`,
        hint: 'Say where in state-in.',
      },
    ];
  return [];
}

function checkVerb(terraform: Terraform): Verb {
  return {
    inspect: async (_want, { signal }) => {
      const { hasChanges, summary } = await terraform.plan(signal);
      return hasChanges
        ? { state: 'pending', why: `it is not as the configuration says: ${summary}` }
        : { state: 'done', output: { detail: summary } };
    },
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openSite(context: TerraformContext): Site {
  const { hands, options, site } = context;
  if (!hands) {
    const reading = readingOf({ kind: 'error', detail: 'the site has no hands to run terraform with' });
    return { observe: async () => reading, verbs: {}, close: async () => {} };
  }
  const terraform = new Terraform(hands, options, site);
  return {
    observe: (signal) => observe(context, terraform, signal),
    verbs: { check: checkVerb(terraform), run: runVerb(terraform, options, site) },
    close: async () => {},
  };
}

export const driver = defineDriver<TerraformOptions, TerraformSiteOptions>({
  name: 'terraform',
  title: 'Terraform',
  summary: 'Says whether infrastructure is as its configuration says, and makes it so by a saved plan that destroys nothing unapproved.',
  kind: 'check',
  verbs: [
    { verb: 'check', needsHands: true, typicalMs: 30_000 },
    { verb: 'run', needsHands: true, typicalMs: 600_000 },
  ],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
});
