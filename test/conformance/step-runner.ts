/** Runs one step of a site without an engine: as the engine does it, with a journal that survives the controller. */
import { HoldfastError } from '../../src/base/errors.ts';
import type { Json, JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Inspection, SiteVerb, StepContext } from '../../src/contracts/verbs.ts';
import type { Host } from '../../src/host/host.ts';

/** What a journal keeps of a step across controllers. */
export interface StepJournal {
  note: Json | undefined;
  readonly executionId: string;
  readonly epoch: number;
}

export function newJournal(epoch = 1): StepJournal {
  return { note: undefined, executionId: 'failover-test', epoch };
}

/** The context of a step; `dieAtNote` makes the controller die instead of keeping its nth note. */
export function stepContext(
  host: Host,
  journal: StepJournal,
  options: { readonly dieAtNote?: number; readonly signal?: AbortSignal } = {},
): StepContext {
  let notes = 0;
  return {
    executionId: journal.executionId,
    stepId: 'step',
    epoch: journal.epoch,
    signal: options.signal ?? AbortSignal.timeout(20_000),
    log: host.log,
    progress: () => {},
    get note() {
      return journal.note;
    },
    keepNote: async (note) => {
      notes += 1;
      if (notes === options.dieAtNote) throw new Error('the controller died');
      journal.note = note;
    },
  };
}

const attemptsMax = 3;

/** What may pass by itself is tried again, as the engine does: on a busy machine a system that is well answers later than a probe waits. */
async function applyPatiently(host: Host, apply: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await apply();
      return;
    } catch (error) {
      const passes = error instanceof HoldfastError && error.kind === 'transient' && error.details?.['cause'] === 'timeout';
      if (!passes || attempt === attemptsMax) throw error;
      await host.clock.sleep(100, signal);
    }
  }
}

/** As the engine runs a step: inspect, apply where absent, inspect until done. */
export async function runStep(
  host: Host,
  site: Site,
  verb: SiteVerb,
  want: JsonObject,
  journal: StepJournal = newJournal(),
): Promise<JsonObject> {
  const does = site.verbs[verb];
  if (!does) throw new Error(`the site can not ${verb}`);
  const context = stepContext(host, journal);
  let seen: Inspection = await does.inspect(want, context);
  if (seen.state === 'absent') await applyPatiently(host, () => does.apply(want, context), context.signal);
  while (seen.state !== 'done') {
    seen = await does.inspect(want, context);
    if (seen.state === 'unknown') throw new Error(`unknown: ${seen.why}`);
    if (seen.state !== 'done') await host.clock.sleep(20, context.signal);
  }
  return seen.output;
}
