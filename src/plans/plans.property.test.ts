import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import type { Observation } from '../contracts/observation.ts';
import type { SiteVerb } from '../contracts/verbs.ts';
import type { ComponentSpec, Spec } from '../spec/spec.ts';
import { compileFailover } from './compile-failover.ts';
import { compileReprotect } from './compile-reprotect.ts';
import { compileSwitchover } from './compile-switchover.ts';
import type { Plan, Step } from './plan.ts';
import type { Situation } from './situation.ts';

const regionNames = ['east', 'west'] as const;

interface Draft {
  readonly kind: ComponentSpec['kind'];
  readonly needs: readonly number[];
  readonly regions: readonly string[];
  readonly replication: ComponentSpec['replication'];
  readonly lossMs: number | undefined;
  readonly cannot: readonly SiteVerb[];
}

const anyDraft: fc.Arbitrary<Draft> = fc.record({
  kind: fc.constantFrom('data' as const, 'data' as const, 'workload' as const, 'route' as const, 'check' as const),
  needs: fc.array(fc.nat(20), { maxLength: 3 }),
  regions: fc.constantFrom<readonly string[]>(regionNames, regionNames, regionNames, ['east'], ['west']),
  replication: fc.constantFrom(
    'synchronous' as const,
    'synchronous' as const,
    'asynchronous' as const,
    'asynchronous' as const,
    'none' as const,
  ),
  lossMs: fc.constantFrom(0, 1_500, undefined),
  cannot: fc.constantFrom<readonly SiteVerb[]>(
    [],
    [],
    [],
    ['freeze', 'thaw'],
    ['scale'],
    ['await-ready'],
    ['route'],
    ['fence'],
    ['follow'],
    ['promote'],
  ),
});

/** Components may need only earlier ones: never a cycle. */
function specOf(drafts: readonly Draft[]): Spec {
  const name = (index: number) => `c${index}`;
  const components = drafts.map(
    (draft, index): ComponentSpec => ({
      name: name(index),
      driver: draft.kind,
      kind: draft.kind,
      vital: draft.kind === 'data',
      needs: [...new Set(draft.needs.filter((need) => need < index))].map(name),
      replication: draft.replication,
      canaryEveryMs: 1_000,
      options: {},
      sites: new Map(draft.regions.map((region) => [region, { region, options: {} }])),
    }),
  );
  return {
    name: 'random',
    objectives: {},
    regions: new Map([
      ['east', { name: 'east', role: 'active' as const }],
      ['west', { name: 'west', role: 'standby' as const }],
    ]),
    // In any order in the file: the plan must not depend on it.
    components: new Map([...components].reverse().map((component) => [component.name, component])),
    watch: { everyMs: 1_000, timeoutMs: 1_000, failures: 3 },
    failover: {
      automatic: true,
      graceMs: 0,
      lostWhen: 'any',
      readyShare: 0.8,
      lossBudgetMs: 0,
      coolDownMs: 0,
      commitWindowMs: 0,
      approvals: 2,
      salvageDirectory: '/var/tmp',
    },
    failback: { canaryShares: [1], bakeMs: 0 },
    controllers: {
      ttlMs: 5_000,
      renewEveryMs: 1_000,
      regions: ['a', 'b'],
      withoutState: 'fence',
      afterFence: 'return',
      keepExecutions: 500,
    },
    notices: [],
    files: [],
    digest: '',
  };
}

const verbsOf: Readonly<Record<ComponentSpec['kind'], readonly SiteVerb[]>> = {
  data: ['fence', 'freeze', 'thaw', 'await-position', 'promote', 'follow', 'protect', 'salvage'],
  workload: ['scale', 'await-ready', 'fence'],
  route: ['route'],
  check: ['check'],
};

function situationOf(spec: Spec, drafts: readonly Draft[]): Situation {
  const draftOf = (component: string) => drafts[Number(component.slice(1))] as Draft;
  return {
    nowMs: 0,
    activeRegion: 'east',
    epoch: 4,
    observation: () => undefined,
    lastUp: () => undefined,
    can: (component, region, verb) =>
      spec.components.get(component)?.sites.has(region) === true &&
      verbsOf[draftOf(component).kind].includes(verb) &&
      !draftOf(component).cannot.includes(verb),
    canBringBack: (component, region) =>
      spec.components.get(component)?.sites.has(region) === true && !draftOf(component).cannot.includes('promote'),
    timing: () => ({ ms: 100, from: 'guess' }),
    estimatedLossMs: (component) => draftOf(component).lossMs,
  };
}

/** Everything that a step comes after, near or far. */
function ancestorsOf(plan: Plan): ReadonlyMap<string, ReadonlySet<string>> {
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  const known = new Map<string, ReadonlySet<string>>();
  const under = new Set<string>();
  const find = (id: string): ReadonlySet<string> => {
    const found = known.get(id);
    if (found) return found;
    expect(under.has(id), `a cycle through ${id}`).toBe(false);
    under.add(id);
    const step = byId.get(id);
    expect(step, `${id} is in the plan`).toBeDefined();
    const all = new Set((step as Step).after.flatMap((before) => [before, ...find(before)]));
    under.delete(id);
    known.set(id, all);
    return all;
  };
  for (const step of plan.steps) find(step.id);
  return known;
}

/** The plan, or undefined where none can be made: then the refusal names what is missing and what to do. */
function compiled(make: () => Plan): Plan | undefined {
  try {
    return make();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(HoldfastError);
    const error = thrown as HoldfastError;
    expect(error.code).toBe('PLAN_IMPOSSIBLE');
    expect(error.subject).toMatch(/^c\d/);
    expect(error.hint.length).toBeGreaterThan(5);
    return undefined;
  }
}

const plans = {
  failover: (spec: Spec, situation: Situation) =>
    compileFailover(spec, situation, { from: 'east', to: 'west', onVerdict: true, budgetMs: 0, approvals: 2, because: 'a test' }),
  switchover: (spec: Spec, situation: Situation) =>
    compileSwitchover(spec, situation, { from: 'east', to: 'west', kind: 'switchover', because: 'a test' }),
  reprotect: (spec: Spec, situation: Situation) =>
    compileReprotect(spec, situation, { active: 'west', returning: 'east', salvagePrefix: '/salvage', because: 'a test' }),
};

function forPlans(
  kind: keyof typeof plans,
  check: (plan: Plan, ancestors: ReadonlyMap<string, ReadonlySet<string>>, spec: Spec, drafts: readonly Draft[]) => void,
): void {
  let made = 0;
  fc.assert(
    fc.property(fc.array(anyDraft, { minLength: 1, maxLength: 10 }), (drafts) => {
      const spec = specOf(drafts);
      const plan = compiled(() => plans[kind](spec, situationOf(spec, drafts)));
      if (!plan) return;
      made += 1;
      check(plan, ancestorsOf(plan), spec, drafts);
    }),
    { numRuns: 300 },
  );
  expect(made).toBeGreaterThan(30);
}

const comesAfter = (ancestors: ReadonlyMap<string, ReadonlySet<string>>, step: string, other: string) =>
  ancestors.get(step)?.has(other) === true;
const stepsOf = (plan: Plan, verb: string) => plan.steps.filter((step) => step.verb === verb);

describe.each(['failover', 'switchover', 'reprotect'] as const)('every %s', (kind) => {
  it('is a graph of unique steps without cycles, each with a reason', () =>
    forPlans(kind, (plan) => {
      expect(new Set(plan.steps.map((step) => step.id)).size).toBe(plan.steps.length);
      for (const step of plan.steps) {
        expect(step.why.length).toBeGreaterThan(5);
        expect(step.timeoutMs).toBeGreaterThan(0);
      }
    }));
});

describe.each(['failover', 'switchover'] as const)('in every %s', (kind) => {
  it('a store is promoted only after the epoch is ours and its own fence at the source has proven itself (I1)', () =>
    forPlans(kind, (plan, ancestors, spec, drafts) => {
      for (const step of stepsOf(plan, 'promote')) {
        expect(comesAfter(ancestors, step.id, 'advance-epoch')).toBe(true);
        const component = spec.components.get(step.component as string);
        // What is brought back from a backup may be of a system that nobody can fence: then the plan says what that costs.
        const unfenced = component?.replication === 'none' && drafts[Number(component.name.slice(1))]?.cannot.includes('fence');
        if (!component?.sites.has('east')) continue;
        if (unfenced) expect(plan.mayLose).toContain("its driver can't fence it there");
        else {
          const fence = `fence ${step.component} east`;
          expect(comesAfter(ancestors, step.id, fence)).toBe(true);
          expect(plan.steps.find((each) => each.id === fence)?.onFailure).not.toBe('continue');
        }
      }
    }));

  it('nothing is touched before the target was checked, and the people asked', () =>
    forPlans(kind, (plan, ancestors) => {
      for (const step of plan.steps) {
        if (['confirm-verdict', 'check-target'].includes(step.verb)) continue;
        expect(comesAfter(ancestors, step.id, 'check-target'), step.id).toBe(true);
        if (kind === 'failover' && step.verb !== 'approve') expect(comesAfter(ancestors, step.id, 'approve'), step.id).toBe(true);
      }
    }));

  it('data comes before the workloads that need it, and those before routes [S5-34]', () =>
    forPlans(kind, (plan, ancestors, spec) => {
      const needsOf = (name: string): string[] => (spec.components.get(name)?.needs ?? []).flatMap((need) => [need, ...needsOf(need)]);
      for (const step of plan.steps.filter((each) => each.verb === 'await-ready' || each.verb === 'route')) {
        const needed = needsOf(step.component as string);
        for (const other of plan.steps) {
          const counts = (other.verb === 'promote' || other.verb === 'await-ready') && other.region === 'west';
          if (counts && needed.includes(other.component as string))
            expect(comesAfter(ancestors, step.id, other.id), `${step.id} after ${other.id}`).toBe(true);
        }
      }
    }));

  it('a route that names no needs waits for all data and all workloads [S5-34]', () =>
    forPlans(kind, (plan, ancestors, spec) => {
      for (const step of stepsOf(plan, 'route')) {
        if ((spec.components.get(step.component as string)?.needs.length ?? 0) > 0) continue;
        for (const other of plan.steps)
          if (other.verb === 'promote' || (other.verb === 'await-ready' && other.region === 'west'))
            expect(comesAfter(ancestors, step.id, other.id)).toBe(true);
      }
    }));

  it('what survived is counted before the region is the active one, for then new canaries are written', () =>
    forPlans(kind, (plan, ancestors) => {
      for (const step of stepsOf(plan, 'measure-loss')) expect(comesAfter(ancestors, 'set-active', step.id)).toBe(true);
      for (const step of stepsOf(plan, 'promote')) expect(comesAfter(ancestors, 'set-active', step.id)).toBe(true);
    }));
});

describe('a switchover', () => {
  it('promotes nothing before everything that rolls back is over, so that no undo can meet a new primary', () =>
    forPlans('switchover', (plan, ancestors) => {
      const promotions = stepsOf(plan, 'promote');
      for (const step of plan.steps) {
        if (step.onFailure !== 'roll-back' && step.undo === undefined) continue;
        for (const promotion of promotions)
          expect(comesAfter(ancestors, promotion.id, step.id), `${promotion.id} after ${step.id}`).toBe(true);
      }
    }));

  it('promotes a store only once its last position has arrived', () =>
    forPlans('switchover', (plan, ancestors) => {
      for (const step of stepsOf(plan, 'promote')) {
        const awaited = plan.steps.filter(
          (each) => each.verb === 'await-position' && each.component === step.component && comesAfter(ancestors, step.id, each.id),
        );
        expect(awaited.some((each) => (each.want.position as { $from?: string }).$from === `fence ${step.component} east`)).toBe(true);
      }
    }));
});

describe('a failover', () => {
  it('says what may be lost, of each store, and says nothing where nothing may', () =>
    forPlans('failover', (plan, _ancestors, spec, drafts) => {
      for (const component of spec.components.values()) {
        if (component.kind !== 'data') continue;
        const lossMs = drafts[Number(component.name.slice(1))]?.lossMs;
        const said = plan.mayLose?.split('; ').find((each) => new RegExp(`\\b${component.name}\\b`).test(each));
        if (!component.sites.has('west')) expect(said).toBe(`all of ${component.name}, which has no site in west`);
        else if (lossMs === undefined) expect(said).toContain('unproven');
        else if (component.replication === 'none') expect(said).toContain(`of ${component.name}, the age of its newest recovery point`);
        else if (lossMs === 0) expect(said).toBeUndefined();
        else expect(said).toBe(`up to 1.50 s of ${component.name}`);
      }
    }));
});

describe('a component without a standby', () => {
  it('is brought back after its fence, promoted after that, and never made to follow', () =>
    forPlans('failover', (plan, ancestors, spec) => {
      for (const component of spec.components.values()) {
        const restore = `restore-site ${component.name} west`;
        const isThere = plan.steps.some((step) => step.id === restore);
        expect(isThere).toBe(component.replication === 'none' && component.sites.has('west'));
        const fence = `fence ${component.name} east`;
        if (isThere && component.kind === 'data' && plan.steps.some((step) => step.id === fence))
          expect(comesAfter(ancestors, restore, fence)).toBe(true);
        const promote = `promote ${component.name} west`;
        if (isThere && plan.steps.some((step) => step.id === promote)) expect(comesAfter(ancestors, promote, restore)).toBe(true);
      }
    }));
  it('is no reason to refuse a reprotect', () =>
    forPlans('reprotect', (plan, _ancestors, spec) => {
      for (const step of stepsOf(plan, 'follow')) expect(spec.components.get(step.component as string)?.replication).not.toBe('none');
    }));
});

describe('a reprotect', () => {
  it('keeps aside what a former primary alone has before it follows', () =>
    forPlans('reprotect', (plan, ancestors) => {
      for (const step of stepsOf(plan, 'follow')) {
        const salvage = `salvage ${step.component} east`;
        expect(plan.steps.some((each) => each.id === salvage)).toBe(true);
        expect(comesAfter(ancestors, step.id, salvage)).toBe(true);
      }
    }));

  it('never takes a primary that waits for its standby for fenced: what is salvaged and made to follow has to be stopped', () => {
    const one = { kind: 'data', needs: [], regions: regionNames, replication: 'synchronous', lossMs: 0, cannot: [] } as const;
    const spec = specOf([one]);
    const seen: Observation = {
      component: 'c0',
      region: 'east',
      atMs: 0,
      tookMs: 0,
      failures: 0,
      health: 'up',
      evidence: { kind: 'answered', detail: '' },
      identity: 'system 7',
      position: { history: 'system 7', timeline: 1, offset: '1', text: '0/1' },
      replication: { synchronous: true, standbys: [{ member: 'c0_west', link: 'up', inSync: true }] },
    };
    const plan = plans.reprotect(spec, { ...situationOf(spec, [one]), lastUp: () => seen });
    const [fence] = stepsOf(plan, 'fence');
    expect(fence?.want).toEqual({ survivors: ['west'], clean: false });
  });
});

describe('where no plan can be made', () => {
  const draft = (parts: Partial<Draft> = {}): Draft => ({
    kind: 'data',
    needs: [],
    regions: regionNames,
    replication: 'synchronous',
    lossMs: 0,
    cannot: [],
    ...parts,
  });
  const refusal = (kind: keyof typeof plans, one: Draft) => {
    const spec = specOf([one]);
    try {
      plans[kind](spec, situationOf(spec, [one]));
    } catch (thrown) {
      return (thrown as HoldfastError).toJSON();
    }
    return undefined;
  };
  it('the refusal names the site, what it lacks, and what to do', () => {
    expect(refusal('failover', draft({ cannot: ['promote'] }))).toMatchObject({
      code: 'PLAN_IMPOSSIBLE',
      subject: 'c0 in west',
      message: "c0 in west can't be promoted by its driver",
    });
    expect(refusal('switchover', draft({ cannot: ['fence'] }))).toMatchObject({
      subject: 'c0 in east',
      hint: 'Give the site hands, so that it can be stopped and barred.',
    });
    expect(refusal('switchover', draft({ cannot: ['follow'] }))).toMatchObject({ message: "c0 in east can't be made a standby again" });
    expect(refusal('switchover', draft({ regions: ['east'] }))).toMatchObject({
      message: 'c0 has no site in west, so it would be left behind in east',
    });
    expect(refusal('reprotect', draft({ cannot: ['follow'] }))).toMatchObject({
      subject: 'c0 in east',
      hint: expect.stringContaining('hands'),
    });
  });
});

it.each(['failover', 'switchover', 'reprotect'] as const)('%s: nothing is asked twice of one site', (kind) => {
  forPlans(kind, (plan) => {
    const asked = plan.steps.map((step) => JSON.stringify([step.verb, step.component, step.region, step.want]));
    expect(asked.filter((each, place) => asked.indexOf(each) !== place)).toEqual([]);
  });
});
