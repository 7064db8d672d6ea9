/** Finds the verb that a step asks for: of the control plane, or of a site. */
import { fail } from '../base/errors.ts';
import type { SiteVerb, Verb } from '../contracts/verbs.ts';
import { isGuarded } from '../plans/fragments.ts';
import type { PlatformVerb, Step } from '../plans/plan.ts';
import { siteKey } from '../watch/site-key.ts';
import type { Control } from './control.ts';
import { fenceOrLease } from './primary/fence-or-lease.ts';
import { thawAnew } from './primary/thaw-anew.ts';
import { unbarPrimary } from './verbs/bar-verbs.ts';
import { checkAnew, isLook, notedLook, TakenLooks } from './verbs/check-anew.ts';
import { checkTarget } from './verbs/check-target.ts';
import { confirmVerdict } from './verbs/confirm-verdict.ts';
import { advanceEpochVerb, setActiveVerb } from './verbs/epoch-verbs.ts';
import { fenceWithinBudget } from './verbs/fence-within-budget.ts';
import { measureLoss } from './verbs/measure-loss.ts';
import type { PlatformParts } from './verbs/platform-verb.ts';
import { proveBackup } from './verbs/prove-backup.ts';
import { pruneBackups } from './verbs/prune-backups.ts';
import { restoreBackup } from './verbs/restore-backup.ts';
import { restoreSite } from './verbs/restore-site.ts';
import { takeBackup } from './verbs/take-backup.ts';
import { verify } from './verbs/verify.ts';

const platformVerbFactories: Readonly<Partial<Record<PlatformVerb, (parts: PlatformParts) => Verb>>> = {
  'confirm-verdict': confirmVerdict,
  'check-target': checkTarget,
  'advance-epoch': advanceEpochVerb,
  'unbar-primary': unbarPrimary,
  'set-active': setActiveVerb,
  'measure-loss': measureLoss,
  verify,
  'take-backup': takeBackup,
  'restore-backup': restoreBackup,
  'restore-site': restoreSite,
  'prune-backups': pruneBackups,
  'prove-backup': proveBackup,
};

/** What has happened in one run of an execution so far. */
export interface RunSoFar {
  /** Somebody has told the execution to try again what had failed. */
  wasRetried(): boolean;
  /** This run has written down that it begins the step. */
  wasBegunHere(step: string): boolean;
}

export function verbResolver(control: Control, { wasRetried, wasBegunHere }: RunSoFar): { resolve(step: Step): Verb } {
  const taken = new TakenLooks(control.parts.host.clock, wasBegunHere);
  const withinBudget = (fence: Verb) =>
    checkAnew(control.platformParts, fenceWithinBudget(control.platformParts, fence, wasRetried), taken, ofPlatform);
  const ofPlatform = (step: Step): Verb => {
    const make = platformVerbFactories[step.verb as PlatformVerb];
    if (!make) throw fail('NO_SUCH_VERB', { subject: step.id, message: `the control plane has no "${step.verb}"` });
    const verb = make(control.platformParts);
    if (isLook(step.verb)) return notedLook(verb, step.id, taken);
    return step.verb === 'advance-epoch' ? checkAnew(control.platformParts, verb, taken, ofPlatform) : verb;
  };
  return {
    resolve: (step) => {
      if (step.component === undefined) return ofPlatform(step);
      const site = control.sites.get(siteKey(step.component, step.region ?? ''));
      if (!site)
        throw fail('NO_SUCH_VERB', {
          subject: step.id,
          message: `the spec has no ${step.component} in ${step.region ?? 'no region'}`,
          hint: 'The spec was changed since the plan was made: put the site back, or abort the execution.',
        });
      const verb = site.verbs[step.verb as SiteVerb];
      if (step.verb === 'fence' && step.want.barred !== undefined) {
        const { component, region = '' } = step;
        const { store, host } = control.parts;
        return withinBudget(fenceOrLease({ store, clock: host.clock, component, region, fence: verb }));
      }
      // What holds no data is fenced after the change: nothing is lost by it, and nothing of the source is there to be counted any more.
      if (step.verb === 'fence' && verb && control.parts.spec.components.get(step.component)?.kind === 'data') return withinBudget(verb);
      if (step.verb === 'thaw' && verb && isGuarded(control.parts.spec)) return thawAnew(control.parts.store, verb);
      if (!verb)
        throw fail('NO_SUCH_VERB', {
          subject: step.id,
          message: `${step.component} in ${step.region} can't do "${step.verb}" as it is configured`,
        });
      return verb;
    },
  };
}
