/**
 * The verb `run` of Terraform: the infrastructure is as the configuration says.
 *
 * Invariants: what is applied is a saved plan, the very one that was read and judged; a plan that would destroy, replace or forget anything that nobody has approved is not applied, nor any part of it.
 * A plan that was applied already, or was overtaken, is stale by Terraform's own word, so nothing is done twice. A controller that dies in the middle may leave the lock of the state: the next one
 * is told whose it is, and stops.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import { sha256Hex } from '../../base/hashing.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Terraform } from './client.ts';
import type { TerraformOptions, TerraformSiteOptions } from './options.ts';
import { unapprovedLosses } from './plan-json.ts';

export function runVerb(terraform: Terraform, options: TerraformOptions, site: TerraformSiteOptions): Verb {
  return {
    inspect: (_want, context) => inspect(terraform, context),
    apply: async (_want, context) => {
      const reviewed = site['reviewed-plan'];
      if (reviewed !== undefined) return initialized(terraform, context, () => applyReviewed(terraform, options, reviewed, context));
      const file = `${site.directory}/.holdfast-${sha256Hex(`${context.executionId}\n${context.stepId}`).slice(0, 20)}.tfplan`;
      try {
        const { hasChanges, summary } = await initialized(terraform, context, () => terraform.plan(context.signal, file));
        context.progress(summary);
        if (hasChanges) await applyJudged(terraform, options, file, context);
      } finally {
        await terraform.remove(file);
      }
    },
  };
}

async function inspect(terraform: Terraform, { signal }: StepContext): Promise<Inspection> {
  try {
    const { hasChanges, summary } = await terraform.plan(signal);
    return hasChanges ? { state: 'absent', why: summary } : { state: 'done', output: { detail: summary } };
  } catch (error) {
    if (error instanceof HoldfastError && error.details.needsInit === true) return { state: 'absent', why: error.message };
    throw error;
  }
}

/** Where the directory was never initialized nothing of the work was done yet. */
async function initialized<T>(terraform: Terraform, { signal, progress }: StepContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.needsInit !== true) throw error;
    progress('terraform init');
    await terraform.init(signal);
    return work();
  }
}

async function applyReviewed(terraform: Terraform, options: TerraformOptions, plan: string, context: StepContext): Promise<void> {
  if (!(await terraform.exists(plan, context.signal)))
    throw fail('SYSTEM_REFUSED', {
      message: `there is no reviewed plan ${plan} for ${terraform.name}`,
      hint: `terraform plan -out=${plan} makes one; have it reviewed, then holdfast retry.`,
    });
  await applyJudged(terraform, options, plan, context);
}

async function applyJudged(terraform: Terraform, options: TerraformOptions, plan: string, context: StepContext): Promise<void> {
  const losses = unapprovedLosses(await terraform.show(plan, context.signal), options['approve-destroy']);
  if (losses.length > 0)
    throw fail('SYSTEM_REFUSED', {
      message: `the plan of ${terraform.name} takes away what nobody approved: ${losses.map(({ address, how }) => `${address} is ${how}`).join(', ')}`,
      hint: 'Change the configuration, or name what may go in approve-destroy. Nothing was applied.',
    });
  context.progress(await terraform.apply(plan, context.signal));
}
