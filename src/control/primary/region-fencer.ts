/**
 * Fences the data stores of one region by their own hands: without the state, without any other region, without asking anybody.
 *
 * Invariant: a component counts as covered only where its driver ends it for certain by hands, the hands have been tried, and they act on this very machine. Hands that go over a network
 * are used all the same, but nothing may rest on them: this machine may die while that host goes on.
 * Dying here leaves each store as it was, or barred and on its way to an end; fencing again goes on from there.
 */
import { assert } from '../../base/assert.ts';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { Site } from '../../contracts/driver.ts';
import type { StepContext, Verb } from '../../contracts/verbs.ts';
import type { Clock, Log } from '../../host/host.ts';
import { type GuardTrial, steadyMs } from './guard-messages.ts';

const want = { survivors: [], clean: false, byHands: true } as const;
/** One try of one component. The next one follows at once, for as long as it takes. */
const tryTimeoutMs = 10_000;
const trialTimeoutMs = 10_000;
/** A server that was killed replays its log when it starts. */
const returnTimeoutMs = 90_000;

export interface FencedSite {
  readonly component: string;
  readonly site: Site;
  /** `local`: on the machine of who fences. */
  readonly hands: 'local' | 'remote' | 'none';
}

export interface RegionFencerParts {
  readonly region: string;
  readonly sites: readonly FencedSite[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface ReturnParts {
  readonly epoch: number;
  /** A person says so: what an execution has stopped is started as well. */
  readonly told: boolean;
  readonly signal: AbortSignal;
  readonly isHeld: () => boolean;
}

export class RegionFencer {
  readonly #parts: RegionFencerParts;

  constructor(parts: RegionFencerParts) {
    this.#parts = parts;
  }

  /** Looks at each component as a fence would begin, twice: the first look may have to load programs that a later one has at hand. */
  async tryHands(): Promise<GuardTrial> {
    const { clock, sites } = this.#parts;
    const uncovered: Record<string, string> = {};
    const covered: string[] = [];
    let tookMs = 0;
    const tryOne = async (site: FencedSite) => {
      const lacks = whatLacks(site);
      if (lacks !== undefined) throw fail('HANDS_MISSING', { message: lacks });
      await this.#look(site, trialTimeoutMs);
      const beganMs = steadyMs(clock);
      await this.#look(site, trialTimeoutMs);
      tookMs = Math.max(tookMs, steadyMs(clock) - beganMs);
      covered.push(site.component);
    };
    // All at once, as a fence would.
    const tries = sites.map((site) =>
      tryOne(site).catch((thrown: unknown) => {
        uncovered[site.component] = asHoldfastError(thrown).message;
      }),
    );
    await Promise.all(tries);
    return { covered: covered.sort(), uncovered, tookMs: Math.ceil(tookMs) };
  }

  /** Resolves to the evidence, by component, once all those are fenced. The others are begun beside them, and nobody waits for them. */
  async fence(components: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const evidence: Record<string, string> = {};
    const must = this.#named(components);
    for (const site of this.#parts.sites) {
      if (must.includes(site) || site.site.verbs.fence === undefined) continue;
      this.#fenceOne(site).catch((thrown: unknown) => {
        this.#parts.log.warn('guard.uncovered-not-fenced', { component: site.component, message: asHoldfastError(thrown).message });
      });
    }
    await Promise.all(
      must.map(async (site) => {
        evidence[site.component] = await this.#fenceOne(site);
      }),
    );
    return evidence;
  }

  /**
   * Makes what was fenced at the end of an earlier lease serve again. Resolves to what each component lacks; what serves already is not touched.
   * Nothing is lifted once the signal is aborted, or `isHeld` says no: a process that stood still asks its clock before it believes that nothing has happened.
   */
  async comeBack(parts: ReturnParts): Promise<Readonly<Record<string, string>>> {
    const lacking: Record<string, string> = {};
    const back = { byLease: true, ...(parts.told ? { told: true } : {}) };
    await Promise.all(
      this.#parts.sites.filter(returns).map(async (site) => {
        const work = async (verb: Verb, context: StepContext) => {
          const before = await verb.inspect(back, context);
          if (before.state !== 'absent') return before;
          await verb.apply(back, context);
          return await verb.inspect(back, context);
        };
        const after = await this.#within(site, returnTimeoutMs, work, { verb: 'thaw', ...parts }).catch((thrown: unknown) => ({
          state: 'failed' as const,
          why: asHoldfastError(thrown).message,
        }));
        if (after.state !== 'done') lacking[site.component] = after.why;
      }),
    );
    return lacking;
  }

  /** What would be made to serve again. */
  async whatIsBehind(told: boolean): Promise<readonly string[]> {
    const back = { byLease: true, ...(told ? { told } : {}) };
    const behind = await Promise.all(
      this.#parts.sites.filter(returns).map(async (site) => {
        const seen = await this.#within(site, tryTimeoutMs, (verb, context) => verb.inspect(back, context), { verb: 'thaw' });
        return seen.state === 'absent' ? [site.component] : [];
      }),
    );
    return behind.flat();
  }

  /** Which of the components are not known to be fenced. Changes nothing. */
  async unfenced(components: readonly string[]): Promise<readonly string[]> {
    const states = await Promise.all(
      this.#named(components).map(async (site) => {
        const inspection = await this.#look(site, tryTimeoutMs).catch(() => undefined);
        return inspection?.state === 'done' ? [] : [site.component];
      }),
    );
    return states.flat();
  }

  #named(components: readonly string[]): readonly FencedSite[] {
    return components.map((name) => {
      const site = this.#parts.sites.find(({ component }) => component === name);
      assert(site, `${name} is one of the sites that are fenced here`);
      return site;
    });
  }

  async #look(site: FencedSite, timeoutMs: number) {
    return await this.#within(site, timeoutMs, (verb, context) => verb.inspect(want, context));
  }

  async #fenceOne(site: FencedSite): Promise<string> {
    return await this.#within(site, tryTimeoutMs, async (verb, context) => {
      const before = await verb.inspect(want, context).catch(() => undefined);
      if (before?.state === 'done') return String(before.output.evidence);
      await verb.apply(want, context);
      const after = await verb.inspect(want, context);
      if (after.state === 'done') return String(after.output.evidence);
      throw fail('FENCE_NOT_PROVEN', { subject: site.component, message: `${site.component} is not fenced yet: ${after.why}` });
    });
  }

  async #within<T>(
    site: FencedSite,
    timeoutMs: number,
    work: (verb: Verb, context: StepContext) => Promise<T>,
    options: { readonly verb?: 'fence' | 'thaw' } & Partial<ReturnParts> = {},
  ): Promise<T> {
    const { clock, log, region } = this.#parts;
    const name = options.verb ?? 'fence';
    const verb = site.site.verbs[name];
    if (verb === undefined) throw fail('NO_SUCH_VERB', { subject: site.component, message: `${site.component} has no ${name}` });
    const over = new AbortController();
    const late = fail('TIMED_OUT', {
      subject: site.component,
      message: `the ${name} of ${site.component} took longer than ${timeoutMs} ms`,
    });
    const { promise, reject } = Promise.withResolvers<never>();
    const cancel = clock.after(timeoutMs, () => {
      over.abort(late);
      reject(late);
    });
    let note: Json | undefined;
    const context: StepContext = {
      executionId: 'primary-guard',
      stepId: `${name} ${site.component} ${region}`,
      epoch: options.epoch ?? 0,
      signal: options.signal ? AbortSignal.any([over.signal, options.signal]) : over.signal,
      log,
      progress: () => undefined,
      get note() {
        return note;
      },
      keepNote: async (kept) => {
        if (options.isHeld?.() === false) throw fail('GUARD_TOO_LATE', { subject: site.component, message: 'the lease may be over' });
        note = kept;
      },
    };
    try {
      return await Promise.race([work(verb, context), promise]);
    } finally {
      cancel();
    }
  }
}

/** What its own hands have ended they can start. */
function returns({ site }: FencedSite): boolean {
  return site.fencesByHands === true && site.verbs.thaw !== undefined;
}

function whatLacks({ site, hands, component }: FencedSite): string | undefined {
  if (site.verbs.fence === undefined) return `${component} has no fence`;
  if (site.fencesByHands !== true) return `${component} can't be ended by hands for certain`;
  if (hands !== 'local') return `the hands of ${component} are not on the machine of its controller: that machine may die without it`;
  return undefined;
}
