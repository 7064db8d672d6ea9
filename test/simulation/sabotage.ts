/** Mistakes put into the controller from outside, by decorators: each shows that the simulation would find such a mistake. */
import type { JsonObject } from '../../src/base/json.ts';
import type { AnyDriver, DriverCatalog, Site } from '../../src/contracts/driver.ts';
import type { Change, StateStore } from '../../src/contracts/state-store.ts';
import type { Verb } from '../../src/contracts/verbs.ts';
import type { Control } from '../../src/control/control.ts';
import type { Plan } from '../../src/plans/plan.ts';
import type { Violation } from './invariants.ts';
import { type SimulatedPlatform, secrets } from './simulated-platform.ts';

export interface Sabotage {
  readonly platform?: (platform: SimulatedPlatform) => void;
  readonly catalog?: (catalog: DriverCatalog) => DriverCatalog;
  readonly store?: (store: StateStore) => StateStore;
  readonly control?: (control: Control) => void;
}

export interface NamedSabotage {
  readonly name: string;
  /** Which invariants may be the first to notice. */
  readonly noticedBy: readonly Violation['invariant'][];
  readonly sabotage: Sabotage;
}

const withSite =
  (change: (site: Site) => Site) =>
  (catalog: DriverCatalog): DriverCatalog =>
    new Map([...catalog].map(([name, driver]) => [name, name === 'postgresql' ? openedBy(driver, change) : driver]));

const openedBy = (driver: AnyDriver, change: (site: Site) => Site): AnyDriver => ({
  ...driver,
  open: (context) => change(driver.open(context)),
});

const withVerb = (name: 'fence' | 'promote', change: (verb: Verb) => Verb) =>
  withSite((site) => {
    const verb = site.verbs[name];
    return verb ? { ...site, verbs: { ...site.verbs, [name]: change(verb) } } : site;
  });

const withCommit =
  (change: (changes: readonly Change[]) => readonly Change[]) =>
  (store: StateStore): StateStore => ({ ...store, commit: (changes) => store.commit(change(changes)) });

/** Rewrites plans on their way into the journal: what is read back and executed is the changed one. */
const withPlan = (change: (plan: Plan) => Plan) =>
  withCommit((changes) =>
    changes.map((each) => {
      if (each.kind !== 'put' || !/^executions\/[^/]+$/.test(each.key)) return each;
      const header = each.value as JsonObject & { readonly plan: Plan & JsonObject };
      return { ...each, value: { ...header, plan: change(header.plan) as unknown as JsonObject } };
    }),
  );

function withoutWaiting(plan: Plan, verb: string, forVerb: string): Plan {
  const awaited = new Set(plan.steps.filter((step) => step.verb === forVerb).map((step) => step.id));
  return {
    ...plan,
    steps: plan.steps.map((step) => (step.verb === verb ? { ...step, after: step.after.filter((id) => !awaited.has(id)) } : step)),
  };
}

function underOldEpoch(plan: Plan): Plan {
  if (plan.kind !== 'failover') return plan;
  const epoch = plan.epoch - 1;
  const checked = plan.steps.find((step) => step.verb === 'advance-epoch')?.after ?? [];
  const steps = plan.steps
    .filter((step) => step.verb !== 'advance-epoch')
    .map((step) => ({
      ...step,
      after: step.after.flatMap((id) => (id === 'advance-epoch' ? checked : [id])),
      want: 'epoch' in step.want ? { ...step.want, epoch } : step.want,
    }));
  return { ...plan, epoch, steps };
}

export const sabotages: readonly NamedSabotage[] = [
  {
    name: 'a fence that always says done',
    noticedBy: ['I1'],
    sabotage: {
      catalog: withVerb('fence', () => ({
        inspect: async () => ({ state: 'done', output: { proof: 'person', evidence: 'trust me', sinceMs: 0 } }),
        apply: async () => {},
      })),
    },
  },
  {
    name: 'a plan that promotes without waiting for the fence',
    noticedBy: ['I1', 'I4'],
    sabotage: { store: withPlan((plan) => withoutWaiting(plan, 'promote', 'fence')) },
  },
  {
    name: 'a verdict of nobody',
    noticedBy: ['I3'],
    sabotage: {
      control: (control) => {
        control.verdict = async (region) => ({ region, state: 'lost', votes: [], needed: 1 });
      },
    },
  },
  {
    name: 'a journal that loses intents',
    noticedBy: ['I4'],
    sabotage: {
      store: withCommit((changes) =>
        changes.filter((each) => each.kind !== 'put' || (each.value as JsonObject | null)?.type !== 'step-intent'),
      ),
    },
  },
  { name: 'an epoch that is not advanced', noticedBy: ['I1'], sabotage: { store: withPlan(underOldEpoch) } },
  {
    name: 'a cool-down that is forgotten',
    noticedBy: ['I3'],
    sabotage: {
      store: (store) => ({
        ...store,
        get: async (key) => {
          const entry = await store.get(key);
          if (key !== 'platform' || !entry) return entry;
          const { changedAtMs: _forgotten, ...rest } = entry.value as JsonObject;
          return { ...entry, value: rest };
        },
      }),
    },
  },
  {
    name: 'a driver that calls asynchronous replication synchronous',
    noticedBy: ['I2'],
    sabotage: {
      platform: ({ servers }) => {
        servers.east.settings.synchronous_standby_names = '';
      },
      catalog: withSite((site) => ({
        ...site,
        observe: async (signal) => {
          const reading = await site.observe(signal);
          return reading.role === 'primary' ? { ...reading, replication: { ...reading.replication, synchronous: true } } : reading;
        },
      })),
    },
  },
  {
    name: 'a driver that puts a password into its answer',
    noticedBy: ['I8'],
    sabotage: {
      catalog: withVerb('promote', (verb) => ({
        ...verb,
        inspect: async (want, context) => {
          const seen = await verb.inspect(want, context);
          return seen.state === 'done' ? { ...seen, output: { ...seen.output, dsn: `password=${secrets.DB_PASSWORD}` } } : seen;
        },
      })),
    },
  },
];
